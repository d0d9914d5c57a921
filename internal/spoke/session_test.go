package spoke

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What a task comes to counts also if its session ends before it.
func TestEndOfASessionTakesInWhatWasUnderWay(t *testing.T) {
	s := &session{spoke: New(Options{}), results: make(chan func(), 64)}
	ctx, cancel := context.WithCancel(t.Context())
	finished, brokenOff := newWork("finished", time.Time{}), newWork("broken off", time.Time{})
	var ended []string
	s.do(ctx, finished, func(context.Context) func() {
		return func() { ended = append(ended, finished.name) }
	})
	s.do(ctx, brokenOff, func(ctx context.Context) func() {
		<-ctx.Done()
		return func() { ended = append(ended, brokenOff.name) }
	})
	s.end(cancel)
	if len(ended) != 2 || s.running != 0 || finished.busy || brokenOff.busy {
		t.Errorf("taken in: %q, with %d under way", ended, s.running)
	}
}

// A confirmation that was used, and of which the cluster cannot be told that it
// was, is no confirmation of what comes later.
func TestRecordThatCannotBeWrittenAfterASync(t *testing.T) {
	g := on(t)
	fault := &faulty{}
	s, _ := g.through("first", fault)
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"), g.configMap("x", "one"))))
	g.synced(s)
	next := assigned(g.desired("web", g.configMap("a", "one")))
	next.Holds = map[string]string{"web": "the fleet says so"}
	s.Assign(next)
	g.until("the prune is held", func() bool { apps := s.State().Apps; return len(apps) == 1 && apps[0].Held != nil })
	var refused atomic.Bool
	fault.set(func(r *http.Request) (*http.Response, error) {
		record := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/"+recordName)
		if record && g.value("x") == "" && !refused.Swap(true) {
			return nil, errors.New("the network is down")
		}
		return nil, nil
	})
	if err := s.Confirm(t.Context(), s.State().Apps[0].Held.Digest); err != nil {
		t.Fatal(err)
	}
	g.until("the confirmation is used up", func() bool { return refused.Load() && len(g.record().Confirmed) == 0 })
}
