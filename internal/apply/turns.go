package apply

import (
	"context"
	"sync"
)

// turns lets calls that concern the same object take turns.
type turns struct {
	mu   sync.Mutex
	held map[any]chan struct{}
}

// take waits for the key's turn and returns what ends it.
func (t *turns) take(ctx context.Context, key any) (done func(), err error) {
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
