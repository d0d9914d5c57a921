package turns

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		first, err := turns.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		other, err := turns.Take(t.Context(), "b") // would deadlock if it waited
		if err != nil {
			t.Fatal(err)
		}
		other()

		cause := errors.New("no more")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if _, err := turns.Take(ctx, "a"); !errors.Is(err, cause) {
			t.Errorf("waiting after the end of the context: %v, want its cause", err)
		}

		taken := 0
		for range 3 {
			go func() {
				done, err := turns.Take(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				taken++ // a race unless they take turns
				done()
			}()
		}
		synctest.Wait()
		if taken != 0 {
			t.Errorf("%d took the key while it was held", taken)
		}
		first()
		synctest.Wait()
		if taken != 3 || len(turns.held) > 0 {
			t.Errorf("%d took their turn and %d keys are held, want 3 and none", taken, len(turns.held))
		}
	})
}
