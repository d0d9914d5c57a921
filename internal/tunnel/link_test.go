package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func ended(t *testing.T, l *Link, text string) {
	t.Helper()
	select {
	case <-l.Done():
	case <-time.After(patience):
		t.Fatalf("the link of %s goes on", l.Identity())
	}
	if !strings.Contains(l.Err().Error(), text) {
		t.Errorf("the link ended with %q, not %q", l.Err(), text)
	}
}

// TestRevocation ends a link whose identity is no longer accepted, and tells the
// agent; calls on the connection are refused before anybody has looked.
func TestRevocation(t *testing.T) {
	w := newWorld(t, nil)
	bad, good := w.agent(w.token("bad", 1)).start(), w.agent(w.token("good", 1)).start()
	c := bad.connected()
	good.connected()
	eventually(t, "both are there", w.linked("bad", "good"))
	link := w.server.Links()[0]
	w.revokeBelow("bad", 2)
	if _, err := call(c.Client(), HubURL, "x"); err == nil || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("a call of one that is revoked: %v", err)
	}
	w.server.Recheck()
	ended(t, link, "was revoked")
	bad.saw("the hub has closed the connection: nave://test/bad/1 was revoked: the lowest number is 2")
	bad.saw("the hub refuses nave://test/bad/1: nave://test/bad/1 was revoked")
	if refusal := w.refused("link", "was revoked"); !refusal.Proven || refusal.Claimed.Cluster != "bad" {
		t.Errorf("the audit is told %+v", refusal)
	}
	eventually(t, "the other is left alone", w.linked("good"))
}

// TestDismissal has an agent that is connected be told to leave, which ends it; a
// cluster that was never enrolled cannot be told so by a token alone.
func TestDismissal(t *testing.T) {
	var dismissed atomic.Bool
	w := newWorld(t, func(o *ServerOptions) {
		accepts := o.Accepts
		o.Accepts = func(id Identity) error {
			if dismissed.Load() {
				return &DismissedError{"it was removed"}
			}
			return accepts(id)
		}
	})
	m := w.agent(w.token("prod", 1))
	ended := make(chan error, 1)
	connected := make(chan struct{}, 1)
	go func() {
		ended <- Keep(t.Context(), m.o, func(ctx context.Context, _ *Conn) error {
			connected <- struct{}{}
			<-ctx.Done()
			return nil
		})
	}()
	<-connected
	dismissed.Store(true)
	w.server.Recheck()
	var why *DismissedError
	if err := <-ended; !errors.As(err, &why) || why.Reason != "it was removed" {
		t.Errorf("the agent ended with %v, want that it was removed", err)
	}
	w.refused("link", "it was removed")

	stranger := w.agent(w.token("other", 1)).start()
	stranger.saw("it was removed") // and goes on
}

// TestHubRestart has an agent come back to a hub that was stopped, and to one
// that was killed.
func TestHubRestart(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1)).start()
	m.connected()
	for range 3 {
		eventually(t, "the link is there", w.linked("prod"))
		w.stop()
		m.saw("the hub has closed the connection: the hub stops")
		w.start(w.address)
		c := m.connected()
		mustCall(t, c.Client(), HubURL, "again", "hub to prod: again")
	}
	if len(w.enrolled) != 1 {
		t.Errorf("enrolled were %v", w.enrolled)
	}
}

// TestAgentStops tells the hub at once.
func TestAgentStops(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1)).start()
	m.connected()
	eventually(t, "the link is there", w.linked("prod"))
	m.stop()
	eventually(t, "the link is gone", w.linked())
}

// TestAgentStopsInACall has an agent that is stopped end the hub's call before it
// says that it has.
func TestAgentStopsInACall(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	began := make(chan struct{})
	var over atomic.Bool
	m.o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		<-time.After(100 * time.Millisecond) // it puts things in order
		over.Store(true)
	})
	m.start().connected()
	eventually(t, "the link is there", w.linked("prod"))
	link := w.server.Links()[0]
	called := make(chan error, 1)
	go func() {
		_, err := call(link.Client(), AgentURL, "x")
		called <- err
	}()
	<-began
	m.stop()
	if !over.Load() {
		t.Error("Keep returned before the call had ended")
	}
	if err := <-called; err == nil {
		t.Error("a call that was broken off is none for the hub")
	}
}

// TestCarries tells calls over the connection of a link from those of another process
// of the same identity, and from what is no call.
func TestCarries(t *testing.T) {
	var mu sync.Mutex
	carried := map[string]int{} // calls by their path and the age of the link that carries them
	var w *world
	w = newWorld(t, func(o *ServerOptions) {
		o.Second = func(context.Context, *Link, *Link) {}
		o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			for i, link := range w.server.Links() {
				if link.Carries(r.Context()) {
					carried[fmt.Sprint(r.URL.Path, " by ", i)]++
				}
				if link.Carries(t.Context()) {
					t.Error("a link carries what is no call")
				}
			}
		})
	})
	older := w.agent(w.token("prod", 1))
	first := older.start().connected()
	eventually(t, "one is there", w.linked("prod"))
	newer := w.agent("")
	newer.memory = &memory{have: older.memory.have}
	newer.o.Keeper = newer.memory
	second := newer.start().connected()
	eventually(t, "both are there", w.linked("prod", "prod"))
	mustCall(t, first.Client(), HubURL+"/older", "", "")
	mustCall(t, second.Client(), HubURL+"/newer", "", "")
	mu.Lock()
	defer mu.Unlock()
	if len(carried) != 2 || carried["/older by 0"] != 1 || carried["/newer by 1"] != 1 {
		t.Errorf("calls were carried as %v", carried)
	}
}

