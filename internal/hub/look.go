package hub

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"nave.dev/internal/desired"
)

// patience is how long a look at Git waits for the remotes. What one of them
// brings later is looked at when it is there, and delays nothing else.
const patience = 2 * time.Second

// source is one remote and how fetching it goes.
type source struct {
	state  desired.SourceState
	known  bool            // state is that of a fetch
	pinned *desired.Pinned // the fleet that names it, when it was last asked for
	asked  map[string]bool // what that needed, and those before it that named the same place
	done   chan struct{}   // closed when the fetch that is under way is over; nil if none is
	again  bool            // there may be more than it brings
}

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
	fleet := h.sources[""]
	slow := fleet != nil && fleet.done != nil
	h.mu.Unlock()
	if slow { // when it was last fetched says nothing of the fetch that is under way
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
	h.fetch(ctx, before, h.pipeline.Sources(before))
	h.turn(ctx)
}

// fetch fetches sources, and returns when that is done or its patience is over.
func (h *Hub) fetch(ctx context.Context, pinned *desired.Pinned, names []string) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, done := range h.begin(ctx, pinned, names) {
		select {
		case <-done:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// begin begins to fetch sources, each apart from the others. One of which a fetch
// is under way is fetched once more after it, however often it is asked for, and
// not waited for.
func (h *Hub) begin(ctx context.Context, pinned *desired.Pinned, names []string) (done []<-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		s := h.sources[name]
		if s == nil {
			s = &source{state: desired.SourceState{Name: name}}
			h.sources[name] = s
		}
		needs := pinned.Needs(name)
		if s.pinned = pinned; !s.asked[needs[0]] {
			s.asked = map[string]bool{} // it is somewhere else
		}
		for _, need := range needs {
			s.asked[need] = true
		}
		if s.done != nil {
			s.again = true
			continue
		}
		s.done = make(chan struct{})
		done = append(done, s.done)
		h.spokes.Go(func() { h.bring(ctx, s) })
	}
	return done
}

// bring fetches a source until it has what there was when it was last asked for.
func (h *Hub) bring(ctx context.Context, s *source) {
	for again := true; again; {
		h.mu.Lock()
		pinned, name := s.pinned, s.state.Name
		s.again = false
		h.mu.Unlock()
		state := h.pipeline.FetchSource(ctx, pinned, name)
		h.mu.Lock()
		s.state, s.known = state, true
		if again = s.again && ctx.Err() == nil; !again {
			close(s.done)
			s.done = nil
		}
		h.mu.Unlock()
		signal(h.arrived)
	}
}

// turn brings the hub to the newest state of Git that was fetched.
func (h *Hub) turn(ctx context.Context) {
	select {
	case <-h.arrived: // what has arrived so far is seen now
	default:
	}
	pinned, err := h.pipeline.Pin(ctx)
	if err == nil {
		if first := h.unfetched(pinned); len(first) > 0 {
			h.fetch(ctx, pinned, first)
			pinned, err = h.pipeline.Pin(ctx)
		}
	}
	h.mu.Lock()
	before := h.pinned
	begins := errors.Is(err, desired.ErrNotFetched) && h.sources[""].done != nil
	h.mu.Unlock()
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
		if more := h.unfetched(pinned); len(more) > 0 { // which apps of apps and charts turned out to need
			h.begin(ctx, pinned, more)
		}
	}
	if err != nil && ctx.Err() == nil {
		h.opts.Log.Error("reading the fleet repository", "error", err)
		h.mu.Lock()
		h.revision.Error = err.Error()
		h.mu.Unlock()
	}
}

// unfetched names the sources of a fleet that this process has not begun to fetch
// for all that the fleet needs of them.
func (h *Hub) unfetched(pinned *desired.Pinned) (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range h.pipeline.Sources(pinned) {
		s := h.sources[name]
		if s == nil || slices.ContainsFunc(pinned.Needs(name), func(need string) bool { return !s.asked[need] }) {
			names = append(names, name)
		}
	}
	return names
}

// sourceStates says how fetching goes for the sources of the fleet that is in
// force. The hub is locked.
func (h *Hub) sourceStates() []desired.SourceState {
	states := []desired.SourceState{}
	for _, name := range h.pipeline.Sources(h.pinned) {
		if s := h.sources[name]; s != nil && s.known {
			states = append(states, s.state)
		}
	}
	slices.SortFunc(states, func(a, b desired.SourceState) int { return cmp.Compare(a.Name, b.Name) })
	return states
}
