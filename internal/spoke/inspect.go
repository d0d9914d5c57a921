package spoke

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/releases"
	"nave.dev/internal/spoke/report"
)

// AppDiff is what a sync of one app would do to its cluster now.
type AppDiff = report.AppDiff

// diffsAtOnce is how many apps of a cluster are compared at the same time.
const diffsAtOnce = 4

// Diff returns what syncs of all apps, or of the named one, would change on the
// cluster as it is now, by dry runs of its API server. It writes nothing, holds up
// nothing, and works whoever writes to the cluster, also while it is paused.
func (s *Spoke) Diff(ctx context.Context, name string) ([]AppDiff, error) {
	type subject struct {
		target apply.Target
		diff   *AppDiff
	}
	var (
		diffs    []AppDiff
		subjects []subject
		applier  *releases.Applier
	)
	err := s.look(ctx, func(_ context.Context, session *session) error {
		if session.assigned == nil {
			return fmt.Errorf("cluster %s has not been assigned anything yet", s.opts.Cluster)
		}
		if name != "" && session.apps[name] == nil {
			return fmt.Errorf("cluster %s has no app %q\nhint: nave apps --cluster %s lists those it has", s.opts.Cluster, name, s.opts.Cluster)
		}
		applier = session.applier
		diffs = make([]AppDiff, 0, len(session.apps))
		for _, app := range slices.Sorted(maps.Keys(session.apps)) {
			if name != "" && app != name {
				continue
			}
			w := session.apps[app]
			diffs = append(diffs, AppDiff{App: app, Changes: change.Set{}, Note: session.withheld(w)})
			if w.err != nil {
				diffs[len(diffs)-1].Error = w.err.Error()
			}
			if w.bundle != nil {
				subjects = append(subjects, subject{session.target(ctx, w), &diffs[len(diffs)-1]})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var group sync.WaitGroup
	turn := make(chan struct{}, diffsAtOnce)
	for _, sub := range subjects {
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			changes, err := applier.Diff(ctx, sub.target)
			sub.diff.Changes = slices.DeleteFunc(append(change.Set{}, changes...), func(e change.Entry) bool { return e.Action == change.Unchanged })
			if err != nil {
				sub.diff.Error = cmp.Or(sub.diff.Error, err.Error())
			}
		})
	}
	group.Wait()
	return diffs, context.Cause(ctx)
}

// withheld says why the app is not written, or that what is wanted of it is not
// the newest.
func (s *session) withheld(w *work) string {
	pause, paused := s.records.Record.PausedBy(w.name, s.now())
	switch {
	case w.err != nil && w.bundle != nil:
		return "compared with what was last accepted"
	case paused:
		return pause.String()
	case w.options.Suspend:
		return "suspended in Git"
	case !s.writes():
		return s.whyNot()
	case s.rival(w) != "":
		return s.rival(w)
	case w.rights.Held() != "":
		return w.rights.Held()
	case w.bundle != nil && s.unasked(w):
		return "waits for nave sync"
	case w.bundle != nil && s.shut(w) != "":
		return s.shut(w)
	}
	return ""
}

// Orphan is an object on a cluster whose app is no longer assigned there.
type Orphan = report.Orphan

// Orphans lists the objects that apps left on the cluster, by app and object. It
// asks the cluster, and writes nothing.
func (s *Spoke) Orphans(ctx context.Context) ([]Orphan, error) {
	var (
		applier *releases.Applier
		kinds   []schema.GroupKind
		left    map[string]time.Time
		living  = map[string]bool{}
	)
	err := s.look(ctx, func(_ context.Context, session *session) error {
		switch {
		case session.assigned == nil:
			return fmt.Errorf("cluster %s has not been assigned anything yet", s.opts.Cluster)
		case session.assigned.Incomplete != nil:
			return fmt.Errorf("cluster %s: which apps it has cannot be told: %w", s.opts.Cluster, session.assigned.Incomplete)
		}
		applier = session.applier
		kinds, left = slices.Clone(session.records.Kinds()), maps.Clone(session.records.Record.Left)
		for name := range session.apps {
			living[name] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found, err := applier.Orphans(ctx, kinds, func(app string) bool { return living[app] })
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", s.opts.Cluster, cmp.Or(context.Cause(ctx), err))
	}
	var orphans []Orphan
	for app, objects := range found {
		for _, t := range objects {
			orphans = append(orphans, Orphan{Cluster: s.opts.Cluster, Object: t.ID, App: app, Since: left[app]})
		}
	}
	slices.SortFunc(orphans, func(a, b Orphan) int {
		return cmp.Or(cmp.Compare(a.App, b.App), object.Compare(a.Object, b.Object))
	})
	return orphans, nil
}