// TestServeReturns gives up the connection when the agent's own work ends, and
// tells why.
func TestServeReturns(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	times := 0
	err := Keep(ctx, m.o, func(context.Context, *Conn) error {
		if times++; times == 2 {
			cancel()
		}
		return errors.New("cannot read the record")
	})
	if !errors.Is(err, context.Canceled) || times != 2 {
		t.Errorf("Keep returned %v after %d connections", err, times)
	}
	m.saw("cannot read the record")
}

// TestSecond has two processes of one identity: the newest counts where nobody
// else decides, the higher number counts more, and the hub may keep both.
func TestSecond(t *testing.T) {
	clone := func(w *world, m *member) *member {
		second := w.agent("")
		second.memory = &memory{have: m.memory.have}
		second.o.Keeper = second.memory
		return second
	}
	t.Run("the newest counts", func(t *testing.T) {
		w := newWorld(t, nil)
		m := w.agent(w.token("prod", 1)).start()
		m.connected()
		eventually(t, "the link is there", w.linked("prod"))
		older := w.server.Links()[0]
		clone(w, m).start().connected()
		ended(t, older, "another process of this cluster")
		m.saw("another process of this cluster")
	})
	t.Run("a lower number does not", func(t *testing.T) {
		w := newWorld(t, nil)
		low := w.agent(w.token("prod", 1))
		if _, err := w.bare(low).enrolled(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.agent(w.token("prod", 2)).start().connected()
		eventually(t, "the link is there", w.linked("prod"))
		link := w.server.Links()[0]
		low.start().saw("nave://test/prod/2 is connected")
		if link.Err() != nil {
			t.Error(link.Err())
		}
	})
	t.Run("the hub asks both", func(t *testing.T) {
		var mu sync.Mutex
		var asked []string
		w := newWorld(t, func(o *ServerOptions) {
			o.Second = func(_ context.Context, older, newer *Link) {
				for _, l := range []*Link{older, newer} {
					answer, err := call(l.Client(), AgentURL+"/lease", "lease")
					mu.Lock()
					asked = append(asked, answer+errOrNothing(err))
					mu.Unlock()
				}
			}
		})
		m := w.agent(w.token("prod", 1)).start()
		m.connected()
		eventually(t, "one is there", w.linked("prod"))
		clone(w, m).start().connected()
		eventually(t, "both are there", w.linked("prod", "prod"))
		mu.Lock()
		defer mu.Unlock()
		if strings.Join(asked, ", ") != "agent: lease, agent: lease" {
			t.Errorf("they say %q", asked)
		}
	})
}

// TestSameProcess replaces a link by one of the same process without asking, and
// begins with the second when the hub is done with the first.
func TestSameProcess(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	w := newWorld(t, func(o *ServerOptions) {
		o.Second = func(context.Context, *Link, *Link) { t.Error("one process was taken for two") }
		o.Linked = func(ctx context.Context, _ *Link) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-ctx.Done()
			<-time.After(20 * time.Millisecond) // the hub puts things in order
			mu.Lock()
			running--
			mu.Unlock()
		}
	})
	have := w.credentials("prod", 1)
	a := w.bare(w.agent(""))
	var links []*Link
	for i := range 5 {
		client, err := a.dial(t.Context(), &have.pair, have.Roots)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		conn, hang, err := a.link(t.Context(), client, have)
		if err != nil {
			t.Fatal(err)
		}
		defer hang()
		server, listener := a.server(), newQueue()
		go server.Serve(listener)
		defer server.Close()
		listener.put(conn.stream)
		eventually(t, "the new link is there", func() bool {
			now := w.server.Links()
			return len(now) == 1 && (i == 0 || now[0] != links[i-1])
		})
		links = append(links, w.server.Links()[0])
	}
	for _, l := range links[:4] {
		ended(t, l, "connected once more")
	}
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("the hub had %d links of one process at once", most)
	}
}

// TestLinkedReturns ends the link when the hub is done with it.
func TestLinkedReturns(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) {
		o.Linked = func(_ context.Context, l *Link) { l.Close("prod was removed from the fleet\nbye") }
	})
	m := w.agent(w.token("prod", 1)).start()
	m.connected()
	m.saw("prod was removed from the fleet\nbye")
}

func TestVersions(t *testing.T) {
	w := newWorld(t, nil)
	have := w.credentials("prod", 1)
	a := w.bare(w.agent(""))
	tests := []struct {
		reason string
		hello  Hello
		want   int
	}{
		{"as it is", Hello{Protocol: Protocol}, http.StatusOK},
		{"a minor version ahead", Hello{Protocol: Version{Protocol.Major, Protocol.Minor + 1}}, http.StatusOK},
		{"a major version ahead", Hello{Protocol: Version{Protocol.Major + 1, 0}, Product: "v9"}, http.StatusUpgradeRequired},
		{"none", Hello{}, http.StatusBadRequest},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			client, err := a.dial(t.Context(), &have.pair, have.Roots)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			header, err := test.hello.encode()
			if err != nil {
				t.Fatal(err)
			}
			read, write := io.Pipe()
			defer write.Close()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, HubURL+linkPath, read)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(helloHeader, header)
			answer, err := client.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != test.want {
				t.Errorf("the hub answers %s: %s", answer.Status, reason(answer))
			}
		})
	}
	w.refused("link", `the agent speaks version 2.0 of the protocol (it is nave "v9"), the hub version `+Protocol.String())
	if err := (Hello{Protocol: Version{2, 0}, Product: "v9"}).speaks("agent", "hub"); err == nil || !strings.Contains(err.Error(), "the hub speaks version 2.0") {
		t.Errorf("the agent says %v", err)
	}
}
