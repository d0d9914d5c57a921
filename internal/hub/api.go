package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/desired"
	"nave.dev/internal/spoke"
)

// Socket returns where the hub that works in a directory is reached.
func Socket(dir string) string { return filepath.Join(dir, "hub.sock") }

// Fleet is what the hub knows at one moment.
type Fleet struct {
	Name     string                `json:"name"`
	Revision Revision              `json:"revision"`
	Sources  []desired.SourceState `json:"sources"`
	// NextFetch is when all of them are fetched again, if nothing asks before.
	NextFetch time.Time `json:"nextFetch,omitzero"`

	Sync     spoke.SyncStatus `json:"sync"`
	Health   spoke.Health     `json:"health"`
	Clusters []Cluster        `json:"clusters"`
}

// Cluster is a member of the fleet and what is known of it.
type Cluster struct {
	Labels  map[string]string `json:"labels,omitempty"`
	Expires time.Time         `json:"expires,omitzero"`
	// Agent is nil for a cluster that is kept from the hub's own process.
	Agent *Agent `json:"agent,omitempty"`
	spoke.State
}

// Action is an operator's request.
type Action struct {
	Cluster string        `json:"cluster,omitempty"` // empty is every cluster concerned
	App     string        `json:"app,omitempty"`
	Digest  string        `json:"digest,omitempty"`
	For     time.Duration `json:"for,omitempty"`
	Actor   string        `json:"actor"`
	Reason  string        `json:"reason,omitempty"`
	// RerunHooks has a sync run the app's hooks again.
	RerunHooks bool `json:"rerunHooks,omitempty"`
}

// Outcome is what an action came to on each cluster: empty text is success.
type Outcome map[string]string

// Events is a piece of the journal.
type Events struct {
	Events []spoke.Event `json:"events"`
	Next   int64         `json:"next"` // number to ask from next time
}

// snapshot returns what is known now.
func (h *Hub) snapshot() Fleet {
	h.mu.Lock()
	defer h.mu.Unlock()
	fleet := Fleet{Revision: h.revision, Sources: h.sourceStates(), NextFetch: h.nextFetch, Sync: spoke.Synced, Clusters: []Cluster{}}
	if h.pinned != nil {
		fleet.Name = h.pinned.Fleet.Name
	}
	var states []spoke.State
	for name, m := range h.members {
		c := Cluster{Labels: m.labels, Expires: m.expires}
		if m.spoke != nil {
			c.State = m.spoke.State()
			if r, ok := m.spoke.(*remote); ok {
				c.Agent = r.agent()
			}
			if m.err != "" && c.Error == "" {
				c.Error = m.err
			}
			if m.unkept != nil && c.Online { // what it has is that of another revision
				c.Sync, c.Error = spoke.OutOfSync, m.unkept.Error()
			}
		} else {
			c.State = spoke.State{Cluster: name, Error: m.err, Sync: spoke.Unknown, Health: spoke.Health{Status: spoke.HealthUnknown}}
		}
		if !c.Online || c.Sync != spoke.Synced {
			fleet.Sync = spoke.OutOfSync
		}
		states = append(states, c.State)
		fleet.Clusters = append(fleet.Clusters, c)
	}
	slices.SortFunc(fleet.Clusters, func(a, b Cluster) int { return strings.Compare(a.Cluster, b.Cluster) })
	fleet.Health = spoke.FleetHealth(states)
	if len(fleet.Clusters) == 0 {
		fleet.Sync = spoke.Unknown
	}
	return fleet
}

// serve answers the command line on a socket that only its owner can reach, and
// metrics and webhooks on an address if one is given. It returns at once.
func (h *Hub) serve(ctx context.Context) error {
	listener, err := h.socket()
	if err != nil {
		return fmt.Errorf("listening for the command line: %w", err)
	}
	h.listen(ctx, listener, h.api())
	if h.opts.Listen == "" {
		return nil
	}
	listener, err = net.Listen("tcp", h.opts.Listen)
	if err != nil {
		return fmt.Errorf("listening for metrics and webhooks: %w", err)
	}
	h.listen(ctx, listener, h.public())
	return nil
}

