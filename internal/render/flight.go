package render

import (
	"context"
	"sync"
)

// flights lets one caller at a time through per key. Its zero value is ready.
type flights struct {
	mu      sync.Mutex
	waiting map[string]*flight
}

type flight struct {
	seat  chan struct{} // holds one token while somebody is on board
	count int           // on board or waiting
}

// board waits until nobody else is on board under the key. The caller must call landed when it is done.
func (f *flights) board(ctx context.Context, key string) (landed func(), err error) {
	f.mu.Lock()
	if f.waiting == nil {
		f.waiting = map[string]*flight{}
	}
	own, ok := f.waiting[key]
	if !ok {
		own = &flight{seat: make(chan struct{}, 1)}
		f.waiting[key] = own
	}
	own.count++
	f.mu.Unlock()
	leave := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if own.count--; own.count == 0 {
			delete(f.waiting, key)
		}
	}
	select {
	case own.seat <- struct{}{}:
		return func() { <-own.seat; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
