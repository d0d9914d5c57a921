package cluster

import (
	"context"
	"sync"
	"time"
)

// limiter bounds the requests in flight. It starts with as many as it is
// allowed, halves them when the API server refuses or is slow, and adds one for
// each round of good answers: the scheme by which TCP shares a link.
type limiter struct {
	most int
	now  func() time.Time
	told func(Throttle)

	mu       sync.Mutex
	limit    float64
	inFlight int
	waiting  []chan struct{}
	cutAt    time.Time // of the last decrease
	pause    time.Time // no request before
}

// slow is how long an answer takes from a server that has too much to do.
const slow = 2 * time.Second

func newLimiter(most int, now func() time.Time, told func(Throttle)) *limiter {
	return &limiter{most: most, now: now, told: told, limit: float64(most)}
}

// acquire waits for a place and returns when the request may be sent.
func (l *limiter) acquire(ctx context.Context) (began time.Time, err error) {
	l.mu.Lock()
	for l.inFlight >= int(l.limit) {
		turn := make(chan struct{})
		l.waiting = append(l.waiting, turn)
		l.mu.Unlock()
		select {
		case <-turn:
		case <-ctx.Done():
			l.mu.Lock()
			l.wake() // the turn may have been given to this call
			l.mu.Unlock()
			return time.Time{}, context.Cause(ctx)
		}
		l.mu.Lock()
	}
	l.inFlight++
	wait := l.pause.Sub(l.now())
	l.mu.Unlock()
	if err := Pause(ctx, wait); err != nil {
		l.leave()
		return time.Time{}, err
	}
	return l.now(), nil
}

// release gives the place back. Refused says that the server asked for less, and
// wait for how long it wants none at all.
func (l *limiter) release(began time.Time, refused bool, wait time.Duration) {
	now := l.now()
	l.mu.Lock()
	reason := ""
	switch {
	case refused:
		reason = "429"
	case now.Sub(began) > slow:
		reason = "slow answers"
	}
	var throttle Throttle
	if reason == "" {
		l.limit = min(float64(l.most), l.limit+1/l.limit)
	} else if began.After(l.cutAt) { // once for all that were in flight together
		l.limit, l.cutAt = max(1, l.limit/2), now
		throttle = Throttle{Reason: reason, Limit: int(l.limit), Wait: wait}
	}
	if until := now.Add(wait); wait > 0 && until.After(l.pause) {
		l.pause = until
	}
	l.mu.Unlock()
	l.leave()
	if throttle.Reason != "" && l.told != nil {
		l.told(throttle)
	}
}

func (l *limiter) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.wake()
}

// wake gives a turn to as many as there are places for.
func (l *limiter) wake() {
	for free := int(l.limit) - l.inFlight; free > 0 && len(l.waiting) > 0; free-- {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}

// Pause waits for a time, or until ctx ends.
func Pause(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
