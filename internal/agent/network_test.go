package agent

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/protocol"
	"nave.dev/internal/tunnel"
)

// Faults of the network, at five times the speed: a line of 250 kB a second stands for
// one of 50, and a silence of two seconds for one of ten. The bytes are those of
// earnest, so that what waits behind what, in lengths of silence, is as well.
const speedup = 5

var (
	fast  = tunnel.Limits{Silence: 10 * time.Second / speedup}
	large = map[string]int{"a": 700_000, "b": 700_001, "c": 700_002, "d": 700_003}
)

// most is how much of bundles may be on its way when a connection breaks, by the
// windows of the tunnel, and so be sent again.
const most = 384 << 10

// TestSlowLine has an agent fetch large bundles over a slow line that breaks once on
// the way. Meanwhile the hub asks, and nobody is taken for dead.
func TestSlowLine(t *testing.T) {
	w := newWorld(t, fast)
	w.gives(1, large)
	slow := newLine(t, w.address, 50_000*speedup, 500*time.Millisecond/2/speedup)
	w.start(slow.Addr().String(), func(o *Options) { o.limits = fast })
	w.until("a good part has come", func() bool { return w.served > 1<<20 })
	slow.breaks()
	w.until("the agent is back", func() bool { return len(w.links) == 2 })
	link := w.links[1]

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := make(chan []time.Duration)
	go func() {
		var took []time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			var lease protocol.Lease
			if said := w.call(t.Context(), link, http.MethodGet, protocol.LeasePath, "", &lease); said != "" {
				t.Errorf("asked in between, the agent says %q", said)
				break
			}
			took = append(took, time.Since(began))
		}
		asked <- took
	}()
	w.synced()
	stop()
	var longest time.Duration
	took := <-asked
	for _, one := range took {
		longest = max(longest, one)
	}
	t.Logf("%d bytes of bundles, %d sent; %d questions in between, the longest took %s", w.bytes(), w.served, len(took), longest)
	if len(took) < 6 { // behind a megabyte of bundles each there is room for two
		t.Errorf("%d questions were answered beside the bundles", len(took))
	}
	if len(w.links) != 2 || link.Err() != nil {
		t.Errorf("there were %d connections, want 2: %v", len(w.links), link.Err())
	}
	if over := w.served - w.bytes(); over > most {
		t.Errorf("%d bytes were sent again", over)
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}, w.applied()); diff != "" {
		t.Errorf("applied, -want +have:\n%s", diff)
	}
}

// TestPartition has what is sent in one direction, the other, or both vanish in the
// middle of a bundle. Both ends notice, or the hub hears of it by the agent's next
// connection; what came before counts, and nothing is applied twice.
func TestPartition(t *testing.T) {
	for _, test := range []struct {
		reason     string
		directions []int
		hub        tunnel.Limits
		err        string // of the hub's end of the connection that was cut, if it is known
	}{
		{"to the hub", []int{up}, fast, ""},
		{"to the agent", []int{down}, fast, ""},
		{"both", []int{up, down}, fast, ""},
		{"both, and the hub is slow to notice", []int{up, down}, tunnel.Limits{Silence: time.Hour}, "closed by the hub: the agent has connected once more"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			w := newWorld(t, test.hub)
			w.gives(1, map[string]int{"a": 700_000, "b": 400_000})
			slow := newLine(t, w.address, 50_000*speedup, 5*time.Millisecond)
			w.start(slow.Addr().String(), func(o *Options) { o.limits = fast })
			w.until("a part has come", func() bool { return w.served > most*3/2 })
			slow.cuts(test.directions...)
			w.until("the agent is back", func() bool { return len(w.links) == 2 })
			w.until("the connection that was cut has ended", func() bool { return w.links[0].Err() != nil })
			if err := w.links[0].Err(); test.err != "" && err.Error() != test.err {
				t.Errorf("the connection that was cut ended with %v", err)
			}
			w.synced()
			t.Logf("%d bytes of bundles, %d sent", w.bytes(), w.served)
			if over := w.served - w.bytes(); over > most {
				t.Errorf("%d bytes were sent again", over)
			}
			if w.second > 0 {
				t.Error("the agent was taken for two")
			}
			if diff := cmp.Diff(map[string]int{"a": 1, "b": 1}, w.applied()); diff != "" {
				t.Errorf("applied, -want +have:\n%s", diff)
			}
			// And it goes on: what is next is applied, once.
			w.gives(2, map[string]int{"a": 1000, "b": 1000})
			w.mu.Lock()
			link, given := w.link, w.given
			w.mu.Unlock()
			if said := w.put(t.Context(), link, given); said != "" {
				t.Fatal(said)
			}
			w.synced()
			if diff := cmp.Diff(map[string]int{"a": 2, "b": 2}, w.applied()); diff != "" {
				t.Errorf("applied in the end, -want +have:\n%s", diff)
			}
		})
	}
}
