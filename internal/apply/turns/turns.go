// Package turns lets calls that concern the same thing take turns: a lock for each
// key, whose wait ends with a context. It knows no object and no cluster, and keeps
// nothing of a key that nobody holds.
package turns

import (
	"context"
	"sync"
)

// Turns are whose turn it is, by key. Its zero value works.
type Turns struct {
	mu   sync.Mutex
	held map[any]chan struct{}
}

// Take waits for the key's turn and returns what ends it, to be called once. The
// error is the cause of ctx's end, and there is no turn then.
func (t *Turns) Take(ctx context.Context, key any) (done func(), err error) {
	for {
		t.mu.Lock()
		busy, taken := t.held[key]
		if !taken {
			mine := make(chan struct{})
			if t.held == nil {
				t.held = map[any]chan struct{}{}
			}
			t.held[key] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.held, key)
				t.mu.Unlock()
				close(mine)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
