package spoke

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
)

// session is the loop while the cluster answers. All its fields belong to the
// loop's goroutine; work that takes time runs beside it and comes back through
// results.
type session struct {
	spoke   *Spoke
	applier *apply.Client
	records *recordStore
	facts   app.Facts
	writer  *writer

	assigned *Assigned
	apps     map[string]*work
	owners   map[object.ID]string // which app's bundle has the object
	watched  map[schema.GroupKind]bool
	listed   map[schema.GroupKind]bool  // whose objects are all in tracked
	away     map[schema.GroupKind]error // which cannot be watched for the moment
	tracked  map[object.ID]apply.Tracked
	pruned   int // deletions since the assignment was taken, for the cluster's budget
	results  chan func()
	events   chan apply.Event
	broken   chan error
	running  int // syncs and repairs under way
	tasks    sync.WaitGroup
}

// atOnce is how many apps of a cluster are synced at the same time; requests
// within are bounded by the applier.
const atOnce = 8

// beat is how often the loop looks at the clock: for retries, deadlines and
// pauses. It asks the cluster nothing.
const beat = time.Second

func newSession(s *Spoke, client kubernetes.Interface, applier *apply.Client, records *recordStore, facts app.Facts) *session {
	return &session{
		spoke: s, applier: applier, records: records, facts: facts,
		writer: newWriter(client, s.opts.Writer),
		apps:   map[string]*work{}, owners: map[object.ID]string{}, watched: map[schema.GroupKind]bool{},
		listed: map[schema.GroupKind]bool{}, away: map[schema.GroupKind]error{}, tracked: map[object.ID]apply.Tracked{},
		results: make(chan func(), 64), events: make(chan apply.Event, 1024), broken: make(chan error, 16),
	}
}

// run serves the cluster until it breaks off or ctx is done.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.tasks.Wait()
	defer cancel()
	s.tasks.Go(func() { s.writer.run(ctx) })

	tick := time.NewTicker(beat)
	defer tick.Stop()
	s.take(ctx)
	for {
		s.start(ctx)
		s.publish()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-s.broken:
			return err
		case <-s.spoke.wake:
			s.take(ctx)
		case <-s.writer.changed:
		case done := <-s.results:
			s.running--
			done()
		case event := <-s.events:
			s.observe(ctx, event)
			for range len(s.events) { // what has come meanwhile belongs to the same look
				s.observe(ctx, <-s.events)
			}
		case r := <-s.spoke.requests:
			r.done <- r.do(ctx, s)
		case <-tick.C:
		}
	}
}

func (s *session) now() time.Time { return s.spoke.opts.Now() }

func (s *session) event(app string, kind EventKind, message string, changes change.Set) {
	s.spoke.opts.Listener.Event(Event{Time: s.now(), Cluster: s.spoke.opts.Cluster, App: app, Kind: kind, Message: message, Changes: changes})
}

// take accepts the newest assignment. Apps that it no longer has are let go of:
// their objects stay, marked, as orphans.
func (s *session) take(ctx context.Context) {
	s.spoke.mu.Lock()
	wanted := s.spoke.wanted
	s.spoke.mu.Unlock()
	if wanted == nil || wanted == s.assigned {
		return
	}
	s.assigned, s.pruned = wanted, 0
	present := map[string]bool{}
	for _, desired := range wanted.Apps {
		present[desired.Name] = true
		w := s.apps[desired.Name]
		if w == nil {
			w = &work{name: desired.Name, known: map[object.ID]apply.Baseline{}, health: map[object.ID]health.Result{}, since: s.now()}
			s.apps[desired.Name] = w
		}
		w.want(desired, wanted.Sources[desired.Name], s.now())
	}
	if wanted.Incomplete == nil {
		maps.DeleteFunc(s.apps, func(name string, _ *work) bool { return !present[name] })
	}
	s.owners = map[object.ID]string{}
	for name, w := range s.apps {
		if w.bundle == nil {
			continue
		}
		for _, u := range w.bundle.Objects {
			if id := object.Of(u); s.owners[id] == "" || name < s.owners[id] {
				s.owners[id] = name
			}
		}
	}
}

