package tunnel

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection to the hub, and what is known of who is at its end.
type conn struct {
	net.Conn
	gate    *gate
	address string // of the peer, without port

	peer    *Identity    // whom its certificate names; nil without one. Set before it is served
	expires atomic.Int64 // when that ends, in Unix seconds: a renewal moves it

	mu    sync.Mutex
	timer *time.Timer
	gone  bool
}

// closeAfter closes the connection unless it is closed by then.
func (c *conn) closeAfter(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = time.AfterFunc(wait, func() { c.Close() })
}

// keep undoes closeAfter.
func (c *conn) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
}

// Close closes the connection and gives back its place.
func (c *conn) Close() error {
	c.mu.Lock()
	first := !c.gone
	c.gone = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if first {
		c.gate.leave(c)
	}
	return c.Conn.Close()
}

// gate counts connections: those of an address that have shown no certificate,
// those of a cluster, and all. So nobody takes the places of others.
type gate struct {
	limits Limits

	mu        sync.Mutex
	all       int
	anonymous int
	pending   map[string]int
	clusters  map[string]int
}

func newGate(limits Limits) *gate {
	return &gate{limits: limits, pending: map[string]int{}, clusters: map[string]int{}}
}

// enter gives a connection a place among those that are not known yet, or nil.
func (g *gate) enter(c net.Conn) *conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	address := host(c.RemoteAddr())
	network := networkOf(address)
	if g.all >= g.limits.Connections || g.anonymous >= max(1, g.limits.Connections/4) || g.pending[network] >= g.limits.Pending {
		return nil
	}
	g.all++
	g.anonymous++
	g.pending[network]++
	return &conn{Conn: c, gate: g, address: address}
}

// identify moves a connection to those of its cluster, if there is room.
func (g *gate) identify(c *conn, id Identity, expires time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clusters[id.Cluster] >= g.limits.PerCluster {
		return false
	}
	g.forget(c)
	g.clusters[id.Cluster]++
	c.peer = &id
	c.expires.Store(expires.Unix())
	return true
}

// leave gives back the place of a connection.
func (g *gate) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if c.peer == nil {
		g.forget(c)
	} else {
		less(g.clusters, c.peer.Cluster)
	}
}

func (g *gate) forget(c *conn) {
	g.anonymous--
	less(g.pending, networkOf(c.address))
}

func less(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

func host(address net.Addr) string {
	name, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return name
}

// networkOf is what one party has of addresses: one of IPv4, a /64 of IPv6.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

// rates let each key do something some times in a minute, as many of them at once.
type rates struct {
	perMinute float64

	mu    sync.Mutex
	keys  map[string]*rate
	swept time.Time
}

type rate struct {
	left    float64
	at      time.Time
	dropped int // refused since the last that was not
}

// maxKeys is how many keys are remembered; a key that is fresh again needs not be.
const maxKeys = 10_000

func newRates(perMinute int) *rates {
	return &rates{perMinute: float64(perMinute), keys: map[string]*rate{}}
}

// take reports whether the key may do it now, and if so how often it might not
// since it last might.
func (r *rates) take(key string, now time.Time) (ok bool, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.keys[key]
	if k == nil {
		if len(r.keys) >= maxKeys && now.Sub(r.swept) > time.Second {
			r.sweep(now)
		}
		if len(r.keys) >= maxKeys {
			return false, 0
		}
		k = &rate{left: r.perMinute, at: now}
		r.keys[key] = k
	}
	k.left = min(r.perMinute, k.left+r.perMinute*now.Sub(k.at).Minutes())
	k.at = now
	if k.left < 1 {
		k.dropped++
		return false, 0
	}
	k.left--
	dropped, k.dropped = k.dropped, 0
	return true, dropped
}

func (r *rates) sweep(now time.Time) {
	r.swept = now
	for key, k := range r.keys {
		if now.Sub(k.at) >= time.Minute {
			delete(r.keys, key)
		}
	}
}
