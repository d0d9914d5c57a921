package hub

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/desired"
	"nave.dev/internal/hub/fetching"
	"nave.dev/internal/hub/marking"
	"nave.dev/internal/hub/metrics"
	"nave.dev/internal/hub/past"
	"nave.dev/internal/hub/upkeep"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
)

// lostHub is a hub with agents in a directory, as Run has it, with the database that is there.
func lostHub(t *testing.T, dir string) *Hub {
	t.Helper()
	memory, err := sqlite.Open(t.Context(), upkeep.Database(dir), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	h := &Hub{sources: fetching.New(&desired.Pipeline{}, nil, nil),
		opts: Options{Dir: dir, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, ctx: t.Context(), store: memory, agents: &agents{},
		members: map[string]*member{}, before: map[string]store.Cluster{}, trigger: make(chan struct{}, 1),
	}
	repository := t.TempDir()
	if err := os.WriteFile(filepath.Join(repository, "fleet.yaml"), []byte("apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if h.pipeline, err = desired.Open(t.Context(), desired.Options{Dir: t.TempDir(), Worktree: repository}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.pipeline.Close() })
	if h.pinned, err = h.pipeline.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.metrics = metrics.New(h.seen)
	h.meet()
	if err := h.recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *Hub) agentOf(name string) *remote {
	r := newRemote(h, name, h.ctx)
	h.members[name] = &member{spoke: r}
	return r
}

// reports has an agent have reported.
func (r *remote) reports(number int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mirror.Take(protocol.Report{Whole: true, Sequence: 1, State: spoke.State{Cluster: r.cluster, Version: "v1.36.3"}, Apps: []spoke.AppState{{Name: "web", Sync: spoke.Synced}}})
	r.last.Identity, r.last.LastSeen, r.news = number, time.Now(), true
}

// TestRecovering follows a hub that has the key and not its database: nothing
// enrols until every cluster of which it matters has reported, and what they report
// is known before.
func TestRecovering(t *testing.T) {
	dir := t.TempDir()
	h := lostHub(t, dir)
	one, two := h.agentOf("one"), h.agentOf("two")
	h.agentOf("asleep")
	h.members["asleep"].suspended = true
	h.members["over"] = &member{expires: time.Now().Add(-time.Hour)}
	h.members["local"] = &member{spoke: &still{}}
	awaits := func(reason string, want ...string) {
		t.Helper()
		h.recover(t.Context(), h.pinned)
		missing := h.snapshot().Recovering
		if missing == nil {
			missing = &marking.Recovering{}
		}
		if diff := cmp.Diff(want, missing.Awaited); diff != "" {
			t.Errorf("%s: -want +have:\n%s", reason, diff)
		}
		for _, sees := range []bool{true, false} {
			why := h.enrolmentWaits(func(string) bool { return sees })
			if waits := why != nil; waits != (want != nil) {
				t.Errorf("%s: enrolment waits: %t", reason, waits)
			}
			if !sees && len(want) > 0 && !strings.Contains(why.Error(), "waits for other clusters\n") {
				t.Errorf("%s: one who may know of no cluster is told %q", reason, why)
			}
		}
	}
	awaits("suspended ones, those whose time is over and those without agents are not waited for", "one", "two")
	one.reports(3)
	awaits("each counts", "two")
	h.pinned.Fleet.Incomplete = context.Canceled
	two.reports(5)
	h.recover(t.Context(), h.pinned)
	if h.enrolmentWaits(func(string) bool { return true }) == nil {
		t.Error("a fleet that is not read whole may have more clusters")
	}
	h.pinned.Fleet.Incomplete = nil
	awaits("all have reported")
	err := h.store.UseToken(t.Context(), store.Token{ID: "t", Cluster: "two", Identity: 5, Key: "thief"})
	if err == nil || !strings.Contains(err.Error(), store.ErrSuperseded.Error()) {
		t.Errorf("a token that was used before the loss: %v", err)
	}

	// An agent knows of a later state than the database has: it was put back.
	later := h.store.Mark()
	later.Opening = "lost"
	if err := h.store.Lacks(t.Context(), later, "an agent says so"); err != nil {
		t.Fatal(err)
	}
	h.agentOf("three")

	// An operator names who stays away, all of them, with a reason.
	for _, c := range []struct {
		reason, body string
		status       int
		text         string
	}{
		{"no reason", `{"actor": "a", "without": ["three"]}`, http.StatusBadRequest, "reason"},
		{"not all", `{"actor": "a", "reason": "x", "without": ["one"]}`, http.StatusConflict, "three"},
		{"all", `{"actor": "a", "reason": "x", "without": ["three"]}`, http.StatusOK, "three"},
		{"again", `{"actor": "a", "reason": "x"}`, http.StatusConflict, "not recovering"},
	} {
		recorder := httptest.NewRecorder()
		gate.Owner(http.HandlerFunc(h.serveRecovered)).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/api/v1/recovered", strings.NewReader(c.body)))
		if recorder.Code != c.status || !strings.Contains(recorder.Body.String(), c.text) {
			t.Errorf("%s: %d %s", c.reason, recorder.Code, recorder.Body)
		}
	}
	page, err := h.store.Entries(t.Context(), store.EntryQuery{Action: "recovered"})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Outcome != "done" {
		t.Errorf("the audit has %+v, %v", page.Entries, err)
	}

	// The next hub shows what was known, as what it is.
	past.Write(h.store, spoke.Event{Time: time.Now(), Cluster: "one", App: "web", Kind: spoke.EventDrift, Message: "m"})
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	next := lostHub(t, dir)
	state := next.agentOf("two").State()
	if state.Online || state.Version != "v1.36.3" || state.Sync != spoke.Unknown || len(state.Apps) != 1 || state.Apps[0].Sync != spoke.Unknown || state.Error != past.ErrUnseen.Error() {
		t.Errorf("after a restart: %+v", state)
	}
	if agent := next.remoteOf("two").agent(); agent.Identity != 5 || !agent.Connected.IsZero() {
		t.Errorf("%+v", agent)
	}
	recorder := httptest.NewRecorder()
	gate.Owner(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { past.ServeEvents(next.store, next.sight(r), w, r) })).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/?cluster=one&app=web&since=2020-01-01T00:00:00Z", nil))
	if !strings.Contains(recorder.Body.String(), `"message":"m"`) {
		t.Errorf("the history: %s", recorder.Body)
	}
}

// TestReportedBeforeGiven has an agent report to a hub that has compiled without it:
// what it shows is of another state of Git than the one in force, until it is given
// that, and `nave wait` must not take it for the new one.
func TestReportedBeforeGiven(t *testing.T) {
	h := lostHub(t, t.TempDir())
	r := h.agentOf("one")
	sync := func() spoke.SyncStatus { return r.State().Sync }
	says := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.mirror.Take(protocol.Report{Whole: true, Sequence: 1, State: spoke.State{Cluster: "one", Sync: spoke.Synced}})
	}
	r.owe(true) // as a compilation without it does
	says()
	if have := sync(); have != spoke.OutOfSync {
		t.Errorf("a cluster that was given nothing of the state in force is %s", have)
	}
	r.owe(false)
	if have := sync(); have != spoke.Synced {
		t.Errorf("a cluster that was given what it has is %s", have)
	}
}