// socket listens where the command line reaches the hub. The directory is this
// hub's own, so that a socket which is there already is a dead one's. The new one
// is made aside, and is where it is looked for only once others cannot open it.
func (h *Hub) socket() (net.Listener, error) {
	path := Socket(h.opts.Dir)
	aside := filepath.Join(h.opts.Dir, "hub.new")
	for _, old := range []string{aside, path} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: aside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err = os.Chmod(aside, 0o600); err == nil {
		err = os.Rename(aside, path)
	}
	if err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

func (h *Hub) listen(ctx context.Context, listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	h.spokes.Go(func() {
		defer stop()
		server.Serve(listener)
	})
}

func (h *Hub) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/fleet", func(w http.ResponseWriter, _ *http.Request) { answer(w, h.snapshot()) })
	mux.HandleFunc("GET /api/v1/events", h.serveEvents)
	mux.HandleFunc("GET /api/v1/diff", h.serveDiff)
	mux.HandleFunc("GET /api/v1/orphans", h.serveOrphans)
	mux.HandleFunc("POST /api/v1/refresh", func(w http.ResponseWriter, _ *http.Request) {
		h.Trigger()
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /api/v1/sync", h.action(func(ctx context.Context, s keeper, a Action) error {
		if a.RerunHooks {
			return s.RerunHooks(ctx, a.App)
		}
		return s.Sync(ctx, a.App)
	}))
	mux.HandleFunc("POST /api/v1/confirm", h.action(func(ctx context.Context, s keeper, a Action) error { return s.Confirm(ctx, a.Digest) }))
	mux.HandleFunc("POST /api/v1/pause", h.action(func(ctx context.Context, s keeper, a Action) error {
		err := s.Pause(ctx, spoke.Pause{App: a.App, Until: h.opts.Now().Add(a.For), Actor: a.Actor, Reason: a.Reason})
		h.keepPauses()
		return err
	}))
	mux.HandleFunc("POST /api/v1/join", h.serveJoin)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// serveEvents returns events from a number on; with wait it blocks until there
// is news of any kind, at most that long.
func (h *Hub) serveEvents(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.ParseInt(r.FormValue("from"), 10, 64)
	wait, _ := time.ParseDuration(r.FormValue("wait"))
	news := h.journal.wait()
	events, next := h.journal.since(from)
	if len(events) == 0 && wait > 0 {
		timer := time.NewTimer(min(wait, time.Minute))
		defer timer.Stop()
		select {
		case <-news:
		case <-timer.C:
		case <-r.Context().Done():
		}
		events, next = h.journal.since(from)
	}
	answer(w, Events{Events: events, Next: next})
}

// action runs an operator's request on one cluster, or on all where it applies.
func (h *Hub) action(do func(context.Context, keeper, Action) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var a Action
		if !readAction(w, r, &a) {
			return
		}
		targets := map[string]keeper{}
		h.mu.Lock()
		for name, m := range h.members {
			if m.spoke != nil && (a.Cluster == "" && concerns(m.spoke.State(), a) || a.Cluster == name) {
				targets[name] = m.spoke
			}
		}
		h.mu.Unlock()
		if len(targets) == 0 && a.Cluster != "" {
			h.absent(w, a.Cluster)
			return
		}
		if len(targets) == 0 {
			http.Error(w, "no cluster that is concerned", http.StatusNotFound)
			return
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), 10*time.Second, errors.New("the cluster's loop did not answer within 10s"))
		defer cancel()
		var (
			mu      sync.Mutex
			group   sync.WaitGroup
			outcome = Outcome{}
		)
		for name, s := range targets {
			group.Go(func() {
				text := ""
				if err := do(ctx, s, a); err != nil {
					text = err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				outcome[name] = text
			})
		}
		group.Wait()
		h.opts.Log.Info("action", "path", r.URL.Path, "actor", a.Actor, "reason", a.Reason, "app", a.App, "cluster", a.Cluster, "digest", a.Digest)
		answer(w, outcome)
	}
}

// readAction reads an operator's request, or answers what is wrong with it.
func readAction(w http.ResponseWriter, r *http.Request, a *Action) bool {
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(a)
	if err == nil && a.Actor == "" {
		err = errors.New("an action needs an actor")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// concerns reports whether an action that names no cluster applies to one.
func concerns(state spoke.State, a Action) bool {
	return slices.ContainsFunc(state.Apps, func(app spoke.AppState) bool {
		if a.Digest != "" {
			return app.Held != nil && app.Held.Digest == a.Digest
		}
		return app.Name == a.App
	})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
