package spoke

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/spoke/record"
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
		record := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/secrets/"+record.Name)
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

// TestFailureIsAnEventOnce has an object refused, again and again, and another
// one beside it.
func TestFailureIsAnEventOnce(t *testing.T) {
	g := on(t)
	var mu sync.Mutex
	var told []string
	s := New(Options{
		Cluster: "one", Fleet: "fleet", Config: g.env.Config, Health: g.checker, Writer: "first",
		Listener: Listener{Event: func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == EventFailed {
				told = append(told, e.Message)
			}
		}},
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	defer func() { stop(); <-done }()

	refused := func(objects ...*unstructured.Unstructured) app.Desired {
		desired := g.desired("refused", objects...)
		desired.Options.Limits.Namespaces = []string{"elsewhere"}
		return desired
	}
	s.Assign(assigned(refused(g.configMap("a", "one"))))
	var last time.Time
	again := func() {
		t.Helper()
		g.until("the app was synced again", func() bool {
			apps := s.State().Apps
			if len(apps) == 0 || !apps[0].SyncedAt.After(last) {
				return false
			}
			last = apps[0].SyncedAt
			return true
		})
	}
	again()
	if err := s.Sync(t.Context(), "refused"); err != nil {
		t.Fatal(err)
	}
	again()
	s.Assign(assigned(refused(g.configMap("a", "one"), g.configMap("b", "one"))))
	g.until("both fail", func() bool { return len(s.State().Apps[0].Problems) == 2 })
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 2 || !strings.Contains(told[0], "/a: limits allow") || !strings.Contains(told[1], "/b: limits allow") {
		t.Errorf("told %q, want one event for each object", told)
	}
}

// What was last synced may be wanted again before what came between was synced.
func TestCommitThatIsTakenBack(t *testing.T) {
	now := time.Now()
	version := func(value string) app.Desired {
		bundle, err := app.NewBundle([]*unstructured.Unstructured{{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}, "data": map[string]any{"key": value},
		}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return app.Desired{Name: "web", Bundle: bundle}
	}
	w := newWork("web", now)
	w.want(version("one"), "", now)
	w.syncedDigest, w.syncedOptions, w.state.Sync = w.bundle.Digest, w.optionsDigest, Synced
	if w.want(version("one"), "", now); w.due(now) || w.state.Sync != Synced {
		t.Errorf("the same again: due %t, %s", w.due(now), w.state.Sync)
	}
	w.want(version("two"), "", now)
	if w.want(version("one"), "", now); w.state.Sync != Synced && !w.due(now) {
		t.Errorf("taken back: %s, and not due", w.state.Sync)
	}
	if w.syncedDigest != w.bundle.Digest {
		t.Error("what is on the cluster counts as new, and waits for what the app depends on")
	}
}

// What is rendered so far is applied, deletes nothing, and is not all that the
// cluster should hold.
func TestAssignmentWhileTheRestIsRendered(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	one, two := g.desired("one", g.configMap("one", "1")), g.desired("two", g.configMap("two", "1"))
	s.Assign(assigned(one, two))
	g.synced(s)
	more := g.desired("one", g.configMap("one", "1"), g.configMap("one-b", "1"))
	first := assigned(more)
	first.Incomplete = app.ErrRendering
	s.Assign(first)
	var state State
	g.until("what there is is applied", func() bool {
		state = s.State()
		return len(state.Apps) == 2 && state.Apps[0].Digest == more.Bundle.Digest && state.Apps[0].Sync == Synced && state.Apps[1].Sync == Synced
	})
	if state.Sync != OutOfSync || g.value("one-b") != "1" {
		t.Errorf("the cluster is %s while apps are missing, with %q", state.Sync, g.value("one-b"))
	}
	if g.value("two") != "1" {
		t.Error("an app that is not rendered yet has lost its object")
	}
	s.Assign(assigned(more, two))
	g.synced(s)
}
