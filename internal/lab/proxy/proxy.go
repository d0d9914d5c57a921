// Package proxy stands in front of a server and plays the network to it. A
// Proxy forwards TCP connections; a partition holds back every byte, of old
// connections and new ones, and delivers them all when it heals, as packets
// lost on a real network are sent again; latency delays each direction, and a
// rate limits it. It never looks into what it forwards.
package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Direction is one of the two in which a connection carries bytes.
type Direction string

// The directions.
const (
	Up   Direction = "up" // from clients to the server
	Down Direction = "down"
)

// Link is the state of the network between clients and a server.
type Link struct {
	Partitioned bool `json:"partitioned,omitempty"`
	// OneWay is the direction that a partition is in; empty is both. No connection
	// comes about in either case.
	OneWay  Direction     `json:"oneWay,omitempty"`
	Latency time.Duration `json:"latency,omitempty"` // added in each direction
	Rate    int           `json:"rate,omitempty"`    // bytes a second in each direction of a connection; 0 is no limit
}

// holds reports whether nothing passes in a direction, or in either for "".
func (l Link) holds(way Direction) bool {
	return l.Partitioned && (l.OneWay == "" || way == "" || l.OneWay == way)
}

// Proxy forwards the connections of one listener to one server. Its methods
// are safe for concurrent use.
type Proxy struct {
	target string

	mu      sync.Mutex
	link    Link
	changed chan struct{} // closed when the link is another
}

// New returns a proxy to the server at target, over a perfect link.
func New(target string) *Proxy { return &Proxy{target: target, changed: make(chan struct{})} }

// SetLink changes the network from now on, for old connections too.
func (p *Proxy) SetLink(link Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link = link
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) state() (Link, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link, p.changed
}

// Serve accepts and forwards until ctx is done, then closes the listener and
// every connection and returns nil.
func (p *Proxy) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var connections sync.WaitGroup
	defer connections.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // such as too many open files: the next one may do
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		connections.Go(func() { p.forward(ctx, client) })
	}
}

// forward carries one connection until both directions have ended.
func (p *Proxy) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	early, ok := p.hold(ctx, client)
	if !ok {
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		if conn, ok := client.(*net.TCPConn); ok {
			conn.SetLinger(0) // a reset, which is as near to a refusal as comes after accepting
		}
		return
	}
	defer server.Close()
	var directions sync.WaitGroup
	broken := func() { client.Close(); server.Close() }
	defer context.AfterFunc(ctx, broken)()
	directions.Go(func() { p.carry(ctx, Up, broken, server, io.MultiReader(bytes.NewReader(early), client)) })
	directions.Go(func() { p.carry(ctx, Down, broken, client, server) })
	directions.Wait()
}

// hold keeps a new connection while the link is partitioned and returns what
// the client sent meanwhile. A client that gave up, or ctx being done, returns
// false: a partition of hours does not gather the attempts of hours.
func (p *Proxy) hold(ctx context.Context, client net.Conn) (early []byte, ok bool) {
	if link, _ := p.state(); !link.holds("") {
		return nil, true
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	read := make(chan error, 1)
	go func() {
		for len(early) < maxEarly {
			buffer := make([]byte, maxEarly-len(early))
			n, err := client.Read(buffer)
			early = append(early, buffer[:n]...)
			if err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	whole := make(chan bool, 1)
	go func() { whole <- p.wait(ctx, "") }()
	select {
	case ok = <-whole:
		client.SetReadDeadline(time.Unix(1, 0)) // ends the reading above
		err := <-read
		client.SetReadDeadline(time.Time{})
		ok = ok && (err == nil || errors.Is(err, os.ErrDeadlineExceeded))
	case err := <-read:
		if err != nil {
			return nil, false
		}
		ok = <-whole // it has sent all that is held
	}
	return early, ok
}

// maxEarly bounds, in bytes, what is held of a connection that began while the
// link was partitioned.
const maxEarly = 64 << 10

// wait blocks while the link holds a direction, or either for ""; false means that
// ctx is done.
func (p *Proxy) wait(ctx context.Context, way Direction) bool {
	for {
		link, changed := p.state()
		if !link.holds(way) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// chunk is a piece of the stream and when it may be delivered.
type chunk struct {
	data []byte
	due  time.Time
}

// inFlight bounds, in chunks of up to 16 KiB, what a direction holds back.
const inFlight = 256

// carry moves one direction, and calls broken when it cannot. Reading goes on while earlier bytes are on their
// way, so that latency does not become a limit on throughput.
func (p *Proxy) carry(ctx context.Context, way Direction, broken func(), to net.Conn, from io.Reader) {
	ctx, cancel := context.WithCancel(ctx)
	flight := make(chan chunk, inFlight)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(flight)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				link, _ := p.state()
				select {
				case flight <- chunk{data: buffer[:n], due: time.Now().Add(link.Latency)}:
				case <-ctx.Done():
					return
				}
				if link.Rate > 0 && !pause(ctx, time.Duration(n)*time.Second/time.Duration(link.Rate)) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for piece := range flight {
		if !p.deliver(ctx, way, to, piece) {
			// A direction that broke takes the connection with it.
			cancel()
			broken()
		}
	}
	reader.Wait()
	// The end of one direction is passed on; the other may still carry.
	if half, ok := to.(interface{ CloseWrite() error }); ok && p.wait(ctx, way) {
		half.CloseWrite()
	}
	cancel()
}

// deliver writes a piece when it is due and the link lets it pass.
func (p *Proxy) deliver(ctx context.Context, way Direction, to io.Writer, piece chunk) bool {
	if !pause(ctx, time.Until(piece.due)) || !p.wait(ctx, way) {
		return false
	}
	_, err := to.Write(piece.data)
	return err == nil
}

// pause waits for a while; false means that ctx is done.
func pause(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
