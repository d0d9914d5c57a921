package tunnel

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// line stands between agents and their hub: it can be slow, and stop carrying
// bytes in one direction or both without a word.
type line struct {
	listener net.Listener
	to       string
	rate     int // bytes a second, in each direction; zero: no limit
	delay    time.Duration

	work sync.WaitGroup
	mu   sync.Mutex
	cut  map[bool]chan struct{} // by direction, true for up: closed to cut
	open []net.Conn
}

func newLine(t *testing.T, to string, rate int, delay time.Duration) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, to: to, rate: rate, delay: delay,
		cut: map[bool]chan struct{}{true: make(chan struct{}), false: make(chan struct{})}}
	l.work.Go(l.accept)
	t.Cleanup(func() {
		listener.Close()
		l.mu.Lock()
		for _, c := range l.open {
			c.Close()
		}
		l.mu.Unlock()
		l.work.Wait()
	})
	return l
}

func (l *line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			near.Close()
			continue
		}
		l.mu.Lock()
		l.open = append(l.open, near, far)
		l.mu.Unlock()
		l.work.Go(func() { l.carry(far, near, true) })
		l.work.Go(func() { l.carry(near, far, false) })
	}
}

type packet struct {
	data []byte
	due  time.Time
}

// carry carries bytes in one direction, and the end of them.
func (l *line) carry(to, from net.Conn, up bool) {
	packets := make(chan packet, 10_000)
	l.work.Go(func() {
		defer close(packets)
		for {
			data := make([]byte, 2048)
			n, err := from.Read(data)
			if n > 0 {
				packets <- packet{data[:n], time.Now().Add(l.delay)}
			}
			if err != nil {
				return
			}
			if l.rate > 0 {
				<-time.After(time.Duration(n) * time.Second / time.Duration(l.rate))
			}
		}
	})
	for p := range packets {
		<-time.After(time.Until(p.due))
		select {
		case <-l.cut[up]:
			continue
		default:
			to.Write(p.data)
		}
	}
	select {
	case <-l.cut[up]: // nor does the end arrive
	default:
		to.Close()
	}
}

// TestPartition cuts a line in one direction, the other, and both: both ends
// notice within 30 seconds, and find each other again on another line.
func TestPartition(t *testing.T) {
	for name, directions := range map[string][]bool{"up": {true}, "down": {false}, "both": {true, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			cut := newLine(t, w.address, 0, 0)
			m := w.agent(w.token("prod", 1))
			m.o.Hub = cut.listener.Addr().String()
			ended := make(chan time.Duration, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var since time.Time
			kept := make(chan error, 1)
			go func() {
				kept <- Keep(ctx, m.o, func(ctx context.Context, _ *Conn) error {
					since = time.Now()
					for _, up := range directions {
						close(cut.cut[up])
					}
					<-ctx.Done()
					ended <- time.Since(since)
					cancel()
					return nil
				})
			}()
			eventually(t, "the link is there", w.linked("prod"))
			link := w.server.Links()[0]
			for _, done := range []<-chan struct{}{link.Done(), ctx.Done()} {
				select {
				case <-done:
				case <-time.After(patience):
					t.Fatal("an end does not notice")
				}
			}
			if took := <-ended; took > 30*time.Second {
				t.Errorf("the agent took %s", took)
			}
			<-kept
			again := w.agent("")
			again.memory = m.memory
			again.o.Keeper = m.memory
			c := again.start().connected()
			mustCall(t, c.Client(), HubURL, "back", "hub to prod: back")
		})
	}
}

// TestSlowLine sends more in both directions than a slow line carries in the time
// after which silence ends a connection: it is not silent.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	slow := newLine(t, w.address, 50_000, 250*time.Millisecond) // 500 ms there and back
	m := w.agent(w.token("prod", 1))
	m.o.Hub = slow.listener.Addr().String()
	c := m.start().connected()
	eventually(t, "the link is there", w.linked("prod"))
	link := w.server.Links()[0]
	large := strings.Repeat("0123456789", 35_000)
	var both sync.WaitGroup
	both.Go(func() {
		if got, err := call(c.Client(), HubURL, large); err != nil || got != "hub to prod: "+large {
			t.Errorf("up: %d bytes came back, error %v", len(got), err)
		}
	})
	both.Go(func() {
		if got, err := call(link.Client(), AgentURL, large); err != nil || got != "agent: "+large {
			t.Errorf("down: %d bytes came back, error %v", len(got), err)
		}
	})
	both.Wait()
	if link.Err() != nil || len(m.conns) > 0 {
		t.Errorf("the link ended: %v", link.Err())
	}
}

// proxy is an HTTP proxy that carries what CONNECT asks for, for who knows its
// password.
type proxy struct {
	listener net.Listener
	work     sync.WaitGroup
	mu       sync.Mutex
	asked    []string // hosts
	open     []net.Conn
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	p.work.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.work.Wait()
	})
	return p
}

func (p *proxy) serve(near net.Conn) {
	defer near.Close()
	r, err := http.ReadRequest(bufio.NewReader(near))
	if err != nil || r.Method != http.MethodConnect {
		return
	}
	credentials := &http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if user, password, _ := credentials.BasicAuth(); user != "agent" || password != "s3cret" {
		fmt.Fprint(near, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		return
	}
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		fmt.Fprint(near, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer far.Close()
	p.mu.Lock()
	p.asked, p.open = append(p.asked, r.Host), append(p.open, near, far)
	p.mu.Unlock()
	fmt.Fprint(near, "HTTP/1.1 200 OK\r\n\r\n")
	p.work.Go(func() { io.Copy(far, near); far.Close() })
	io.Copy(near, far)
}

// TestProxy enrols and connects by a proxy with a password, and says what is wrong
// with one without it, without saying the password.
func TestProxy(t *testing.T) {
	w := newWorld(t, nil)
	p := newProxy(t)
	m := w.agent(w.token("prod", 1))
	by := &url.URL{Scheme: "http", User: url.UserPassword("agent", "wr0ng"), Host: p.listener.Addr().String()}
	var mu sync.Mutex
	m.o.Proxy = func(r *http.Request) (*url.URL, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Host != w.address {
			t.Errorf("asked is for a proxy to %s", r.URL.Host)
		}
		return by, nil
	}
	m.start().saw("by the proxy " + by.Host + ": Proxy Authentication Required")
	mu.Lock()
	by = &url.URL{Scheme: "http", User: url.UserPassword("agent", "s3cret"), Host: by.Host}
	mu.Unlock()
	c := m.connected()
	mustCall(t, c.Client(), HubURL, "through", "hub to prod: through")
	p.mu.Lock()
	defer p.mu.Unlock()
	if got := strings.Join(p.asked, " "); got != w.address+" "+w.address {
		t.Errorf("the proxy was asked for %s, and not for the hub to enrol and to connect", got)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if all := strings.Join(m.lost, " "); strings.Contains(all, "wr0ng") {
		t.Errorf("the password is in %s", all)
	}
}

func TestProxyThatCannotBe(t *testing.T) {
	w := newWorld(t, nil)
	for _, bad := range []string{"socks5://agent:s3cret@127.0.0.1:1", "http://agent:s3cret@host:port"} {
		m := w.agent(w.token("prod", 1))
		m.o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(bad) }
		_, err := w.bare(m).enrolled(t.Context())
		if err == nil || !strings.Contains(err.Error(), "proxy") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
