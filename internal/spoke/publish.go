package spoke

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/claims"
)

// healthAgain is how often an app that is not healthy is judged without an event: an
// object may have been another app's when it changed.
const healthAgain = 5 * time.Second

// defaultDeadline is how long an app may take to become healthy.
const defaultDeadline = 10 * time.Minute

// publish makes what the loop knows the spoke's state, and tells the listener if
// that is another one.
func (s *session) publish() {
	state := State{
		Cluster: s.spoke.opts.Cluster, Online: true, Writer: s.writes(), Holder: s.writer.HeldBy(), Version: s.facts.KubernetesVersion,
		Number: s.records.Record.Number, Sync: Synced, Pauses: slices.Clone(s.records.Record.Pauses), Apps: make([]AppState, 0, len(s.names)),
	}
	if s.assigned == nil {
		state.Sync = Unknown
	}
	if s.refused != nil {
		state.Sync, state.Error = OutOfSync, s.refused.Error()
	}
	for kind, err := range s.away {
		state.Online, state.Error = false, fmt.Sprintf("watching %s: %v", kind, err)
		state.OfflineSince = s.now()
		break
	}
	parts := make([]health.Part, 0, len(s.names))
	for _, name := range s.names {
		w := s.apps[name]
		if w.state.Health.Status == health.Healthy {
			w.since = s.now() // the deadline counts from when it no longer is
		}
		// Without an event, only a deadline that passes makes it another.
		if !w.seen || !w.expires.IsZero() && !s.now().Before(w.expires) {
			w.state.Health, w.expires = s.appHealth(w)
			w.seen = true
		}
		parts = append(parts, w.state.Health.Part(name))
		shown := s.show(w)
		state.Apps = append(state.Apps, shown)
		switch {
		case shown.Sync == OutOfSync:
			state.Sync = OutOfSync
		case shown.Sync == Unknown && state.Sync == Synced:
			state.Sync = Unknown
		}
	}
	if s.assigned != nil && errors.Is(s.assigned.Incomplete, app.ErrRendering) && state.Sync == Synced {
		state.Sync = OutOfSync // with what is yet to come
	}
	state.Health = health.Aggregate(parts, 0)
	s.spoke.mu.Lock()
	before := s.spoke.state
	if !state.Online && !before.Online {
		state.OfflineSince = before.OfflineSince
		state.Error = before.Error // one of several kinds; the first one said it
	}
	state.ConvergedAt = before.ConvergedAt
	if state.Sync == Synced && state.Health.Status == health.Healthy && len(state.Apps) > 0 {
		if before.Sync != Synced || before.Health.Status != health.Healthy || before.ConvergedAt.IsZero() {
			state.ConvergedAt = s.now()
		}
	}
	changed := s.spoke.shown != s.assigned || !reflect.DeepEqual(before, state)
	s.spoke.state, s.spoke.shown = state, s.assigned
	if s.refused != nil {
		s.spoke.shown = s.spoke.wanted
	}
	s.spoke.mu.Unlock()
	if before.Online != state.Online {
		s.tellOnline(state)
	}
	if changed {
		s.spoke.opts.Listener.Changed(s.spoke.opts.Cluster)
	}
}

// tellOnline tells that the cluster was reached, went away or came back.
func (s *session) tellOnline(state State) {
	switch {
	case !state.Online:
		s.event("", EventOffline, state.Error, nil)
	case s.spoke.reached:
		s.event("", EventOnline, "answers again", nil)
	default:
		s.event("", EventOnline, "reached, Kubernetes "+state.Version, nil)
	}
	s.spoke.reached = s.spoke.reached || state.Online
}

// show returns the app's state as it is to be seen: what keeps it from being
// written, or told at all, comes before what was last found.
func (s *session) show(w *work) AppState {
	shown := w.state
	if w.idle && len(w.drifted) > 0 {
		shown.Sync, shown.Drift = OutOfSync, slices.Clone(shown.Drift)
		for _, id := range slices.SortedFunc(maps.Keys(w.drifted), object.Compare) {
			if !slices.ContainsFunc(shown.Drift, func(e change.Entry) bool { return e.Object == id }) {
				shown.Drift = append(shown.Drift, change.Entry{Object: id, Action: change.Drifted, Reason: "changed, and not corrected for now"})
			}
		}
	}
	if shown.Hooks = s.hooksOf(w); shown.Hooks.Message() != "" && !w.idle && shown.Sync != Unknown {
		shown.Sync, shown.Message = OutOfSync, shown.Hooks.Message()
	}
	switch {
	case w.err != nil:
		shown.Sync, shown.Message = Unknown, w.err.Error()
	case !s.writes() && s.term == nil:
		shown.Sync, shown.Message = Unknown, s.whyNot()
	}
	return shown
}

// appHealth aggregates the health of an app's objects. One that was applied and
// not yet seen by a watch is Progressing. It returns when it will be otherwise if
// nothing changes, the zero time if never.
func (s *session) appHealth(w *work) (sum health.Summary, expires time.Time) {
	if w.bundle == nil {
		return health.Summary{Status: health.Unknown}, time.Time{}
	}
	stated := s.spoke.released.Stated(w.name, w.bundle)
	results, parts := make([]health.Result, len(stated)), make([]health.Part, len(stated))
	for i, id := range stated {
		results[i] = s.objectHealth(w, id)
	}
	deadline := health.Deadline{Limit: cmp.Or(w.options.Deadline, defaultDeadline), Since: w.since}
	expires = deadline.Judge(results, s.now())
	for i, id := range stated {
		parts[i] = results[i].Part(id.String())
	}
	w.state.Objects = len(stated)
	sum = health.Aggregate(parts, 0)
	if again := s.now().Add(healthAgain); sum.Status != health.Healthy && (expires.IsZero() || again.Before(expires)) {
		expires = again
	}
	return sum, expires
}

// objectHealth is the health of one object as the watches show it.
func (s *session) objectHealth(w *work, stated object.ID) health.Result {
	there := false
	for _, id := range claims.Identities(stated, s.facts) {
		if result, seen := s.health[id]; seen && s.whose(id) == w {
			return result
		}
		_, applied := w.known[id]
		t, tracked := s.tracked.Get(id)
		there = there || applied || tracked && t.Owner.App == w.name
	}
	switch {
	case !there:
		return health.Result{Status: health.Missing, Message: "not applied yet"}
	case s.rules.Load().HasRule(stated.GroupKind()):
		return health.Result{Status: health.Progressing, Message: "not seen yet"}
	}
	return health.Result{Status: health.Healthy}
}
