package protocol

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/spoke"
)

// Report is what is new of a cluster since the report before, or all of it.
type Report struct {
	// Sequence counts the reports of a connection, from 1.
	Sequence int64 `json:"sequence"`
	// Whole says that this is all there is, whatever was reported before.
	Whole bool `json:"whole,omitempty"`
	// Shows is the Key of the assignment that the state tells of, empty if it is not
	// the one that was given last.
	Shows string `json:"shows,omitempty"`
	// Number is that of the assignment that was given last, 0 for none.
	Number int64 `json:"number,omitempty"`
	// Checks is the digest of the fleet's own health checks that are in use, empty for
	// none.
	Checks string `json:"checks,omitempty"`
	// State has no apps: those that are another than before are Apps, and Gone are
	// those that are no longer there.
	State spoke.State      `json:"state"`
	Apps  []spoke.AppState `json:"apps,omitempty"`
	Gone  []string         `json:"gone,omitempty"`
	// Facts is nil if they are those of before.
	Facts *app.Facts `json:"facts,omitempty"`
	// Applied are the apps that have been applied to the cluster, by whomever, in a
	// whole report; nil if that is not known yet.
	Applied []string      `json:"applied"`
	Events  []spoke.Event `json:"events,omitempty"`
	// First is the number of the first of Events among all of the agent's process, from
	// 1; less is of an agent that does not count them.
	First int64 `json:"first,omitempty"`
	// Mark is the one that a hub told this agent last, in a whole report.
	Mark json.RawMessage `json:"mark,omitempty"`

	size int // in bytes, as it was read
}

// Known is what an agent knows of its cluster at one moment.
type Known struct {
	Shows   string
	Number  int64
	Checks  string
	State   spoke.State
	Facts   app.Facts
	Applied []string // nil if that is not known yet
}

// Reporter makes reports. Its zero value begins with a whole one. It is for one
// goroutine.
type Reporter struct {
	sequence int64
	last     Known
	apps     map[string]spoke.AppState
	begun    bool
}

// Restart makes the next report a whole one.
func (r *Reporter) Restart() { r.begun = false }

// Next returns the report of what is known now, or nil if there is nothing to tell.
func (r *Reporter) Next(now Known, events []spoke.Event) *Report {
	out := &Report{Whole: !r.begun, Shows: now.Shows, Number: now.Number, Checks: now.Checks, State: now.State, Events: events}
	out.State.Apps = nil
	before := r.last.State
	before.Apps = nil
	if out.Whole {
		r.apps = map[string]spoke.AppState{}
	}
	present := map[string]bool{}
	for _, one := range now.State.Apps {
		present[one.Name] = true
		if had, known := r.apps[one.Name]; !known || !reflect.DeepEqual(had, one) {
			out.Apps = append(out.Apps, one)
			r.apps[one.Name] = one
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.apps)) {
		if !present[name] {
			out.Gone = append(out.Gone, name)
			delete(r.apps, name)
		}
	}
	if out.Whole || !reflect.DeepEqual(r.last.Facts, now.Facts) {
		out.Facts = &now.Facts
	}
	if out.Whole || r.last.Applied == nil {
		out.Applied = now.Applied
	}
	same := !out.Whole && len(out.Apps) == 0 && len(out.Gone) == 0 && len(events) == 0 && out.Facts == nil && out.Applied == nil &&
		now.Shows == r.last.Shows && now.Number == r.last.Number && now.Checks == r.last.Checks && reflect.DeepEqual(before, out.State)
	r.last, r.begun = now, true
	if same {
		return nil
	}
	r.sequence++
	out.Sequence = r.sequence
	return out
}

// Mirror is a hub's picture of a cluster, as its agent reports. It is for one
// goroutine at a time.
type Mirror struct {
	// Applied are the apps that had been applied when the agent first reported to this
	// hub; nil before.
	Applied []string
	Facts   app.Facts
	Shows   string
	Number  int64
	Checks  string
	// Reported says whether there was a report.
	Reported bool

	sequence int64
	grown    int    // bytes of the reports since the last whole one
	instance string // of the agent's process that told events last
	heard    int64  // number of the last event of it
	state    spoke.State
	apps     map[string]spoke.AppState
	synced   int // of apps
}

// Restart has the mirror take nothing but a whole report: another connection was
// made.
func (m *Mirror) Restart() { m.sequence = 0 }

// Begun reports whether a whole report was taken since the last Restart.
func (m *Mirror) Begun() bool { return m.sequence != 0 }

// Take takes a report over. It returns false if it builds on one that the mirror
// has not, or the next one has to be whole.
func (m *Mirror) Take(r Report) bool {
	if !r.Whole && (m.sequence == 0 || r.Sequence != m.sequence+1 || m.grown+r.size > maxGrown) {
		return false
	}
	if m.grown += r.size; r.Whole {
		m.apps, m.grown = map[string]spoke.AppState{}, 0
	}
	m.sequence, m.Shows, m.Number, m.Checks, m.Reported = r.Sequence, r.Shows, r.Number, r.Checks, true
	for _, one := range r.Apps {
		m.apps[one.Name] = one
	}
	for _, name := range r.Gone {
		delete(m.apps, name)
	}
	m.synced = 0
	for _, one := range m.apps {
		if one.Sync == spoke.Synced {
			m.synced++
		}
	}
	m.state = r.State
	m.state.Apps = slices.SortedFunc(maps.Values(m.apps), func(a, b spoke.AppState) int { return strings.Compare(a.Name, b.Name) })
	if r.Facts != nil {
		m.Facts = *r.Facts
	}
	if m.Applied == nil && r.Applied != nil {
		m.Applied = r.Applied
	}
	return true
}

// News returns the events of a report that was taken which were not heard before:
// those whose acknowledgement was lost are told again. The instance names the process
// of the agent, by which its events are numbered.
func (m *Mirror) News(instance string, r Report) []spoke.Event {
	if instance == "" || r.First < 1 {
		return r.Events
	}
	if m.instance != instance {
		m.instance, m.heard = instance, 0
	}
	known := min(max(0, m.heard-r.First+1), int64(len(r.Events)))
	m.heard = max(m.heard, r.First+int64(len(r.Events))-1)
	return r.Events[known:]
}

// Synced returns how many of the cluster's apps are Synced.
func (m *Mirror) Synced() int { return m.synced }

// State is the cluster's as it was last reported. Its apps are not to be changed.
func (m *Mirror) State() spoke.State { return m.state }
