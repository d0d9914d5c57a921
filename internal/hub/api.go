package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"nave.dev/internal/desired"
	"nave.dev/internal/hub/marking"
	"nave.dev/internal/hub/metrics"
	"nave.dev/internal/hub/past"
	"nave.dev/internal/hub/socket"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/spoke"
)

// Fleet is what the hub knows at one moment.
type Fleet struct {
	Name     string                `json:"name"`
	Revision Revision              `json:"revision"`
	Sources  []desired.SourceState `json:"sources"`
	// Recovering is nil unless the hub's database may lack what happened.
	Recovering *marking.Recovering `json:"recovering,omitempty"`
	// NextFetch is when all of them are fetched again, if nothing asks before.
	NextFetch time.Time `json:"nextFetch,omitzero"`

	Sync     spoke.SyncStatus `json:"sync"`
	Health   spoke.Health     `json:"health"`
	Clusters []Cluster        `json:"clusters"`
	// Next is what to ask for after, if these are not all clusters.
	Next string `json:"next,omitempty"`
}

// Cluster is a member of the fleet and what is known of it.
type Cluster struct {
	Labels  map[string]string `json:"labels,omitempty"`
	Expires time.Time         `json:"expires,omitzero"`
	// Agent is nil for a cluster that is kept from the hub's own process.
	Agent *Agent `json:"agent,omitempty"`
	// AppCount is how many apps the cluster has, and AppsSynced how many of them are
	// Synced, whichever of them are shown.
	AppCount   int `json:"appCount"`
	AppsSynced int `json:"appsSynced"`
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
	// Without are clusters whose agents a hub that is recovering is not to wait for.
	Without []string `json:"without,omitempty"`
}

// Outcome is what an action came to on each cluster: empty text is success.
type Outcome map[string]string

// Events is a piece of the journal.
type Events struct {
	Events []spoke.Event `json:"events"`
	Next   int64         `json:"next"` // number to ask from next time
	// More says that there are further ones already.
	More bool `json:"more,omitempty"`
}

// snapshot returns what is known now.
func (h *Hub) snapshot() Fleet {
	h.mu.Lock()
	defer h.mu.Unlock()
	fleet := Fleet{Revision: h.revision, Sources: h.sources.States(h.pinned), NextFetch: h.nextFetch, Clusters: []Cluster{}, Recovering: h.recovering()}
	if h.pinned != nil {
		fleet.Name = h.pinned.Fleet.Name
	}
	for name, m := range h.members {
		c := Cluster{Labels: m.labels, Expires: m.expires}
		if m.spoke != nil {
			c.State = m.spoke.State()
			if r, ok := m.spoke.(*remote); ok {
				c.Agent = r.agent()
				c.AppCount, c.AppsSynced = len(c.Apps), r.synced()
			} else {
				c.count()
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
		fleet.Clusters = append(fleet.Clusters, c)
	}
	slices.SortFunc(fleet.Clusters, func(a, b Cluster) int { return strings.Compare(a.Cluster, b.Cluster) })
	fleet.sum()
	return fleet
}

// seen is what is known now, for a scrape.
func (h *Hub) seen() metrics.Seen {
	fleet := h.snapshot()
	seen := metrics.Seen{Commit: fleet.Revision.Commit, Sources: fleet.Sources}
	if fleet.Recovering != nil {
		seen.Recovering, seen.Awaited = true, len(fleet.Recovering.Awaited)
	}
	for _, c := range fleet.Clusters {
		seen.Clusters = append(seen.Clusters, c.State)
	}
	return seen
}

// serve answers the command line on a socket that only its owner can reach, and
// metrics and webhooks on an address if one is given. It returns at once.
func (h *Hub) serve(ctx context.Context) error {
	listener, err := socket.Listen(h.opts.Dir)
	if err != nil {
		return fmt.Errorf("listening for the command line: %w", err)
	}
	mux := h.api()
	h.listen(ctx, listener, gate.Owner(mux), 0)
	if h.opts.People.API != "" {
		if err := h.serveAPI(ctx, mux); err != nil {
			return err
		}
	}
	if h.opts.Listen == "" {
		return nil
	}
	listener, err = net.Listen("tcp", h.opts.Listen)
	if err != nil {
		return fmt.Errorf("listening for metrics and webhooks: %w", err)
	}
	h.listen(ctx, listener, h.public(), time.Minute)
	return nil
}

// listen serves until ctx is done. A call may take as long as patience says, or any
// time if it is zero. It returns at once.
func (h *Hub) listen(ctx context.Context, listener net.Listener, handler http.Handler, patience time.Duration) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: patience, WriteTimeout: patience}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	h.spokes.Go(func() {
		defer stop()
		server.Serve(listener)
	})
}

func (h *Hub) api() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/fleet", h.serveFleet)
	mux.HandleFunc("GET /api/v1/events", h.serveEvents)
	mux.HandleFunc("GET /api/v1/diff", h.serveDiff)
	mux.HandleFunc("GET /api/v1/orphans", h.serveOrphans)
	h.questions(mux)
	mux.HandleFunc("POST /api/v1/refresh", func(w http.ResponseWriter, _ *http.Request) {
		h.Trigger()
		answer(w, struct{}{})
	})
	for name, o := range h.operations() {
		mux.HandleFunc("POST /api/v1/"+name, h.action(o))
	}
	mux.HandleFunc("GET /api/v1/audit", func(w http.ResponseWriter, r *http.Request) { past.ServeEntries(h.store, h.sight(r), w, r) })
	mux.HandleFunc("POST /api/v1/join", h.serveJoin)
	mux.HandleFunc("POST /api/v1/remove", h.serveRemove)
	mux.HandleFunc("POST /api/v1/recovered", h.serveRecovered)
	mux.HandleFunc("GET /api/v1/history", func(w http.ResponseWriter, r *http.Request) { past.ServeEvents(h.store, h.sight(r), w, r) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// eventsPage is how many events an answer has at most.
const eventsPage = 1000

// serveEvents returns events from a number on, the oldest first; with wait it blocks
// until there is news of any kind, at most that long. Without a number they are the
// last ones.
func (h *Hub) serveEvents(w http.ResponseWriter, r *http.Request) {
	from, bad := strconv.ParseInt(r.FormValue("from"), 10, 64)
	if bad != nil {
		from = -1
	}
	wait, _ := time.ParseDuration(r.FormValue("wait"))
	news := h.journal.Wait()
	events, next := h.journal.Since(from, eventsPage)
	if len(events) == 0 && wait > 0 {
		timer := time.NewTimer(min(wait, time.Minute))
		defer timer.Stop()
		select {
		case <-news:
		case <-timer.C:
		case <-r.Context().Done():
		}
		events, next = h.journal.Since(from, eventsPage)
	}
	more := len(events) == eventsPage
	sees := h.sight(r)
	seen := []spoke.Event{}
	for _, e := range events {
		if sees(e.Cluster) {
			seen = append(seen, e)
		}
	}
	answer(w, Events{Events: seen, Next: next, More: more})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
