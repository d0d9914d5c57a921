package gate

import (
	"net"
	"testing"
)

// line is a connection from an address.
type line struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (l *line) RemoteAddr() net.Addr { return l.from }

func (l *line) Close() error {
	l.closed = true
	return nil
}

// accepting accepts connections in turn.
type accepting struct {
	net.Listener
	next []*line
}

func (l *accepting) Accept() (net.Conn, error) {
	if len(l.next) == 0 {
		return nil, net.ErrClosed
	}
	c := l.next[0]
	l.next = l.next[1:]
	return c, nil
}

// TestShares lets no address have all connections, and gives back what it closes.
func TestShares(t *testing.T) {
	from := func(address string) *line { return &line{from: &net.TCPAddr{IP: net.ParseIP(address), Port: 1}} }
	for _, c := range []struct{ reason, greedy, neighbour, other string }{
		{"an address", "192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"addresses of one network of IPv6", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"},
	} {
		source := &accepting{}
		s := &shares{Listener: source, open: map[string]int{}}
		var accepted []net.Conn
		for range maxShare {
			source.next = append(source.next, from(c.greedy))
		}
		for range maxShare {
			conn, err := s.Accept()
			if err != nil {
				t.Fatalf("%s: within the share: %v", c.reason, err)
			}
			accepted = append(accepted, conn)
		}
		over, other := from(c.neighbour), from(c.other)
		source.next = []*line{over, other}
		conn, err := s.Accept()
		if err != nil || conn.RemoteAddr() != other.from || !over.closed {
			t.Errorf("%s: beyond the share there is %v (%v), want the other's, and the first closed", c.reason, conn, err)
		}
		accepted[0].Close()
		accepted[0].Close()
		source.next = []*line{from(c.neighbour), from(c.neighbour)}
		if _, err := s.Accept(); err != nil {
			t.Errorf("%s: after one was closed: %v", c.reason, err)
		}
		if _, err := s.Accept(); err == nil {
			t.Errorf("%s: one that was closed twice counts twice", c.reason)
		}
	}
}
