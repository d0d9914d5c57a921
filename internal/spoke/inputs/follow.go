package inputs

import (
	"context"
	"sync"
	"time"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// Watcher watches one object by its metadata until ctx ends, as apply.Client does.
type Watcher interface {
	WatchObject(ctx context.Context, id object.ID, event func(apply.Event)) error
}

// Seen is the version of an object that variables come from, empty if it is not there.
type Seen struct {
	ID      object.ID
	Version string
}

// watchRetry is when an object that could not be watched is tried again.
const watchRetry = 5 * time.Second

// Follower follows objects that variables come from. It belongs to one goroutine.
type Follower struct {
	watches map[object.ID]context.CancelFunc
}

// Follow has these objects be followed and no others, until ctx ends. The function is told
// the version of each as it is and whenever it is another one, from goroutines of tasks.
func (f *Follower) Follow(ctx context.Context, ids []object.ID, by Watcher, tasks *sync.WaitGroup, tell func(Seen)) {
	wanted := map[object.ID]bool{}
	for _, id := range ids {
		wanted[id] = true
		if f.watches[id] != nil {
			continue
		}
		if f.watches == nil {
			f.watches = map[object.ID]context.CancelFunc{}
		}
		watching, stop := context.WithCancel(ctx)
		f.watches[id] = stop
		tasks.Go(func() { follow(watching, id, by, tell) })
	}
	for id, stop := range f.watches {
		if !wanted[id] {
			stop()
			delete(f.watches, id)
		}
	}
}

// follow tells the versions of one object.
func follow(ctx context.Context, id object.ID, by Watcher, tell func(Seen)) {
	for ctx.Err() == nil {
		seen := Seen{ID: id}
		// What cannot be watched is tried again: a sync that reads it says what is wrong.
		_ = by.WatchObject(ctx, id, func(event apply.Event) {
			switch event.Type {
			case apply.Added, apply.Modified:
				seen.Version = event.Version
			case apply.Deleted:
				seen.Version = ""
			case apply.Interrupted:
				return
			}
			tell(seen)
		})
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
		}
	}
}
