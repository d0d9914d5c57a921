// Package spoke keeps one cluster as its assignment says. A Spoke accepts
// assignments, applies their apps in the order of their dependencies, watches
// what it applied and undoes what others change, and says at any time what it
// knows. It is the same loop in every arrangement: in the hub's process, or in
// an agent on the cluster. It composes the engines apply and health; it renders
// nothing and knows no Git.
package spoke

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/health"
)

// Options configure a Spoke.
type Options struct {
	Cluster string
	Fleet   string
	Config  *rest.Config
	Health  *health.Checker
	// Writer names this process among those that may want to write to the
	// cluster; only one does. Made up unless set.
	Writer string
	// Dir keeps baselines between runs, advisory; empty keeps none.
	Dir      string
	Now      func() time.Time
	Listener Listener
}

// Spoke is one cluster's loop. Run runs it; the other methods may be called from
// anywhere, at any time.
type Spoke struct {
	opts     Options
	requests chan request // served by the loop; none is lost, none blocks a caller's cluster

	mu     sync.Mutex
	state  State
	facts  app.Facts
	wanted *Assigned
	wake   chan struct{} // buffered by one: something in wanted is new
}

// Assigned is an assignment on its way to a cluster.
type Assigned struct {
	*app.Assignment
	// Number rises with every assignment that differs from the one before; 0
	// takes the next, for who is the only one to assign.
	Number int64
	// Sources says of each app where it comes from, for people.
	Sources map[string]string
}

// request is an operator's action. The loop answers it when it is recorded on
// the cluster.
type request struct {
	do   func(ctx context.Context, s *session) error
	done chan error
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
	return &Spoke{
		opts: opts, requests: make(chan request), wake: make(chan struct{}, 1),
		state: State{Cluster: opts.Cluster, OfflineSince: opts.Now(), Error: "not reached yet", Sync: Unknown, Health: health.Summary{Status: health.Unknown}},
	}
}

// Assign gives the cluster another assignment. The newest one given counts.
func (s *Spoke) Assign(a *Assigned) {
	s.mu.Lock()
	s.wanted = a
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// State returns what is known of the cluster now.
func (s *Spoke) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Facts returns what the cluster said of itself when it was last reached.
func (s *Spoke) Facts() app.Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts
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
		if s.opts.Now().Sub(began) > lastRetry {
			retry = firstRetry // it worked for a while
		}
		s.offline(err)
		s.refuseUntil(ctx, retry, err)
		retry = min(2*retry, lastRetry)
	}
}

// connect runs one session with the cluster, until it no longer answers.
func (s *Spoke) connect(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(s.opts.Config)
	if err != nil {
		return err
	}
	records := &recordStore{client: client}
	if err := records.load(ctx, s.opts.Fleet); err != nil {
		return err
	}
	if err := records.makeNamespace(ctx); err != nil {
		return err
	}
	applier, err := apply.New(s.opts.Config, apply.Options{Fleet: s.opts.Fleet, Now: s.opts.Now, DigestKey: records.record.DigestKey})
	if err != nil {
		return err
	}
	facts, err := applier.Facts(ctx)
	if err != nil {
		return fmt.Errorf("asking what the cluster serves: %w", err)
	}
	s.mu.Lock()
	s.facts = facts
	s.mu.Unlock()
	session := newSession(s, client, applier, records, facts)
	return session.run(ctx)
}

// offline records that the cluster does not answer. What was known of its apps
// stays, as of then.
func (s *Spoke) offline(err error) {
	if err == nil {
		err = errors.New("the session ended")
	}
	s.mu.Lock()
	was := s.state.Online
	s.state.Online, s.state.Error = false, err.Error()
	if was || s.state.OfflineSince.IsZero() {
		s.state.OfflineSince = s.opts.Now()
	}
	s.mu.Unlock()
	if was {
		s.opts.Listener.Event(Event{Time: s.opts.Now(), Cluster: s.opts.Cluster, Kind: EventOffline, Message: err.Error()})
	}
	s.opts.Listener.Changed(s.opts.Cluster)
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
		case r := <-s.requests:
			r.done <- fmt.Errorf("cluster %s is offline: %w", s.opts.Cluster, why)
		}
	}
}

// ask hands a request to the loop and waits for its answer.
func (s *Spoke) ask(ctx context.Context, do func(context.Context, *session) error) error {
	r := request{do: do, done: make(chan error, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Sync applies an app again now, also if it just failed.
func (s *Spoke) Sync(ctx context.Context, name string) error {
	return s.ask(ctx, func(_ context.Context, session *session) error {
		work := session.apps[name]
		if work == nil {
			return fmt.Errorf("cluster %s has no app %q", s.opts.Cluster, name)
		}
		work.forget()
		return nil
	})
}

// Confirm allows the deletions of a held list, named by its digest.
func (s *Spoke) Confirm(ctx context.Context, digest string) error {
	return s.ask(ctx, func(ctx context.Context, session *session) error {
		for _, work := range session.apps {
			if work.state.Held != nil && work.state.Held.Digest == digest {
				err := session.records.change(ctx, func(r *Record) { r.Confirmed = append(r.Confirmed, digest) })
				work.forget()
				return err
			}
		}
		return fmt.Errorf("cluster %s holds no list %q", s.opts.Cluster, digest)
	})
}

// Pause keeps an app, or with no name the whole cluster, from being written
// until a time. A time that has passed ends a pause.
func (s *Spoke) Pause(ctx context.Context, pause Pause) error {
	return s.ask(ctx, func(ctx context.Context, session *session) error {
		if pause.App != "" && session.apps[pause.App] == nil {
			return fmt.Errorf("cluster %s has no app %q", s.opts.Cluster, pause.App)
		}
		now := s.opts.Now()
		err := session.records.change(ctx, func(r *Record) {
			kept := r.Pauses[:0]
			for _, p := range r.Pauses {
				if p.App != pause.App && now.Before(p.Until) {
					kept = append(kept, p)
				}
			}
			if now.Before(pause.Until) {
				kept = append(kept, pause)
			}
			r.Pauses = kept
		})
		if err == nil {
			session.event(pause.App, EventPaused, fmt.Sprintf("until %s by %s: %s", pause.Until.Format(time.RFC3339), pause.Actor, pause.Reason), nil)
		}
		return err
	})
}
