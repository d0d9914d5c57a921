package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiterHalvesAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(8, time.Now, nil)
		refuse := func(wait time.Duration) {
			<-time.After(time.Millisecond) // decreases are once for all in flight
			began, err := l.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.release(began, true, wait)
		}
		for _, want := range []int{4, 2, 1, 1} {
			if refuse(0); int(l.limit) != want {
				t.Fatalf("limit %v, want %d", l.limit, want)
			}
		}
		refuse(5 * time.Second)
		asked := time.Now()
		began, err := l.acquire(t.Context())
		if err != nil || began.Sub(asked) != 5*time.Second {
			t.Errorf("waited %s, %v", began.Sub(asked), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second request beside a limit of 1: %v", err)
		}
		l.release(began, false, 0)
		for range 100 {
			began, err := l.acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.release(began, false, 0)
		}
		if int(l.limit) != 8 {
			t.Errorf("recovered to %v", l.limit)
		}
		began, err = l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(slow + time.Second)
		if l.release(began, false, 0); int(l.limit) != 4 {
			t.Errorf("after a slow answer %v", l.limit)
		}
	})
}
