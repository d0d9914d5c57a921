package spoke

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"nave.dev/internal/health"
	"nave.dev/internal/object"
)

// defaultDeadline is how long an app may take to become healthy.
const defaultDeadline = 10 * time.Minute

// publish makes what the loop knows the spoke's state, and tells the listener if
// that is another one.
func (s *session) publish() {
	state := State{
		Cluster: s.spoke.opts.Cluster, Online: true, Writer: s.writer.holds(), Version: s.facts.KubernetesVersion,
		Number: s.records.record.Number, Sync: Synced, Pauses: slices.Clone(s.records.record.Pauses),
	}
	if s.assigned == nil {
		state.Sync = Unknown
	}
	for kind, err := range s.away {
		state.Online, state.Error = false, fmt.Sprintf("watching %s: %v", kind, err)
		state.OfflineSince = s.now()
	}
	var parts []health.Part
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		w := s.apps[name]
		w.state.Health = s.appHealth(w)
		parts = append(parts, w.state.Health.Part(name))
		state.Apps = append(state.Apps, w.state)
		switch {
		case w.state.Sync == OutOfSync, w.state.Sync == "":
			state.Sync = OutOfSync
		case w.state.Sync == Unknown && state.Sync == Synced:
			state.Sync = Unknown
		}
	}
	state.Health = health.Aggregate(parts, 0)
	s.spoke.mu.Lock()
	before := s.spoke.state
	if !state.Online && !before.Online {
		state.OfflineSince = before.OfflineSince
	}
	state.ConvergedAt = before.ConvergedAt
	if state.Sync == Synced && state.Health.Status == health.Healthy && len(state.Apps) > 0 {
		if before.Sync != Synced || before.Health.Status != health.Healthy || before.ConvergedAt.IsZero() {
			state.ConvergedAt = s.now()
		}
	}
	changed := !reflect.DeepEqual(before, state)
	if before.Online != state.Online {
		defer s.tellOnline(state)
	}
	if changed {
		s.spoke.state = state
	}
	s.spoke.mu.Unlock()
	if changed {
		s.spoke.opts.Listener.Changed(s.spoke.opts.Cluster)
	}
}

// tellOnline tells that the cluster went away or came back.
func (s *session) tellOnline(state State) {
	if state.Online {
		s.event("", EventOnline, "answers again", nil)
		return
	}
	s.event("", EventOffline, state.Error, nil)
}

// appHealth aggregates the health of an app's objects. One that was applied and
// not yet seen by a watch is Progressing.
func (s *session) appHealth(w *work) health.Summary {
	if w.bundle == nil {
		return health.Summary{Status: health.Unknown}
	}
	limit := w.options.Deadline
	if limit == 0 {
		limit = defaultDeadline
	}
	deadline := health.Deadline{Limit: limit, Since: w.since}
	parts := make([]health.Part, 0, len(w.bundle.Objects))
	for _, u := range w.bundle.Objects {
		id := object.Of(u)
		result, seen := w.health[id]
		_, applied := w.known[id]
		switch {
		case seen:
		case applied && !s.spoke.opts.Health.HasRule(id.GroupKind()):
			result = health.Result{Status: health.Healthy}
		case applied:
			result = health.Result{Status: health.Progressing, Message: "not seen yet"}
		default:
			result = health.Result{Status: health.Missing, Message: "not applied yet"}
		}
		parts = append(parts, deadline.Apply(result, s.now()).Part(id.String()))
	}
	return health.Aggregate(parts, 0)
}
