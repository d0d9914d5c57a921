package desired

import (
	"maps"
	"slices"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/fleet"
)

// firstEarly is how many apps are told early at first, and after that whenever
// there are twice as many: each time costs as much as the cluster has apps.
const firstEarly = 32

// early tells what is rendered of one cluster before all is. A nil one does not.
type early struct {
	tell  func(*Compiled)
	total int

	mu      sync.Mutex
	ready   *Compiled
	next    int // how many are to be ready for the next call
	telling bool
}

// newEarly returns nil for a member that waits, and for one of which not all apps
// can be told: its assignment is incomplete for that reason.
func newEarly(to Member, whole *app.Assignment, placed fleet.Placement) *early {
	if to.Early == nil || placed.Incomplete != nil {
		return nil
	}
	return &early{tell: to.Early, total: len(placed.Apps), next: firstEarly, ready: newCompiled(whole.Cluster, whole.Fleet, app.ErrRendering)}
}

// rendered takes in what came of an app. It waits for the rest if that may yet
// change it: the app is in error, its render depends on the kinds that the
// cluster has, which other apps may define, it makes the namespaces that no other
// app has, or its objects ask for apps.
func (e *early) rendered(spec app.Spec, r rendered) {
	if e == nil || r.err != nil || r.result.FactsUsed || spec.Options.CreateNamespace || spec.Dialect.Fleet || asksForApps(spec, r) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ready.add(spec, r)
	n := len(e.ready.Apps)
	if e.telling || n < e.next || n == e.total {
		return
	}
	now := *e.ready
	now.Assignment = &app.Assignment{Cluster: now.Cluster, Fleet: now.Fleet, Incomplete: now.Incomplete, Apps: slices.Clone(now.Apps)}
	now.Warnings, now.Sources = maps.Clone(now.Warnings), maps.Clone(now.Sources)
	now.Sort()
	e.telling = true
	e.mu.Unlock()
	e.tell(&now)
	e.mu.Lock()
	e.telling, e.next = false, 2*n
}
