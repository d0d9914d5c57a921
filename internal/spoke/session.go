package spoke

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/agenda"
	"nave.dev/internal/spoke/claims"
	"nave.dev/internal/spoke/inputs"
	"nave.dev/internal/spoke/inventory"
	"nave.dev/internal/spoke/judging"
	"nave.dev/internal/spoke/lease"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/spoke/releases"
	"nave.dev/internal/spoke/rights"
	"nave.dev/internal/spoke/rival"
	"nave.dev/internal/spoke/served"
	"nave.dev/internal/spoke/watching"
)

// session is the loop while the cluster answers. All its fields belong to the
// loop's goroutine; work that takes time runs beside it and comes back through
// results.
type session struct {
	spoke   *Spoke
	applier *releases.Applier
	records *record.Store
	facts   app.Facts
	writer  *lease.Writer
	term    *lease.Term // for which the record was read

	assigned    *Assigned
	accepted    *Assigned // the one that the record tells of
	refused     error     // why the newest assignment is not taken
	checked     time.Time // when the record was last compared with the cluster's
	tidied      time.Time // when the record was last looked through for apps to forget
	apps        map[string]*work
	names       []string // of apps, in order
	claims      *claims.Claims
	applied     map[object.ID]string // whose sync brought the object about
	checks      *health.Checker
	rules       atomic.Pointer[judging.Rules] // of checks and the apps; watches of releases ask it
	keys        string                        // the version of the file of keys
	watches     watching.Watches
	rights      *rights.Memory
	kinds       *rights.Kinds              // of the apps and the cluster, nil until they are of concern
	listed      map[schema.GroupKind]bool  // whose objects are all in tracked
	away        map[schema.GroupKind]error // which cannot be watched, since the cluster does not answer
	trouble     map[schema.GroupKind]bool  // which cannot be watched, though it answers
	tracked     *inventory.Inventory
	health      map[object.ID]health.Result // the spoke's
	scaled      map[object.ID]object.ID     // by autoscaler, which workload it targets
	results     chan func()
	events      chan apply.Event
	broken      chan error
	served      *served.Follower
	rivals      *rival.Rivals
	kept        chan kept // by syncs that run hooks
	hookWatches map[schema.GroupKind]bool
	hookEvents  chan object.ID
	inputs      inputs.Follower
	seen        chan inputs.Seen
	following   *Assigned       // whose inputs are followed
	releasing   map[string]bool // apps that left, whose hooks are being let go
	running     int             // syncs and repairs under way
	agenda      agenda.Agenda   // of apps that may have something to do
	whole       bool            // all of them may
	pruning     bool            // one of them may use up the cluster's budget of deletions
	tasks       sync.WaitGroup
}

// atOnce is how many apps of a cluster are synced at the same time; requests
// within are bounded by the applier.
const atOnce = 16

// beat is how often the loop looks at the clock: for retries, deadlines and
// pauses. It asks the cluster nothing.
const beat = time.Second

// recordCheck is how often the record is compared with the cluster's, which
// somebody may have changed or deleted.
const recordCheck = time.Minute

// publishAfter is how soon what is new becomes the spoke's state. What comes
// within that time costs one look at all apps together.
const publishAfter = 50 * time.Millisecond

// publishShare bounds what looking at all apps may cost: one part in so many of
// the loop's time, however many apps there are.
const publishShare = 20

func newSession(s *Spoke, client kubernetes.Interface, applier *releases.Applier, records *record.Store, memory *rights.Memory, facts app.Facts) *session {
	s.mu.Lock()
	checks := s.checks
	s.mu.Unlock()
	session := &session{
		checks: checks, keys: s.opts.Keys.Version(), spoke: s, applier: applier, records: records, facts: facts,
		writer: lease.New(client, record.Namespace, record.LeaseName, s.opts.Writer), apps: s.apps, health: s.health, claims: &claims.Claims{}, applied: map[object.ID]string{},
		rights: memory, listed: map[schema.GroupKind]bool{},
		away: map[schema.GroupKind]error{}, trouble: map[schema.GroupKind]bool{}, tracked: inventory.New(), scaled: map[object.ID]object.ID{},
		results: make(chan func(), 64), events: make(chan apply.Event, 1024), broken: make(chan error, 16), served: served.New(), rivals: rival.New(),
		kept: make(chan kept, atOnce), hookWatches: map[schema.GroupKind]bool{}, hookEvents: make(chan object.ID, 256), seen: make(chan inputs.Seen, 64), releasing: map[string]bool{},
		whole: true,
	}
	session.watches = watching.Watches{Watch: session.watch, Events: session.events, Tasks: &session.tasks}
	session.rules.Store(judging.New(checks))
	for name, w := range s.apps {
		w.busy, w.cancel, w.seen = false, nil, false
		w.rights.Doubt() // the session's memory of rights is a new one
		for id := range w.known {
			session.applied[id] = name
		}
	}
	session.again()
	return session
}

