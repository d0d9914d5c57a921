// Package spoke keeps one cluster as its assignment says. A Spoke accepts
// assignments, applies their apps in the order of their dependencies, watches
// what it applied and undoes what others change, and says at any time what it
// knows. It is the same loop in every arrangement: in the hub's process, or in
// an agent on the cluster. It composes the engines apply, health and
// secret; it renders nothing and knows no Git.
package spoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/spoke/releases"
	"nave.dev/internal/spoke/rights"
)

// Options configure a Spoke.
type Options struct {
	Cluster string
	Fleet   string
	Config  *rest.Config
	Health  *health.Checker
	// Keys decrypt encrypted Secrets; without one they fail, each alone.
	Keys Keys
	// Renderer runs the templates of releases; without it they are not installed or
	// upgraded.
	Renderer releases.Renderer
	// Writer names this process among those that may want to write to the
	// cluster; only one does. Made up unless set.
	Writer string
	// Pauses are those that the cluster is known to have had. They count if its
	// record is gone.
	Pauses   []Pause
	Now      func() time.Time
	Listener Listener
}

// Spoke is one cluster's loop. Run runs it; the other methods may be called from
// anywhere, at any time.
type Spoke struct {
	opts     Options
	requests chan request // served by the loop; none is lost, none blocks a caller's cluster

	watches atomic.Int64 // open now

	mu     sync.Mutex
	state  State
	facts  app.Facts
	wanted *Assigned
	checks *health.Checker
	wake   chan struct{} // buffered by one: wanted or checks is another
	shown  *Assigned     // the assignment that state is about
	config *rest.Config
	moved  chan struct{} // buffered by one: config is another
	found  []string      // apps that had been applied when the cluster was first reached; nil before

	// What is known of apps outlives a session with the cluster. It belongs to
	// the goroutine of Run, as does what follows.
	apps     map[string]*work
	released releases.Memory
	health   map[object.ID]health.Result // of what carries marks, as the watches show it
	last     *Assigned                   // which the last session had taken
	pruned   int                         // deletions since then, for the cluster's budget
	reached  bool                        // ever
}

// Assigned is an assignment on its way to a cluster.
type Assigned struct {
	*app.Assignment
	// Number rises with every assignment that differs from the one before; 0
	// takes the next, for who is the only one to assign.
	Number int64
	// Sources says of each app where it comes from, for people.
	Sources map[string]string
	// Holds says of apps why nothing of theirs is deleted unasked now, whatever the
	// cluster's own budgets allow.
	Holds map[string]string
}

// New returns a Spoke that does nothing until Run.
func New(opts Options) *Spoke {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Writer == "" {
		opts.Writer = string(uuid.NewUUID())
	}
	if opts.Listener.Event == nil {
		opts.Listener.Event = func(Event) {}
	}
	if opts.Listener.Changed == nil {
		opts.Listener.Changed = func(string) {}
	}
	if opts.Listener.FactsChanged == nil {
		opts.Listener.FactsChanged = func(string) {}
	}
	return &Spoke{
		opts: opts, requests: make(chan request), wake: make(chan struct{}, 1),
		checks: opts.Health, config: opts.Config, moved: make(chan struct{}, 1), apps: map[string]*work{}, health: map[object.ID]health.Result{},
		state: State{Cluster: opts.Cluster, OfflineSince: opts.Now(), Error: "not reached yet", Sync: Unknown, Health: health.Summary{Status: health.Unknown}, Pauses: opts.Pauses},
	}
}

// Assign gives the cluster another assignment. The newest one given counts.
func (s *Spoke) Assign(a *Assigned) {
	s.mu.Lock()
	s.wanted = a
	s.mu.Unlock()
	s.rouse()
}

// Judge gives the spoke other checks of health. Every object of a kind whose
// check may be another one is judged again.
func (s *Spoke) Judge(checks Checker) {
	s.mu.Lock()
	s.checks = checks
	s.mu.Unlock()
	s.rouse()
}

// rouse has the loop look at what was given to the spoke.
func (s *Spoke) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Reach gives the spoke another way to its cluster, such as new credentials.
func (s *Spoke) Reach(config *rest.Config) {
	s.mu.Lock()
	s.config = config
	s.mu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// State returns what is known of the cluster now. It is not Synced while an
// assignment that was given is yet to be looked at.
func (s *Spoke) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	if s.wanted != s.shown && state.Sync == Synced {
		state.Sync = OutOfSync
	}
	state.Watches = int(s.watches.Load())
	return state
}

