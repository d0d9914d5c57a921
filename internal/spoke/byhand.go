package spoke

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"nave.dev/internal/apply"
	"nave.dev/internal/spoke/hours"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/window"
)

// requested reports whether what is wanted of the app now was asked for, and is yet to be done.
func (s *session) requested(w *work) bool {
	asked := s.records.Record.Asked[w.name]
	return w.bundle != nil && asked.Digest == w.bundle.Digest && !asked.Done
}

// compares reports whether an app is compared with the cluster and not synced: its
// windows are shut, or it is synced by hand, and nobody asked for what it is now,
// or that has been done. What others change after that is corrected only where the
// app says so.
func (s *session) compares(w *work) bool {
	if w.bundle == nil || s.shut(w) != "" {
		return w.bundle != nil
	}
	return s.unasked(w) || w.options.Manual && !w.removed && s.records.Record.Asked[w.name].Done && !w.options.CorrectDrift
}

// unasked reports whether an app waits for somebody to ask for what it is now.
func (s *session) unasked(w *work) bool {
	return w.options.Manual && !w.removed && s.records.Record.Asked[w.name].Digest != w.bundle.Digest
}

// request keeps on the cluster that somebody asks for what is wanted of an app
// now, if that matters: a process that ends does not forget it.
func (s *session) request(ctx context.Context, w *work) error {
	if w.removed || !w.options.Manual && w.options.CorrectDrift && len(w.options.Windows) == 0 {
		return nil
	}
	if w.bundle == nil {
		return fmt.Errorf("app %q: what it should be is not known: %w", w.name, w.err)
	}
	windows, err := hours.Read(w.options.Windows)
	if err != nil {
		return fmt.Errorf("app %q: %w", w.name, err)
	}
	if now := s.now(); !window.Permit(windows, now, true, time.Time{}) {
		return fmt.Errorf("app %q: %s", w.name, window.Explain(windows, now, true))
	}
	asked := record.Asked{Digest: w.bundle.Digest}
	return s.records.Change(ctx, func(r *record.Record) {
		if r.Asked == nil {
			r.Asked = map[string]record.Asked{}
		}
		r.Asked[w.name] = asked
	})
}

// fulfil keeps on the cluster that what somebody asked for has been done. If that
// cannot be told the cluster, the next session does it again.
func (s *session) fulfil(ctx context.Context, w *work, digest string) {
	if asked := s.records.Record.Asked[w.name]; asked.Digest != digest || asked.Done {
		return
	}
	err := s.records.Change(ctx, func(r *record.Record) {
		if r.Asked[w.name].Digest == digest {
			r.Asked[w.name] = record.Asked{Digest: digest, Done: true}
		}
	})
	if err != nil {
		w.forget()
		s.abandon(err)
	}
}

// compare finds out what a sync of an app would do, and shows it.
func (s *session) compare(ctx context.Context, w *work) {
	now := s.now()
	w.doubt(now)
	w.late, w.comparing = false, true
	target := s.target(ctx, w)
	w.inputs = s.reading(w)
	target.Variables = w.inputs.Replace
	digest, options := w.bundle.Digest, w.optionsDigest
	s.do(ctx, w, func(task context.Context) func() {
		result, err := s.applier.Compare(task, target)
		stopped := task.Err() != nil
		return func() {
			w.comparing = false
			result.Changes = result.Changes.AsDrift()
			s.learn(w, result)
			if stopped || !s.compares(w) { // it was asked for meanwhile
				w.forget()
				return
			}
			w.syncedDigest, w.syncedOptions = digest, options
			w.retryAt = time.Time{}
			if err != nil {
				w.retryLater(now)
			}
			s.showDifferences(w, result, err)
			w.follow()
		}
	})
}

// showDifferences enters what a comparison came to into the app's state. What
// others changed since it was synced is told of.
func (s *session) showDifferences(w *work, result apply.Result, err error) {
	before := w.state.Drift
	result.Held = nil // nothing is to be confirmed before somebody asks for a sync
	s.judge(w, result, err)
	if err != nil || len(w.state.Drift) == 0 {
		return
	}
	n := len(w.state.Drift)
	if shut := s.shut(w); shut != "" {
		w.state.Message = cmp.Or(w.state.Problems.First(), fmt.Sprintf("%s: %d objects differ from Git", shut, n))
	}
	if s.unasked(w) {
		w.state.Message = cmp.Or(w.state.Problems.First(), fmt.Sprintf("waits for nave sync: %d objects differ from Git", n))
		return
	}
	if news := w.state.Drift.Besides(before); len(news) > 0 {
		s.event(w.name, EventDrift, news.Summary(), news)
	}
}
