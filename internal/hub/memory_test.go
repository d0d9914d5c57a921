package hub

import (
	"context"
	"testing"
	"time"

	"nave.dev/internal/tunnel"
)

// TestKeepKnown has a cluster that is connected be written once a minute at most, and
// at once when it is new, gone, or all is to be written.
func TestKeepKnown(t *testing.T) {
	h := lostHub(t, t.TempDir())
	r := h.agentOf("one")
	r.link = &tunnel.Link{}
	says := func(number int64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.last.Identity, r.news = number, true
	}
	written := func(reason string, all bool, want int64) {
		t.Helper()
		if err := h.keepKnown(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		clusters, err := h.store.Clusters(t.Context())
		if err != nil || len(clusters) != 1 || clusters[0].Identity != want {
			t.Errorf("%s: written is %+v (%v), want identity %d", reason, clusters, err, want)
		}
	}
	r.reports(1)
	written("new", false, 1)
	says(2)
	written("said a moment ago", false, 1)
	written("all", true, 2)
	says(3)
	r.written = time.Now().Add(-2 * writing)
	written("said long ago", false, 3)
	says(4)
	r.link = nil
	written("gone", false, 4)

	says(5)
	broken, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.keepKnown(broken, true); err == nil {
		t.Error("a database that cannot be written is no error")
	}
	written("what could not be written before", false, 5)
}
