package bench

import (
	"context"
	"runtime"
	"time"

	"nave.dev/internal/lab"
)

// calmWindow is how long the lab is watched to tell whether it is calm.
const calmWindow = 5 * time.Second

// calmLimit is how long a lab may take to calm down, before it is measured as it is.
const calmLimit = 5 * time.Minute

// calm waits until the lab needs less than half of the machine. Controllers that
// were just started, and what they do about new objects, keep it busy for minutes,
// and who is measured meanwhile waits for a processor.
func (s *site) calm(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < calmLimit; {
		before, err := s.spent()
		if err != nil {
			return err
		}
		if err := lab.Pause(ctx, calmWindow); err != nil {
			return err
		}
		after, err := s.spent()
		if err != nil {
			return err
		}
		if after-before < calmWindow*time.Duration(runtime.NumCPU())/2 {
			return nil
		}
	}
	s.say("the lab does not calm down: what follows was measured beside its controllers")
	return nil
}
