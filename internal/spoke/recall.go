package spoke

import (
	"context"
	"maps"
	"slices"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// fewToRecall is how many objects are read one by one before it is cheaper to list
// their kinds.
const fewToRecall = 8

// recall finds out at one go which objects are as apps want them that another process
// applied: a list of each kind in place of a read of each object. The apps wait for
// it, and what it does not tell is read.
func (s *session) recall(ctx context.Context) {
	var works []*work
	objects := 0
	for _, name := range s.names {
		w := s.apps[name]
		_, applied := slices.BinarySearch(s.records.Record.Applied, name)
		if !applied || w.fresh || w.busy || w.recalled || w.bundle == nil || len(w.known) > 0 {
			continue
		}
		w.recalled = true
		works = append(works, w)
		objects += len(w.bundle.Objects)
	}
	if objects <= fewToRecall {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	targets := make([]apply.Target, len(works))
	for i, w := range works {
		targets[i] = s.target(ctx, w)
		w.busy, w.cancel = true, cancel
	}
	s.running++
	s.tasks.Go(func() {
		baselines, _ := s.applier.Recover(ctx, targets) // what is missing costs reads
		s.results <- func() {
			s.running--
			cancel()
			for i, w := range works {
				w.busy, w.cancel = false, nil
				s.agenda.Add(w.name)
				maps.DeleteFunc(baselines[i], func(id object.ID, _ apply.Baseline) bool {
					_, there := s.tracked.Get(id)
					return !there && s.listed[id.GroupKind()] // it is gone since, and no event will tell
				})
				s.learn(w, apply.Result{Baselines: baselines[i]})
			}
		}
	})
}
