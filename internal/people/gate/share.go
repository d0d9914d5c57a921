package gate

import (
	"net"
	"sync"

	"nave.dev/internal/people"
)

// shares is a listener that closes connections of an address that has its share
// already.
type shares struct {
	net.Listener

	mu   sync.Mutex
	open map[string]int // connections, by whose they are, as people.Network has it
}

// Accept returns the next connection that is within the share of its address.
func (s *shares) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		whose := people.Network(host)
		s.mu.Lock()
		within := s.open[whose] < maxShare
		if within {
			s.open[whose]++
		}
		s.mu.Unlock()
		if within {
			return &share{Conn: c, end: sync.OnceFunc(func() { s.leave(whose) })}, nil
		}
		c.Close()
	}
}

func (s *shares) leave(whose string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[whose]--; s.open[whose] == 0 {
		delete(s.open, whose)
	}
}

// share is a connection that counts until it is closed.
type share struct {
	net.Conn
	end func()
}

// Close closes the connection.
func (c *share) Close() error {
	c.end()
	return c.Conn.Close()
}
