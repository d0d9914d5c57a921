package people

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often a login may fail: so often at once, and once more after each interval.
// A user's are more, so that who guesses from one place does not lock the user out.
const (
	addressFailures = 10
	addressInterval = 6 * time.Second
	userFailures    = 50
	userInterval    = 10 * time.Second
)

// maxKeys is how many addresses and users are remembered. When there are more,
// those that nobody knows yet have to wait.
const maxKeys = 10_000

// limits counts failed logins.
type limits struct {
	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

func newLimits() *limits { return &limits{keys: map[string]*rate.Limiter{}} }

func keysOf(name, address string) [2]string {
	return [2]string{"user " + name, "address " + Network(address)}
}

// may reports whether a login may be tried.
func (l *limits) may(name, address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keysOf(name, address) {
		if known := l.keys[key]; known != nil && known.TokensAt(now) < 1 {
			return false
		}
	}
	fresh := 0
	for _, key := range keysOf(name, address) {
		if l.keys[key] == nil {
			fresh++
		}
	}
	if len(l.keys)+fresh > maxKeys {
		for key, known := range l.keys {
			if known.TokensAt(now) >= float64(known.Burst()) {
				delete(l.keys, key)
			}
		}
	}
	return len(l.keys)+fresh <= maxKeys
}

// failed counts a login that failed.
func (l *limits) failed(name, address string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := keysOf(name, address)
	for i, limiter := range []*rate.Limiter{
		rate.NewLimiter(rate.Every(userInterval), userFailures), rate.NewLimiter(rate.Every(addressInterval), addressFailures),
	} {
		if l.keys[keys[i]] == nil {
			l.keys[keys[i]] = limiter
		}
		l.keys[keys[i]].AllowN(now, 1)
	}
}

// Network is what one party has of addresses, by which it is counted: one of IPv4, a
// /64 of IPv6.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}
