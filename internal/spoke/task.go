package spoke

import "context"

// do runs a task beside the loop and then done in it.
func (s *session) do(ctx context.Context, w *work, task func(context.Context) func()) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.busy = true
	s.running++
	s.tasks.Go(func() {
		done := task(ctx)
		s.results <- func() {
			s.running--
			w.stop()
			w.busy, w.cancel = false, nil
			s.agenda.Add(w.name)
			done()
		}
	})
}

// end breaks off what is under way and takes in what came of it: what was deleted
// counts against the budget, and what was not finished is begun anew by the next
// session.
func (s *session) end(cancel context.CancelFunc) {
	cancel()
	s.tasks.Wait()
	for len(s.results) > 0 {
		(<-s.results)()
	}
}

// abandon ends the session: the cluster no longer answers as it must.
func (s *session) abandon(err error) {
	select {
	case s.broken <- err:
	default:
	}
}
