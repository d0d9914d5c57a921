package spoke

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// forgetAfter is how long an app must have left a cluster before the record may
// forget it. What was sent for it by then has arrived, or never will.
const forgetAfter = 10 * time.Minute

// noteLeft keeps in the record since when apps that were applied are no longer
// assigned.
func (r *Record) noteLeft(assigned func(app string) bool, now time.Time) {
	for _, name := range r.Applied {
		if _, known := r.Left[name]; !known && !assigned(name) {
			if r.Left == nil {
				r.Left = map[string]time.Time{}
			}
			r.Left[name] = now.UTC().Truncate(time.Second)
		}
	}
	maps.DeleteFunc(r.Rerun, func(name string, _ bool) bool { return !assigned(name) })
	maps.DeleteFunc(r.Left, func(name string, _ time.Time) bool { return assigned(name) })
}

// forget drops from the record the apps that left and of which nothing is on the
// cluster any more. Should one come back it is as one that never was there, and
// what it then finds there is not its own.
func (r *Record) forget(nothingOf func(app string) bool, now time.Time) {
	gone := map[string]bool{}
	for name, since := range r.Left {
		if now.Sub(since) >= forgetAfter && nothingOf(name) {
			gone[name] = true
			delete(r.Left, name)
			delete(r.Kinds, name)
			delete(r.Hooks, name)
		}
	}
	r.Applied = slices.DeleteFunc(r.Applied, func(name string) bool { return gone[name] })
}

// nothingOf reports whether the cluster has nothing with the marks of an app that
// left, as is known only while all kinds in which a record says that it may have
// something are watched. One that is not served may be again, with its objects.
func (s *session) nothingOf(r *Record, name string) bool {
	if s.apps[name] != nil || s.tracked.Has(name) {
		return false
	}
	return !slices.ContainsFunc(r.kinds(name), func(kind schema.GroupKind) bool { return !s.listed[kind] || s.trouble[kind] })
}

// tidies reports whether it is time to look for apps that the record may forget.
func (s *session) tidies() bool {
	return len(s.records.record.Left) > 0 && s.refused == nil && s.assigned.Incomplete == nil && s.now().Sub(s.tidied) >= recordCheck
}
