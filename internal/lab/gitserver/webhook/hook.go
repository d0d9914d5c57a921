package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// Hook is a receiver of events.
type Hook struct {
	// URL is where events are posted: http or https, on loopback unless Options.AllowRemote is set.
	URL string
	// Secret is the key of the signature that goes with each event; empty means that events are not signed.
	Secret string
}

// Validate reports everything that is wrong with hooks, joined, or nil.
func Validate(hooks []Hook, allowRemote bool) error {
	var problems []error
	seen := map[string]bool{}
	for _, h := range hooks {
		u, err := url.Parse(h.URL)
		switch {
		case err != nil:
			// The parser's error quotes the address, which may hold a password.
			problems = append(problems, errors.New("webhook address is not a URL"))
		case u.Scheme != "http" && u.Scheme != "https":
			problems = append(problems, fmt.Errorf("webhook %q is neither http nor https", u.Redacted()))
		case u.Hostname() == "":
			problems = append(problems, fmt.Errorf("webhook %q names no host", u.Redacted()))
		case !allowRemote && !isLoopbackName(u.Hostname()):
			problems = append(problems, fmt.Errorf("webhook %q is not on this machine's loopback", u.Redacted()))
		case seen[h.URL]:
			problems = append(problems, fmt.Errorf("webhook %q is there twice", u.Redacted()))
		}
		seen[h.URL] = true
	}
	return errors.Join(problems...)
}

func isLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// controlLoopback is a net.Dialer's Control that refuses to leave the machine, whatever a name resolves to.
func controlLoopback(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading address of webhook: %w", err)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().IsLoopback() {
		return fmt.Errorf("webhook leads to %s, which is not on this machine's loopback", host)
	}
	return nil
}