// run serves the cluster until it breaks off or ctx is done. The lease is given
// back after the last request that writes.
func (s *session) run(ctx context.Context) (err error) {
	ended := ctx
	leasing, giveBack := context.WithCancel(context.WithoutCancel(ctx))
	var held sync.WaitGroup
	held.Go(func() { s.writer.Run(leasing) })
	defer held.Wait()
	defer giveBack()
	ctx, cancel := context.WithCancel(ctx)
	defer s.end(cancel)
	defer func() {
		if ended.Err() == nil && !errors.Is(err, errMoved) {
			s.spoke.offline(err) // what is under way may take its time to end
		}
	}()

	tick := time.NewTicker(beat)
	defer tick.Stop()
	s.tasks.Go(func() { s.served.Run(ctx, s.applier) })
	s.followReleases(ctx)
	s.meet(ctx)
	s.take()
	s.judgeBy(ctx)
	s.publish()
	var publish <-chan time.Time
	after := publishAfter
	for {
		if err := s.start(ctx); err != nil {
			return err
		}
		news, whole := true, true
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-s.broken:
			return err
		case <-s.spoke.moved:
			return errMoved
		case <-s.spoke.wake:
			s.take()
			s.judgeBy(ctx)
		case <-s.writer.Changed():
		case <-s.rivals.Changed():
		case facts := <-s.served.Facts():
			s.takeFacts(facts)
			s.meet(ctx)
		case done := <-s.results:
			whole = false
			done()
		case k := <-s.kept:
			s.keep(ctx, k)
		case id := <-s.hookEvents:
			s.noticeHook(id)
		case seen := <-s.seen:
			s.noticeInput(seen)
		case event := <-s.events:
			whole = false
			s.observe(ctx, event)
			for range len(s.events) { // what has come meanwhile belongs to the same look
				s.observe(ctx, <-s.events)
			}
		case r := <-s.spoke.requests:
			r.done <- r.do(ctx, s)
		case <-tick.C:
			s.tryKeys()
			s.widen(ctx)
		case <-publish:
			began := time.Now()
			s.publish()
			publish, news = nil, false
			after = max(publishAfter, publishShare*time.Since(began))
		}
		if s.whole = s.whole || whole; news && publish == nil {
			publish = time.After(after)
		}
	}
}

func (s *session) now() time.Time { return s.spoke.opts.Now() }

func (s *session) event(app string, kind EventKind, message string, changes change.Set) {
	s.spoke.opts.Listener.Event(Event{Time: s.now(), Cluster: s.spoke.opts.Cluster, App: app, Kind: kind, Message: message, Changes: changes})
}

// take takes the newest assignment over. Apps that it no longer has are let go
// of: their objects stay, marked, as orphans. One that is not for this cluster,
// or older than what the cluster has accepted, changes nothing.
func (s *session) take() {
	s.spoke.mu.Lock()
	wanted := s.spoke.wanted
	s.spoke.mu.Unlock()
	if wanted == nil {
		return
	}
	if wanted == s.assigned {
		s.refused = nil // one that came between is not wanted any more; accept looks at this one again
		return
	}
	if err := s.refuses(wanted); err != nil {
		s.refuse(err)
		return
	}
	s.assigned, s.refused = wanted, nil
	if s.spoke.last != wanted {
		s.spoke.last, s.spoke.pruned = wanted, 0
	}
	present := map[string]bool{}
	for _, desired := range wanted.Apps {
		present[desired.Name] = true
		w := s.apps[desired.Name]
		if w == nil {
			w = newWork(desired.Name, s.now())
			s.apps[desired.Name] = w
		}
		w.want(desired, wanted.Sources[desired.Name], s.now())
		w.holdFor(wanted.Holds[desired.Name])
	}
	if wanted.Incomplete == nil {
		maps.DeleteFunc(s.apps, func(name string, w *work) bool {
			if !present[name] {
				w.stop()
				maps.DeleteFunc(s.applied, func(_ object.ID, owner string) bool { return owner == name })
			}
			return !present[name]
		})
	}
	s.names = slices.Sorted(maps.Keys(s.apps))
	s.claim()
}

