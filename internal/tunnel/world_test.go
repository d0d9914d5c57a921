package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// TestMain holds the package to its word that nothing goes on after a call.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftOver(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines that were not ended:\n\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftOver is the goroutines that still run code of this package, or of net/http
// on its behalf, when they had time to end.
func leftOver() string {
	var left []string
	for range 200 {
		stacks := make([]byte, 16<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left = nil
		for _, stack := range strings.Split(string(stacks), "\n\n")[1:] { // the first is this one
			if strings.Contains(stack, "internal/tunnel.") || strings.Contains(stack, "net/http.") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
		<-time.After(50 * time.Millisecond)
	}
	return strings.Join(left, "\n\n")
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// clock is a clock that tests set.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// world is a hub, its authority and what became of both.
type world struct {
	t     *testing.T
	dir   string
	clock *clock
	o     ServerOptions

	server  *Server
	address string
	stop    func() // ends the hub

	mu       sync.Mutex
	lowest   map[string]int64  // accepted number by cluster
	used     map[string]string // key by token
	refusals []Refusal
	enrolled []Identity
}

// newWorld starts a hub of fleet "test" on a port of its own.
func newWorld(t *testing.T, change func(*ServerOptions)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: &clock{}, lowest: map[string]int64{}, used: map[string]string{}}
	if err := authority.Init(w.dir, "test", w.clock.now()); err != nil {
		t.Fatal(err)
	}
	opened, err := authority.Open(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	w.o = ServerOptions{
		Authority: opened, Product: "v0-test", Now: w.clock.now,
		Accepts: func(id Identity) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if id.Number < w.lowest[id.Cluster] {
				return fmt.Errorf("%s was revoked: the lowest number is %d", id, w.lowest[id.Cluster])
			}
			return nil
		},
		Used: func(_ context.Context, token authority.Claims, key string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if by, ok := w.used[token.ID]; ok && by != key {
				return errors.New("the token was used before")
			}
			w.used[token.ID] = key
			return nil
		},
		Refused: func(r Refusal) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refusals = append(w.refusals, r)
		},
		Enrolled: func(id Identity, _ string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.enrolled = append(w.enrolled, id)
		},
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			id, _ := From(r.Context())
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "hub to %s: %s%v", id.Cluster, body, errOrNothing(err))
		}),
		Log: slog.NewTextHandler(testLog{t}, nil),
	}
	if change != nil {
		change(&w.o)
	}
	w.start("127.0.0.1:0")
	t.Cleanup(func() { w.stop() })
	return w
}

func errOrNothing(err error) string {
	if err == nil {
		return ""
	}
	return " error: " + err.Error()
}

// testLog fails the test with what net/http only logs: panics of handlers.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic")) {
		l.t.Errorf("%s", p)
	}
	return len(p), nil
}

// start runs the hub until stop.
func (w *world) start(address string) {
	w.t.Helper()
	var err error
	if w.server, err = NewServer(w.o); err != nil {
		w.t.Fatal(err)
	}
	var listener net.Listener
	eventually(w.t, "listening", func() bool {
		listener, err = net.Listen("tcp", address)
		return err == nil
	})
	w.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, listener) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			w.t.Errorf("the hub: %v", err)
		}
	})
}

func (w *world) token(cluster string, number int64) string {
	w.t.Helper()
	token, _, err := w.o.Authority.Token(cluster, number, 0, w.clock.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) revokeBelow(cluster string, number int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lowest[cluster] = number
}

// refused waits for a refusal that says something.
func (w *world) refused(doing, text string) Refusal {
	w.t.Helper()
	var found Refusal
	eventually(w.t, fmt.Sprintf("refusal to %s for %q", doing, text), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.IndexFunc(w.refusals, func(r Refusal) bool { return r.Doing == doing && strings.Contains(r.Reason.Error(), text) })
		if i >= 0 {
			found = w.refusals[i]
		}
		return i >= 0
	})
	return found
}

func (w *world) linked(clusters ...string) func() bool {
	return func() bool {
		var have []string
		for _, l := range w.server.Links() {
			have = append(have, l.Identity().Cluster)
		}
		return slices.Equal(have, clusters)
	}
}

// memory is a Keeper.
type memory struct {
	mu      sync.Mutex
	have    Credentials
	stores  int
	failing error
}

func (m *memory) Load(context.Context) (Credentials, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.have, nil
}

func (m *memory) Store(_ context.Context, c Credentials) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return m.failing
	}
	m.have = c
	m.stores++
	return nil
}

// member is an agent of a test.
type member struct {
	t      *testing.T
	o      Options
	memory *memory
	stop   func()
	conns  chan *Conn // each connection

	mu    sync.Mutex
	token string
	lost  []string
	certs []string
}

// agent makes an agent with a token, which is not started.
func (w *world) agent(token string) *member {
	m := &member{t: w.t, token: token, conns: make(chan *Conn, 1000), memory: &memory{}}
	m.o = Options{
		Hub: w.address, Keeper: m.memory, Roots: w.o.Authority.Roots(), Product: "v0-agent", Now: w.clock.now,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		Token: func() (string, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.token, nil
		},
		Lost: func(err error, _ time.Duration) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.lost = append(m.lost, err.Error())
		},
		Certified: func(until time.Time, err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.certs = append(m.certs, fmt.Sprint(err))
		},
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "agent: %s%v", body, errOrNothing(err))
		}),
		Log:      slog.NewTextHandler(testLog{w.t}, nil),
		renewals: 10 * time.Millisecond, patience: 200 * time.Millisecond,
	}
	return m
}

// start keeps the agent connected until stop, or until the test ends.
func (m *member) start() *member {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Keep(ctx, m.o, func(ctx context.Context, c *Conn) error {
			m.conns <- c
			<-ctx.Done()
			return nil
		})
	}()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			m.t.Errorf("Keep returned %v", err)
		}
	})
	m.t.Cleanup(m.stop)
	return m
}

// connected waits for the next connection.
func (m *member) connected() *Conn {
	m.t.Helper()
	select {
	case c := <-m.conns:
		return c
	case <-time.After(patience):
		m.mu.Lock()
		defer m.mu.Unlock()
		m.t.Fatalf("the agent did not connect: %q", m.lost)
		return nil
	}
}

// saw waits until the agent was told something of a connection.
func (m *member) saw(text string) {
	m.t.Helper()
	defer func() {
		if m.t.Failed() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.t.Logf("it was told %q and %q", m.lost, m.certs)
		}
	}()
	eventually(m.t, fmt.Sprintf("the agent is told %q", text), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return slices.ContainsFunc(slices.Concat(m.lost, m.certs), func(s string) bool { return strings.Contains(s, text) })
	})
}

func (m *member) setToken(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.token = token
}

// call posts text and returns the answer.
func call(client *http.Client, url, text string) (string, error) {
	answer, err := client.Post(url, "text/plain", strings.NewReader(text))
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return string(body), err
}

func mustCall(t *testing.T, client *http.Client, url, text, want string) {
	t.Helper()
	if got, err := call(client, url, text); err != nil || got != want {
		t.Fatalf("the call brought %q and error %v, and not %q", got, err, want)
	}
}

func named(fleet, cluster string, number int64) Identity {
	return Identity{Fleet: fleet, Cluster: cluster, Number: number}
}
