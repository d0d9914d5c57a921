package spoke

import (
	"fmt"
	"slices"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/claims"
	"nave.dev/internal/window"
)

// ready reports whether an app may be written now, or compared if that is all that
// is done with it, and otherwise says in its state what it waits for.
func (s *session) ready(w *work) bool {
	if pause, paused := s.records.Record.PausedBy(w.name, s.now()); paused {
		w.idle = true
		w.state.Message = pause.String()
		return false
	}
	if w.options.Suspend {
		w.idle = true
		w.state.Message = "suspended in Git"
		return false
	}
	if w.bundle == nil {
		return false
	}
	if shut := s.shut(w) != ""; w.idle && !shut {
		w.forget()
		w.idle = false
	} else {
		w.idle = shut
	}
	if s.compares(w) {
		return true
	}
	if w.syncedDigest != w.bundle.Digest {
		if obstacle := s.obstacle(w); obstacle != "" {
			w.state.Sync, w.state.Message = OutOfSync, "waits for "+obstacle
			return false
		}
	}
	if w.closed != nil && !slices.Equal(w.closed, s.closed(w)) {
		w.tryAgain(s.now()) // a gate has opened
	}
	return true
}

// obstacle returns what an app that Git has changed waits for, or nothing.
func (s *session) obstacle(w *work) string {
	for _, name := range w.options.DependsOn {
		if !s.settled(name) {
			return fmt.Sprintf("%s to be Synced and Healthy", name)
		}
	}
	for _, p := range w.options.After {
		if obstacle := s.before(p); obstacle != "" {
			return obstacle
		}
	}
	return ""
}

// settled reports whether an app is Synced and Healthy.
func (s *session) settled(name string) bool {
	other := s.apps[name]
	return other != nil && other.err == nil && other.state.Sync == Synced && well(other.state.Health.Status)
}

// well reports whether nothing need wait for what has this health.
func well(status health.Status) bool { return status == health.Healthy || status == health.Suspended }

// before returns what of the objects that come first is not in place and healthy,
// or nothing.
func (s *session) before(p app.Precedence) string {
	other := s.apps[p.App]
	if other == nil || other.err != nil || other.bundle == nil || !other.current() {
		return fmt.Sprintf("the objects of %s below wave %d", p.App, p.Wave)
	}
	for _, u := range other.bundle.Objects {
		if object.Wave(u) >= p.Wave {
			continue
		}
		stated := object.Of(u)
		for _, id := range claims.Identities(stated, s.facts) {
			astray := func(e change.Entry) bool { return e.Object == id }
			if slices.ContainsFunc(other.state.Problems, astray) || slices.ContainsFunc(other.state.Drift, astray) {
				return fmt.Sprintf("%s of %s to be Synced", stated, p.App)
			}
		}
		if result := s.objectHealth(other, stated); !result.Ignored && !well(result.Status) {
			return fmt.Sprintf("%s of %s to be Healthy", stated, p.App)
		}
	}
	return ""
}

// closed returns the waves whose gates are closed, never nil.
func (s *session) closed(w *work) []int {
	waves := []int{}
	for _, gate := range w.options.Gates {
		if slices.ContainsFunc(gate.Apps, func(name string) bool { return !s.settled(name) }) {
			waves = append(waves, gate.Wave)
		}
	}
	return waves
}

// gates returns what an apply asks about its waves, nil if it need not ask. The
// answers are those of now.
func (s *session) gates(w *work) func(wave int) string {
	type closed struct {
		wave int
		app  string
	}
	var found []closed
	for _, gate := range w.options.Gates {
		if i := slices.IndexFunc(gate.Apps, func(name string) bool { return !s.settled(name) }); i >= 0 {
			found = append(found, closed{gate.Wave, gate.Apps[i]})
		}
	}
	if len(found) == 0 {
		return nil
	}
	return func(wave int) string {
		for _, gate := range found {
			if wave >= gate.wave {
				return gate.app + " to be Synced and Healthy"
			}
		}
		return ""
	}
}

// hours are what an app's windows say, and for which time and question.
type hours struct {
	options     string
	byHand      bool
	began       time.Time
	from, until time.Time
	why         string
}

// hoursLast is for how long an answer about windows serves at most.
const hoursLast = 10 * time.Minute

// shut says which times keep an app from being synced now, or nothing.
func (s *session) shut(w *work) string {
	if len(w.options.Windows) == 0 || w.removed {
		return ""
	}
	now := s.now()
	byHand := s.requested(w)
	h := w.hours
	if h.options == w.optionsDigest && h.byHand == byHand && h.began.Equal(w.began) && !now.Before(h.from) && now.Before(h.until) {
		return h.why
	}
	w.hours = hours{options: w.optionsDigest, byHand: byHand, began: w.began, from: now, until: now.Add(hoursLast)}
	windows, err := windowsOf(w.options)
	if next, ok := window.Next(windows, now); ok && next.Before(w.hours.until) {
		w.hours.until = next
	}
	switch {
	case err != nil:
		w.hours.why = err.Error()
	case !window.Permit(windows, now, byHand, w.began):
		w.hours.why = window.Explain(windows, now, byHand)
	}
	return w.hours.why
}

// windowsOf returns an app's windows. One that cannot be read permits nothing.
func windowsOf(options app.Options) ([]window.Window, error) {
	var windows []window.Window
	for _, w := range options.Windows {
		read := window.Window(w)
		if err := read.Validate(); err != nil {
			return nil, fmt.Errorf("a sync window cannot be read: %w", err)
		}
		windows = append(windows, read)
	}
	return windows, nil
}