// claim works out anew which app has which object, and with that whose health.
func (s *session) claim() {
	bundles := make(map[string][]*app.Bundle, len(s.apps))
	for name, w := range s.apps {
		bundles[name], w.seen = slices.DeleteFunc([]*app.Bundle{w.bundle, w.given}, func(b *app.Bundle) bool { return b == nil }), false
	}
	before := s.claims
	s.kinds = nil
	s.claims = claims.Of(bundles, s.assigned.Incomplete != nil, s.facts)
	for name, w := range s.apps { // what another one gave up may be left over
		w.late = w.late || w.options.Prune && slices.ContainsFunc(s.tracked.Of(name), func(t apply.Tracked) bool {
			_, was := before.By(name, t.ID)
			_, still := s.claims.By(name, t.ID)
			return was && !still && s.leftOver(w, t)
		})
	}
}

// writes reports whether this process may write to the cluster, and has read the
// record since.
func (s *session) writes() bool { return s.term != nil && s.term == s.writer.Current() }

// whyNot says why nothing is written.
func (s *session) whyNot() string {
	if holder := s.writer.HeldBy(); holder != "" && holder != s.spoke.opts.Writer {
		return fmt.Sprintf("another process writes to the cluster: %s", holder)
	}
	return "it is not known yet whether another process writes to the cluster"
}

// start begins whatever can be begun now: first watches, then syncs and repairs.
// An error ends the session.
func (s *session) start(ctx context.Context) error {
	for _, kind := range s.records.Kinds() {
		s.watches.Begin(ctx, kind)
	}
	if err := s.stand(ctx); err != nil || !s.writes() || s.assigned == nil || len(s.away) > 0 {
		return err
	}
	if err := s.accept(ctx); err != nil || s.refused != nil {
		return err
	}
	s.followInputs(ctx)
	if s.whole {
		s.recall(ctx)
		s.agenda.All(s.names)
		s.whole = false
	}
	for s.running < atOnce {
		name, ok := s.agenda.Next()
		if !ok {
			return nil
		}
		if w := s.apps[name]; w != nil {
			s.begin(ctx, w)
		}
	}
	return nil
}

// begin begins what an app has to do, if it may.
func (s *session) begin(ctx context.Context, w *work) {
	if w.busy && !w.comparing && (s.shut(w) != "" || s.rival(w) != "") {
		w.stop() // its time is over, or somebody else writes
	}
	if w.busy || !s.ready(ctx, w) {
		return
	}
	switch now := s.now(); {
	case s.compares(w):
		if w.due(now) || w.astray(now) {
			s.compare(ctx, w)
		}
	case len(w.closed) > 0 && w.current() && w.astray(now):
		s.repair(ctx, w) // a sync would have it wait for the gates
	case w.due(now):
		s.sync(ctx, w)
	case len(w.drifted) > 0:
		s.repair(ctx, w)
	}
}

// stand finds out whether this process writes. Who begins to reads the record
// first, since another one may have changed it, and who no longer does breaks off
// what is under way.
func (s *session) stand(ctx context.Context) error {
	current := s.writer.Current()
	now := s.now()
	if current == s.term && (current == nil || now.Sub(s.checked) < recordCheck) {
		return nil
	}
	if current != s.term {
		for _, w := range s.apps {
			w.stop()
		}
	}
	if current != nil {
		key := string(s.records.Record.DigestKey)
		changed, err := s.records.Reload(ctx)
		if err != nil {
			return err
		}
		if key != string(s.records.Record.DigestKey) {
			return errors.New("the cluster record has another key for what is veiled") // the next session uses it
		}
		if changed || current != s.term {
			s.accepted = nil
		}
		s.checked = now
	}
	if current != nil && s.term == nil {
		s.again()
	}
	s.term = current
	return nil
}

// again has what could not be brought about tried again soon: what stood in the
// way may be over.
func (s *session) again() {
	for _, w := range s.apps {
		w.tryAgain(s.now())
	}
}