// start begins whatever can be begun now: first watches, then syncs and repairs.
func (s *session) start(ctx context.Context) {
	if s.assigned == nil || !s.writer.holds() || len(s.away) > 0 {
		return
	}
	if err := s.accept(ctx); err != nil {
		s.abandon(err)
		return
	}
	for _, kind := range s.records.record.kinds("") {
		s.watch(ctx, kind)
	}
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		if s.running >= atOnce {
			return
		}
		w := s.apps[name]
		if w.busy || !s.ready(w) {
			continue
		}
		switch {
		case w.due(s.now()):
			s.sync(ctx, w)
		case len(w.drifted) > 0:
			s.repair(ctx, w)
		}
	}
}

// accept writes the assignment's number, and the kinds that its apps bring, into
// the cluster record before anything of it is applied.
func (s *session) accept(ctx context.Context) error {
	digest, number := s.assigned.Digest(), s.assigned.Number
	accepted := s.records.record
	switch {
	case digest == accepted.Digest:
		number = accepted.Number
	case number == 0:
		number = accepted.Number + 1
	case number < accepted.Number:
		return fmt.Errorf("assignment %d is older than %d, which the cluster has accepted", number, accepted.Number)
	}
	return s.records.change(ctx, func(r *Record) {
		r.Number, r.Digest = number, digest
		for name, w := range s.apps {
			if w.bundle != nil {
				r.addKinds(name, apply.Kinds(apply.Target{Bundle: w.bundle, Options: w.options}))
			}
		}
		r.Pauses = slices.DeleteFunc(r.Pauses, func(p Pause) bool { return !s.now().Before(p.Until) })
	})
}

// ready reports whether an app may be written now, and otherwise says in its
// state what it waits for.
func (s *session) ready(w *work) bool {
	if pause, paused := s.records.record.pausedBy(w.name, s.now()); paused {
		w.idle = true
		w.state.Message = fmt.Sprintf("paused until %s by %s: %s", pause.Until.Format(time.RFC3339), pause.Actor, pause.Reason)
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
	for _, name := range w.options.DependsOn {
		other := s.apps[name]
		if other == nil || other.state.Sync != Synced || other.state.Health.Status != health.Healthy && other.state.Health.Status != health.Suspended {
			if w.syncedDigest != w.bundle.Digest {
				w.state.Message = fmt.Sprintf("waits for %s to be Synced and Healthy", name)
				return false
			}
		}
	}
	if w.idle && !s.inError(w.name) {
		w.idle = false
		w.forget()
	}
	return true
}

// inError reports whether the assignment could not tell the app.
func (s *session) inError(name string) bool {
	return slices.ContainsFunc(s.assigned.Apps, func(d app.Desired) bool { return d.Name == name && d.Err != nil })
}

// do runs a task beside the loop and then done in it.
func (s *session) do(w *work, task func() func()) {
	w.busy = true
	s.running++
	s.tasks.Go(func() {
		done := task()
		s.results <- func() {
			w.busy = false
			done()
		}
	})
}

// abandon ends the session: the cluster no longer answers as it must.
func (s *session) abandon(err error) {
	select {
	case s.broken <- err:
	default:
	}
}

// kindRetry is the time after which a kind that the cluster did not serve is
// asked for again.
const kindRetry = 2 * time.Second

// watch begins to watch a kind, once.
func (s *session) watch(ctx context.Context, kind schema.GroupKind) {
	if s.watched[kind] {
		return
	}
	s.watched[kind] = true
	follow := s.applier.Watch
	if s.spoke.opts.Health.HasRule(kind) {
		follow = s.applier.WatchObjects
	}
	s.tasks.Go(func() {
		for ctx.Err() == nil {
			follow(ctx, kind, true, func(event apply.Event) {
				select {
				case s.events <- event:
				case <-ctx.Done():
				}
			})
			select {
			case <-time.After(kindRetry): // a kind whose definition is not there, or no longer
			case <-ctx.Done():
			}
		}
	})
}
