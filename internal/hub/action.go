package hub

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/people/audit"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/spoke"
)

// operation is what an operator's request does on one cluster.
type operation struct {
	// before is what the audit has of how things were; nil has nothing.
	before func(spoke.State, Action) any
	// do does it, and returns how things are then, if there is more to say than that.
	do func(context.Context, keeper, Action) (after any, err error)
}

// operations are those of the API.
func (h *Hub) operations() map[string]operation {
	return map[string]operation{
		"renew": {do: func(ctx context.Context, s keeper, _ Action) (any, error) {
			r, ok := s.(*remote)
			if !ok {
				return nil, errors.New("no agent keeps the cluster, so that there is no certificate")
			}
			end, err := r.renew(ctx)
			return map[string]time.Time{"certificateEnd": end}, err
		}},
		"sync": {do: func(ctx context.Context, s keeper, a Action) (any, error) {
			if a.RerunHooks {
				return nil, s.RerunHooks(ctx, a.App)
			}
			return nil, s.Sync(ctx, a.App)
		}},
		"confirm": {before: heldLists, do: func(ctx context.Context, s keeper, a Action) (any, error) { return nil, s.Confirm(ctx, a.Digest) }},
		"pause": {before: pausesOf, do: func(ctx context.Context, s keeper, a Action) (any, error) {
			pause := spoke.Pause{App: a.App, Until: h.opts.Now().Add(a.For), Actor: a.Actor, Reason: a.Reason}
			err := s.Pause(ctx, pause)
			h.keepPauses()
			if a.For == 0 {
				return nil, err
			}
			return pause, err
		}},
	}
}

// pausesOf are the pauses of what is about to be paused.
func pausesOf(state spoke.State, a Action) any {
	pauses := []spoke.Pause{}
	for _, p := range state.Pauses {
		if p.App == a.App {
			pauses = append(pauses, p)
		}
	}
	return pauses
}

// heldLists are the lists of deletions that are about to be allowed, by app.
func heldLists(state spoke.State, a Action) any {
	lists := map[string]any{}
	for _, app := range state.Apps {
		if app.Held != nil && app.Held.Digest == a.Digest {
			lists[app.Name] = app.Held
		}
	}
	return map[string]any{"digest": a.Digest, "held": lists}
}

// maxPause is how long a pause may be: each is asked for anew after a week.
const maxPause = 7 * 24 * time.Hour

// action runs an operator's request on one cluster, or on all where it applies and
// the operator may. On each it is written down first.
func (h *Hub) action(o operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var a Action
		if !readAction(w, r, &a) {
			return
		}
		targets, barred := h.targets(gate.From(r.Context()), a)
		switch {
		case barred != "":
			a.Cluster = barred
			h.forbid(w, r, a)
			return
		case len(targets) == 0 && a.Cluster != "":
			h.absent(w, a.Cluster)
			return
		case len(targets) == 0:
			http.Error(w, "no cluster that is concerned", http.StatusNotFound)
			return
		}
		var (
			mu      sync.Mutex
			group   sync.WaitGroup
			outcome = Outcome{}
		)
		for name, s := range targets {
			group.Go(func() {
				text := ""
				if err := h.perform(r, o, name, s, a); err != nil {
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

// perform does what was asked for on one cluster, once that is written down.
func (h *Hub) perform(r *http.Request, o operation, cluster string, s keeper, a Action) error {
	e := entry(r, a, cluster)
	if o.before != nil {
		e.Before = audit.Value(o.before(s.State(), a))
	}
	return h.audit.Do(r.Context(), e, func() (any, error) {
		ctx, cancel := context.WithTimeoutCause(r.Context(), 10*time.Second, errors.New("the cluster's loop did not answer within 10s"))
		defer cancel()
		return o.do(ctx, s, a)
	})
}

// targets are the clusters that an action is for, of those that the caller may act
// on. If there are only others, one of those that the caller knows of is named.
func (h *Hub) targets(c gate.Caller, a Action) (targets map[string]keeper, barred string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	targets = map[string]keeper{}
	if a.Cluster != "" {
		m := h.members[a.Cluster]
		var labels map[string]string
		if m != nil {
			labels = m.labels
		}
		if !c.May(a.Cluster, labels) {
			return nil, a.Cluster
		}
		if m != nil && m.spoke != nil {
			targets[a.Cluster] = m.spoke
		}
		return targets, ""
	}
	for name, m := range h.members {
		switch {
		case m.spoke == nil || !c.Sees(name, m.labels) || !concerns(m.spoke.State(), a):
		case c.May(name, m.labels):
			targets[name] = m.spoke
		case barred == "" || name < barred:
			barred = name
		}
	}
	if len(targets) > 0 {
		barred = ""
	}
	return targets, barred
}

// readAction reads an operator's request, or answers what is wrong with it. Who it is
// of is what the caller has shown; who owns the hub says so.
func readAction(w http.ResponseWriter, r *http.Request, a *Action) bool {
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(a)
	if caller := gate.From(r.Context()); !caller.Owner {
		a.Actor = caller.Name
	}
	switch {
	case err != nil:
	case a.Actor == "":
		err = errors.New("an action needs an actor")
	case strings.HasSuffix(r.URL.Path, "/pause") && (a.For < 0 || a.For > maxPause):
		err = errors.New("a pause lasts a week at most")
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
