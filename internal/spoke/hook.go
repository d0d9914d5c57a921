package spoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/record"
)

// hookLook is how often an app whose hooks run is looked at without an event, for
// deadlines and for events that were lost.
const hookLook = 15 * time.Second

// kept is a run of hooks on its way into the cluster record.
type kept struct {
	work *work
	run  hook.Run
	asks bool // it answers somebody who asked for it
	done chan error
}

// errNotWriter refuses to record what a process did that no longer writes.
var errNotWriter = errors.New("another process writes to the cluster now")

// keepRun returns what keeps the runs of an app's hooks. It is called beside the
// loop, and returns when the record is written.
func (s *session) keepRun(w *work, asked bool) func(context.Context, hook.Run) error {
	attempt := s.records.Record.Hooks[w.name].Attempt
	return func(ctx context.Context, run hook.Run) error {
		k := kept{work: w, run: run, asks: asked && run.Attempt > attempt, done: make(chan error, 1)}
		select {
		case s.kept <- k:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case err := <-k.done:
			asked = asked && !(k.asks && err == nil) // whoever asks again meanwhile is not answered yet
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// keep writes runs of hooks into the record: all that wait, in one request.
func (s *session) keep(ctx context.Context, first kept) {
	all := []kept{first}
	for range len(s.kept) {
		all = append(all, <-s.kept)
	}
	if !s.writes() {
		for _, k := range all {
			k.done <- errNotWriter
		}
		return
	}
	before := map[string]hook.Run{}
	for _, k := range all {
		before[k.work.name] = s.records.Record.Hooks[k.work.name]
	}
	err := s.records.Change(ctx, func(r *record.Record) {
		if r.Hooks == nil {
			r.Hooks = map[string]hook.Run{}
		}
		for _, k := range all {
			r.Hooks[k.work.name] = k.run
			if k.asks {
				delete(r.Rerun, k.work.name)
			}
		}
	})
	for _, k := range all {
		if err == nil {
			s.tellHooks(k.work.name, before[k.work.name], k.run)
		}
		k.done <- err
	}
	if err == nil {
		s.watchHooks(ctx)
	}
}

// tellHooks tells what is new of a run of hooks.
func (s *session) tellHooks(name string, before, now hook.Run) {
	for _, text := range now.News(before) {
		s.event(name, EventHook, text, nil)
	}
	if now.State == hook.Failing && (before.State != now.State || now.Attempt != before.Attempt) {
		s.event(name, EventFailed, "the sync has failed: "+now.Reason, nil)
	}
}

// watchHooks sees to it that changes of hooks that run are noticed.
func (s *session) watchHooks(ctx context.Context) {
	for _, run := range s.records.Record.Hooks {
		for _, st := range run.Hooks {
			if kind := st.ID.GroupKind(); st.Result == "" && !s.hookWatches[kind] {
				s.hookWatches[kind] = true
				s.watchHooksOf(ctx, kind)
			}
		}
	}
}

func (s *session) watchHooksOf(ctx context.Context, kind schema.GroupKind) {
	s.tasks.Go(func() {
		for ctx.Err() == nil {
			// What cannot be watched is looked at by the clock.
			_ = s.applier.WatchHooks(ctx, kind, func(id object.ID) {
				select {
				case s.hookEvents <- id:
				case <-ctx.Done():
				}
			})
			select {
			case <-time.After(hookLook):
			case <-ctx.Done():
			}
		}
	})
}

// noticeHook has an app looked at whose hook has changed.
func (s *session) noticeHook(id object.ID) {
	for name, run := range s.records.Record.Hooks {
		for _, st := range run.Hooks {
			if w := s.apps[name]; w != nil && st.ID == id && st.Result == "" {
				w.roused = true
			}
		}
	}
}

// hooksWait reports whether the hooks of the app's present content are yet to have
// run before anything of it is applied: drift is then corrected by repairs alone,
// which write nothing that Git changed.
func (s *session) hooksWait(w *work) bool {
	run := s.records.Record.Hooks[w.name]
	return w.syncsHooks() && (run.Digest != w.bundle.Digest || run.State != hook.Succeeded && run.Phase == app.PreSync)
}

// syncsHooks reports whether a sync of the app runs hooks.
func (w *work) syncsHooks() bool {
	hooks, _ := app.HooksOf(w.bundle.Hooks) // rendering has refused what cannot be read
	return slices.ContainsFunc(hooks, func(h app.Hook) bool { return h.Phase != app.PreDelete && h.Phase != app.PostDelete })
}

// hookRetry is when an app is looked at again that waits, as far as hooks say.
func (s *session) hookRetry(w *work, usual time.Time) time.Time {
	run := s.records.Record.Hooks[w.name]
	if w.roused {
		return s.now()
	}
	if !run.Ends() && usual.Sub(s.now()) > hookLook {
		return s.now().Add(hookLook)
	}
	if next, again := run.NextAttempt(w.options.Retry); again && next.Before(usual) {
		return next
	}
	return usual
}

// releaseHooks lets go of hooks that run for apps which have left the cluster, so
// that nothing keeps them from being deleted.
func (s *session) releaseHooks(ctx context.Context) {
	if s.assigned.Incomplete != nil {
		return
	}
	for name, run := range s.records.Record.Hooks {
		if s.apps[name] != nil || run.Ends() || s.releasing[name] {
			continue
		}
		s.releasing[name] = true
		s.tasks.Go(func() {
			err := s.applier.ReleaseHooks(ctx, name, run)
			done := func() {
				delete(s.releasing, name)
				if err != nil || s.apps[name] != nil || !s.writes() {
					return // the next look at the record does it
				}
				err := s.records.Change(ctx, func(r *record.Record) {
					run := r.Hooks[name]
					run.State, run.Reason, run.Hooks = hook.Failed, "the app left the cluster", nil
					r.Hooks[name] = run
				})
				if err != nil {
					s.abandon(err)
				}
			}
			select {
			case s.results <- done:
			case <-ctx.Done():
			}
		})
	}
}

// completion says whether a hook has done its work. One that is suspended has not.
func completion(ctx context.Context, checks Checker) func(*unstructured.Unstructured) (done, failed bool, message string) {
	return func(u *unstructured.Unstructured) (done, failed bool, message string) {
		result := checks.Check(ctx, u)
		return result.Status == health.Healthy || result.Ignored, result.Status == health.Degraded, result.Message
	}
}

// RerunHooks has an app synced now, and its hooks run again. Those that still run
// are stopped first.
func (s *Spoke) RerunHooks(ctx context.Context, name string) error {
	return s.ask(ctx, func(ctx context.Context, session *session) error {
		w, err := session.asked(name)
		if err != nil {
			return err
		}
		if w.bundle == nil || !w.syncsHooks() {
			return fmt.Errorf("app %q has no hooks", name)
		}
		if err := session.request(ctx, w); err != nil {
			return err
		}
		err = session.records.Change(ctx, func(r *record.Record) {
			if r.Rerun == nil {
				r.Rerun = map[string]bool{}
			}
			r.Rerun[name] = true
		})
		w.late = true // also if a sync is under way that does not know of it
		w.forget()
		return err
	})
}

// Hooks is what is known of the hooks of an app's last sync.
type Hooks = hook.Summary

// hooksOf returns what is known of an app's hooks, nil if it has none.
func (s *session) hooksOf(w *work) *Hooks {
	run, known := s.records.Record.Hooks[w.name]
	if !known || w.bundle == nil || len(w.bundle.Hooks) == 0 || run.Digest != w.bundle.Digest {
		return nil
	}
	return run.Summary()
}