// Facts returns what the cluster last said of itself: when it was reached, or when
// a definition of kinds on it changed since.
func (s *Spoke) Facts() app.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts
}

// Found returns the apps that had been applied to the cluster before this spoke
// first reached it, and nil as long as that is not known.
func (s *Spoke) Found() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.found)
}

// Settled returns the apps, with the digest of their bundle, that are on the
// cluster as an assignment says, with nothing left to delete. There are none if it
// is not the newest one given, or if the state does not tell of it yet.
func (s *Spoke) Settled(a *Assigned) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a == nil || s.wanted != a || s.shown != a {
		return nil
	}
	return s.state.Settled(a.Apps)
}

// Waits between attempts to reach a cluster that does not answer.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Run keeps the cluster until ctx is done. A cluster that cannot be reached is
// offline, and tried again for ever.
func (s *Spoke) Run(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		began := s.opts.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errMoved) {
			continue
		}
		if s.opts.Now().Sub(began) > lastRetry {
			retry = firstRetry // it worked for a while
		}
		s.offline(err)
		s.refuseUntil(ctx, retry, err)
		retry = min(2*retry, lastRetry)
	}
}

// errMoved ends a session because there is another way to the cluster.
var errMoved = errors.New("the way to the cluster is another")

// connectTimeout bounds the beginning of a session.
const connectTimeout = time.Minute

var errConnectTimeout = fmt.Errorf("no answer within %s", connectTimeout)

// connect runs one session with the cluster, until it no longer answers.
func (s *Spoke) connect(ctx context.Context) error {
	session, err := s.open(ctx)
	if err != nil {
		return err
	}
	return session.run(ctx)
}

// open makes a session ready. Nothing is written to a cluster of another fleet.
func (s *Spoke) open(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errConnectTimeout)
	defer cancel()
	s.mu.Lock()
	config, pauses := s.config, s.state.Pauses
	s.mu.Unlock()
	short := rest.CopyConfig(config) // for what is never watched, such as the record and the lease
	short.Timeout = record.Timeout
	client, err := kubernetes.NewForConfig(short)
	if err != nil {
		return nil, err
	}
	records := record.New(client, s.opts.Fleet, pauses)
	if err := records.Load(ctx); err != nil {
		return nil, err
	}
	if err := records.MakeNamespace(ctx); err != nil {
		return nil, err
	}
	memory := rights.New(short, s.opts.Now)
	options := apply.Options{
		Fleet: s.opts.Fleet, Now: s.opts.Now, DigestKey: records.Record.DigestKey, Narrow: memory.Narrow,
		Listener: apply.Listener{Watching: func(change int) { s.watches.Add(int64(change)) }},
	}
	applier, err := releases.New(config, &s.released, s.opts.Renderer, options)
	if err != nil {
		return nil, err
	}
	facts, err := applier.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking what the cluster serves: %w", err)
	}
	s.mu.Lock()
	s.facts = facts
	if s.found == nil {
		s.found = append([]string{}, records.Record.Applied...)
	}
	s.mu.Unlock()
	return newSession(s, client, applier, records, memory, facts), nil
}

// offline records that the cluster does not answer. What was known of its apps
// stays, as of then. It is told once, and again when the reason is another one
// before the cluster was ever reached.
func (s *Spoke) offline(err error) {
	if err == nil {
		err = errors.New("the session ended")
	}
	s.mu.Lock()
	tell := s.state.Online || !s.reached && s.state.Error != err.Error()
	changed := s.state.Online || s.state.Error != err.Error()
	if s.state.Online || s.state.OfflineSince.IsZero() {
		s.state.OfflineSince = s.opts.Now()
	}
	s.state.Online, s.state.Writer, s.state.Error = false, false, err.Error()
	s.mu.Unlock()
	if tell {
		s.opts.Listener.Event(Event{Time: s.opts.Now(), Cluster: s.opts.Cluster, Kind: EventOffline, Message: err.Error()})
	}
	if changed {
		s.opts.Listener.Changed(s.opts.Cluster)
	}
}

// refuseUntil waits, and answers requests meanwhile that the cluster is away.
func (s *Spoke) refuseUntil(ctx context.Context, wait time.Duration, why error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-s.moved:
			return
		case r := <-s.requests:
			r.done <- fmt.Errorf("cluster %s is offline: %w", s.opts.Cluster, why)
		}
	}
}
