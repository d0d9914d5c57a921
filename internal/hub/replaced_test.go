package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"nave.dev/internal/hub/marking"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
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

// TestReportsBesideTheOneThatCounts has a second process of a cluster connect while
// the hub waits for what the first one says of its lease. What the second reports
// meanwhile is not taken for a word of the first, and none of its events is lost.
func TestReportsBesideTheOneThatCounts(t *testing.T) {
	h := lostHub(t, t.TempDir())
	h.agentOf("one")
	dir := t.TempDir()
	if err := authority.Init(dir, "acme", time.Now()); err != nil {
		t.Fatal(err)
	}
	key, err := authority.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	h.agents.marks = &marking.Marks{Store: h.store, Authority: key, Log: h.opts.Log}
	server, err := tunnel.NewServer(tunnel.ServerOptions{
		Authority: key, Handler: h.agentCalls(), Linked: h.linked, Second: h.second,
		Accepts: func(tunnel.Identity) error { return nil },
		Used:    func(context.Context, authority.Claims, string) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { server.Serve(ctx, listener) })
	token, _, err := key.Token("one", 1, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keeper := &credentials{}
	asked, answers := make(chan struct{}), make(chan struct{})
	process := func(lease http.HandlerFunc) *tunnel.Conn {
		conns := make(chan *tunnel.Conn, 10)
		mux := http.NewServeMux()
		mux.HandleFunc("GET "+protocol.LeasePath, lease)
		running.Go(func() {
			tunnel.Keep(ctx, tunnel.Options{
				Hub: listener.Addr().String(), Keeper: keeper, Roots: key.Roots(), Handler: mux,
				Token: func() (string, error) { return token, nil },
				Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
			}, func(ctx context.Context, c *tunnel.Conn) error {
				conns <- c
				<-ctx.Done()
				return nil
			})
		})
		return <-conns
	}
	reports := func(c *tunnel.Conn, events ...string) (whole bool) {
		t.Helper()
		report := protocol.Report{Whole: true, Sequence: 1, First: 1, State: spoke.State{Cluster: "one", Online: true}}
		for _, text := range events {
			report.Events = append(report.Events, spoke.Event{Kind: spoke.EventFailed, Message: text})
		}
		body, err := protocol.Compressed(report)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Client().Post(tunnel.HubURL+protocol.ReportPath, "", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var taken protocol.Taken
		if err := json.NewDecoder(response.Body).Decode(&taken); err != nil {
			t.Fatal(err)
		}
		return taken.Whole
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !is(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}

	older := process(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answers
		answer(w, protocol.Lease{})
	})
	until("the report of the only process is not taken", func() bool { return !reports(older, "a", "b") })
	newer := process(func(w http.ResponseWriter, _ *http.Request) { answer(w, protocol.Lease{Held: true}) })
	<-asked
	if !reports(newer, "c", "d") {
		t.Error("a report of the second process is taken while the first one counts")
	}
	close(answers)
	until("the report of the process that is left is not taken", func() bool { return !reports(newer, "c", "d") })
	var heard []string
	events, _ := h.journal.Since(0, 100)
	for _, event := range events {
		if event.Kind == spoke.EventFailed {
			heard = append(heard, event.Message)
		}
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(heard, want) {
		t.Errorf("heard were the events %q, want %q", heard, want)
	}
}
