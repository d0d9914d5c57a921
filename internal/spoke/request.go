package spoke

import (
	"context"
	"fmt"
	"time"

	"nave.dev/internal/spoke/record"
)

// request is an operator's action. The loop answers it when it is recorded on
// the cluster.
type request struct {
	do   func(ctx context.Context, s *session) error
	done chan error
}

// ask hands a request to the loop and waits for its answer. Where another
// process writes to the cluster, it is that one which must be asked.
func (s *Spoke) ask(ctx context.Context, do func(context.Context, *session) error) error {
	return s.look(ctx, func(ctx context.Context, session *session) error {
		if !session.writes() {
			return fmt.Errorf("cluster %s: %s", s.opts.Cluster, session.whyNot())
		}
		return do(ctx, session)
	})
}

// look is ask for a request that writes nothing, for which it does not matter who
// writes to the cluster.
func (s *Spoke) look(ctx context.Context, do func(context.Context, *session) error) error {
	r := request{done: make(chan error, 1), do: do}
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

// Sync applies an app again now, also if it just failed. One that is synced by
// hand is brought to what it is in Git now, which the cluster remembers until it is
// done. Windows that let no person through refuse.
func (s *Spoke) Sync(ctx context.Context, name string) error {
	return s.ask(ctx, func(ctx context.Context, session *session) error {
		w, err := session.asked(name)
		if err == nil {
			err = session.request(ctx, w)
		}
		if err == nil {
			w.forget()
			w.rights.Doubt()
		}
		return err
	})
}

// asked returns an app that somebody asks to be written.
func (s *session) asked(name string) (*work, error) {
	w := s.apps[name]
	if w == nil {
		return nil, fmt.Errorf("cluster %s has no app %q", s.spoke.opts.Cluster, name)
	}
	if pause, paused := s.records.Record.PausedBy(name, s.now()); paused {
		return nil, fmt.Errorf("app %q is %s", name, pause)
	}
	return w, nil
}

// Confirm allows the deletions of a held list, named by its digest.
func (s *Spoke) Confirm(ctx context.Context, digest string) error {
	return s.ask(ctx, func(ctx context.Context, session *session) error {
		for name, w := range session.apps {
			if w.state.Held != nil && w.state.Held.Digest == digest {
				err := session.records.Change(ctx, func(r *record.Record) { r.Confirm(name, digest) })
				w.forget()
				return err
			}
		}
		return fmt.Errorf("cluster %s holds no list %q", s.opts.Cluster, digest)
	})
}

// Pause keeps an app, or with no name the whole cluster, from being written
// until a time. A sync that is under way is broken off. A time that has passed
// ends a pause.
func (s *Spoke) Pause(ctx context.Context, pause Pause) error {
	return s.ask(ctx, func(ctx context.Context, session *session) error {
		if pause.App != "" && session.apps[pause.App] == nil {
			return fmt.Errorf("cluster %s has no app %q", s.opts.Cluster, pause.App)
		}
		now, ended := s.opts.Now(), false
		err := session.records.Change(ctx, func(r *record.Record) { ended = r.Pause(pause, now) })
		if err != nil {
			return err
		}
		defer session.publish() // whoever asked sees it
		if !now.Before(pause.Until) {
			if ended {
				session.event(pause.App, EventResumed, fmt.Sprintf("pause ended by %s: %s", pause.Actor, pause.Reason), nil)
			}
			return nil
		}
		for name, w := range session.apps {
			if _, paused := session.records.Record.PausedBy(name, now); paused {
				w.stop()
			}
		}
		session.event(pause.App, EventPaused, fmt.Sprintf("until %s by %s: %s", pause.Until.Format(time.RFC3339), pause.Actor, pause.Reason), nil)
		return nil
	})
}
