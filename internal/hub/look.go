package hub

import (
	"context"
	"errors"
	"time"

	"nave.dev/internal/desired"
)

// follow looks at Git, now and whenever it is time, until ctx is done.
func (h *Hub) follow(ctx context.Context) {
	h.look(ctx)
	for {
		next := h.next()
		h.mu.Lock()
		h.nextFetch = next
		h.mu.Unlock()
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			h.look(ctx)
		case <-h.trigger:
			h.look(ctx)
		case <-h.arrived:
			h.turn(ctx)
		}
		timer.Stop()
	}
}

// next returns when to look at the remotes again.
func (h *Hub) next() time.Time {
	h.mu.Lock()
	interval := h.opts.Interval
	if h.pinned != nil && h.pinned.Fleet.Interval > 0 && h.opts.Interval == time.Minute {
		interval = h.pinned.Fleet.Interval
	}
	h.mu.Unlock()
	if h.sources.Fetching("") { // when it was last fetched says nothing of the fetch that is under way
		return time.Now().Add(interval)
	}
	return h.pipeline.NextFetch(interval)
}

// Trigger has the hub look at Git at once.
func (h *Hub) Trigger() { signal(h.trigger) }

// signal has whoever reads the channel do so once more.
func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// look fetches and brings the hub to the newest state of Git.
func (h *Hub) look(ctx context.Context) {
	h.mu.Lock()
	before := h.pinned
	h.mu.Unlock()
	h.sources.Fetch(ctx, before, h.pipeline.Sources(before))
	h.turn(ctx)
}

// turn brings the hub to the newest state of Git that was fetched.
func (h *Hub) turn(ctx context.Context) {
	select {
	case <-h.arrived: // what has arrived so far is seen now
	default:
	}
	pinned, err := h.pipeline.Pin(ctx)
	if err == nil {
		if first := h.sources.Unfetched(pinned); len(first) > 0 {
			h.sources.Fetch(ctx, pinned, first)
			pinned, err = h.pipeline.Pin(ctx)
		}
	}
	h.mu.Lock()
	before := h.pinned
	h.mu.Unlock()
	begins := errors.Is(err, desired.ErrNotFetched) && h.sources.Fetching("")
	if err != nil {
		// What was accepted before stays in force, and clusters that join, expire
		// or get other credentials do not wait for Git.
		if pinned = before; pinned == nil {
			pinned, _ = h.pipeline.PinAccepted(ctx) // without one there is nothing to keep
		}
	}
	if begins && pinned == nil {
		return // there is nothing yet, and nothing wrong
	}
	if pinned != nil {
		err = errors.Join(err, h.compile(ctx, pinned))
		if more := h.sources.Unfetched(pinned); len(more) > 0 { // which apps of apps and charts turned out to need
			h.sources.Begin(ctx, pinned, more)
		}
	}
	if err != nil && ctx.Err() == nil {
		h.opts.Log.Error("reading the fleet repository", "error", err)
		h.mu.Lock()
		h.revision.Error = err.Error()
		h.mu.Unlock()
	}
}
