package spoke

import (
	"context"
	"slices"

	"nave.dev/internal/object"
	"nave.dev/internal/spoke/inputs"
)

// reading is what reads the variables of an app, nil if it has none.
func (s *session) reading(w *work) *inputs.Reading {
	if w.options.Variables == nil || w.removed {
		return nil
	}
	return &inputs.Reading{From: s.applier, Options: w.options}
}

// followInputs follows the objects from which apps read variables on the cluster.
func (s *session) followInputs(ctx context.Context) {
	if s.following == s.assigned {
		return
	}
	s.following = s.assigned
	var ids []object.ID
	for _, w := range s.apps {
		ids = append(ids, w.options.Variables.From()...)
	}
	s.inputs.Follow(ctx, ids, s.applier, &s.tasks, func(seen inputs.Seen) {
		select {
		case s.seen <- seen:
		case <-ctx.Done():
		}
	})
}

// noticeInput has the apps synced that have read another version of an object than it
// has now, or that wait for it.
func (s *session) noticeInput(seen inputs.Seen) {
	for _, w := range s.apps {
		if !slices.Contains(w.options.Variables.From(), seen.ID) {
			continue
		}
		if version, read := w.inputs.Versions()[seen.ID]; read && version == seen.Version {
			continue
		}
		w.tryAgain(s.now())
		s.late(w)
	}
}
