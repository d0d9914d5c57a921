package calling

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"nave.dev/internal/hub/asking"
	"nave.dev/internal/protocol"
	"nave.dev/internal/tunnel"
	"nave.dev/internal/tunnel/authority"
)

// credentials is a tunnel.Keeper in memory.
type credentials struct {
	mu   sync.Mutex
	have tunnel.Credentials
}

func (c *credentials) Load(context.Context) (tunnel.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.have, nil
}

func (c *credentials) Store(_ context.Context, next tunnel.Credentials) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.have = next
	return nil
}

// links connects one agent after another with the same identity and returns their
// links, which last until the test ends.
func links(t *testing.T, agents ...http.Handler) (links []*tunnel.Link) {
	t.Helper()
	dir := t.TempDir()
	if err := authority.Init(dir, "acme", time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	linked := make(chan *tunnel.Link)
	server, err := tunnel.NewServer(tunnel.ServerOptions{
		Authority: key,
		Accepts:   func(tunnel.Identity) error { return nil },
		Used:      func(context.Context, authority.Claims, string) error { return nil },
		Second:    func(context.Context, *tunnel.Link, *tunnel.Link) {},
		Linked: func(ctx context.Context, link *tunnel.Link) {
			linked <- link
			<-ctx.Done()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	running.Go(func() { server.Serve(ctx, listener) })
	token, _, err := key.Token("one", 1, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keeper := &credentials{}
	for _, handler := range agents {
		running.Go(func() {
			tunnel.Keep(ctx, tunnel.Options{
				Hub: listener.Addr().String(), Keeper: keeper, Roots: key.Roots(), Handler: handler,
				Token: func() (string, error) { return token, nil },
				Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
			}, func(ctx context.Context, _ *tunnel.Conn) error {
				<-ctx.Done()
				return nil
			})
		})
		links = append(links, <-linked)
	}
	return links
}

// lease is an agent that says in turn what it is given to say of its lease: "held",
// "not", or an error. After the last it says that again.
func lease(says ...string) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		word := says[0]
		if len(says) > 1 {
			says = says[1:]
		}
		mu.Unlock()
		if r.URL.Path != protocol.LeasePath || word == "error" {
			http.Error(w, "the cluster does not answer", http.StatusInternalServerError)
			return
		}
		json.NewEncoder(w).Encode(protocol.Lease{Held: word == "held"})
	})
}

// TestBothHold tells two clusters from one whose lease changes hands.
func TestBothHold(t *testing.T) {
	for _, test := range []struct {
		reason     string
		one, other []string
		want       bool
	}{
		{"two clusters", []string{"held"}, []string{"held"}, true},
		{"the second waits for the lease", []string{"held"}, []string{"not"}, false},
		{"the first has given it back", []string{"not"}, []string{"held"}, false},
		{"neither has it yet", []string{"not"}, []string{"not"}, false},
		{"it changes hands between two questions", []string{"held", "not"}, []string{"held"}, false},
		{"the first cannot say", []string{"error"}, []string{"held"}, false},
		{"the second cannot say", []string{"held"}, []string{"error"}, false},
		{"the first can say no more", []string{"held", "error"}, []string{"held"}, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			both := links(t, lease(test.one...), lease(test.other...))
			if got := BothHold(t.Context(), both[0], both[1]); got != test.want {
				t.Errorf("both hold: %v, want %v", got, test.want)
			}
		})
	}
}

// TestAgent tells an answer from a refusal, and both from an agent that failed.
func TestAgent(t *testing.T) {
	link := links(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/answers":
			w.Write([]byte(`"` + r.Method + `"`))
		case "/refuses":
			http.Error(w, "not by its configuration", protocol.StatusRefused)
		case "/fails":
			http.Error(w, "out of order", http.StatusInternalServerError)
		case "/floods":
			w.WriteHeader(http.StatusInternalServerError)
			w.Write([]byte(strings.Repeat("x", 1<<20)))
		}
	}))[0]
	ask := func(path string) (said string, err error) {
		return said, Agent(t.Context(), link, http.MethodPut, path, nil, &said)
	}
	if said, err := ask("/answers"); err != nil || said != http.MethodPut {
		t.Errorf("the answer is %q, %v", said, err)
	}
	refused := (*asking.RefusedError)(nil)
	if _, err := ask("/refuses"); !errors.As(err, &refused) || refused.Text != "not by its configuration" {
		t.Errorf("a refusal is %v", err)
	}
	if _, err := ask("/fails"); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "500 Internal Server Error: out of order") {
		t.Errorf("a failure is %v", err)
	}
	if _, err := ask("/floods"); err == nil {
		t.Error("a long failure is none")
	} else if len(err.Error()) > 20<<10 {
		t.Errorf("a long failure has %d bytes", len(err.Error()))
	}
	link.Close("it leaves")
	if _, err := ask("/answers"); err == nil || !strings.Contains(err.Error(), "asking the agent") {
		t.Errorf("an agent that is gone: %v", err)
	}
}
