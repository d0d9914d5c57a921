// Package fetching fetches the sources of a fleet, each apart from the others, so that
// one that is slow delays nothing else.
package fetching

import (
	"cmp"
	"context"
	"slices"
	"sync"
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

// Sources are those that one process fetches. They are safe for concurrent use.
type Sources struct {
	pipeline *desired.Pipeline
	group    *sync.WaitGroup
	arrived  func()

	mu      sync.Mutex
	sources map[string]*source
}

// New returns Sources of which none was fetched yet. What is under way is in group, and
// arrived is called whenever something was fetched.
func New(pipeline *desired.Pipeline, group *sync.WaitGroup, arrived func()) *Sources {
	return &Sources{pipeline: pipeline, group: group, arrived: arrived, sources: map[string]*source{}}
}

// Fetch fetches sources, and returns when that is done or its patience is over.
func (f *Sources) Fetch(ctx context.Context, pinned *desired.Pinned, names []string) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for _, done := range f.Begin(ctx, pinned, names) {
		select {
		case <-done:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Begin begins to fetch sources, each apart from the others, and returns what is closed
// when each is done. One of which a fetch is under way is fetched once more after it,
// however often it is asked for, and not waited for.
func (f *Sources) Begin(ctx context.Context, pinned *desired.Pinned, names []string) (done []<-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		s := f.sources[name]
		if s == nil {
			s = &source{state: desired.SourceState{Name: name}}
			f.sources[name] = s
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
		f.group.Go(func() { f.bring(ctx, s) })
	}
	return done
}

// bring fetches a source until it has what there was when it was last asked for.
func (f *Sources) bring(ctx context.Context, s *source) {
	for again := true; again; {
		f.mu.Lock()
		pinned, name := s.pinned, s.state.Name
		s.again = false
		f.mu.Unlock()
		state := f.pipeline.FetchSource(ctx, pinned, name)
		f.mu.Lock()
		s.state, s.known = state, true
		if again = s.again && ctx.Err() == nil; !again {
			close(s.done)
			s.done = nil
		}
		f.mu.Unlock()
		f.arrived()
	}
}

// Fetching reports whether a fetch of a source is under way.
func (f *Sources) Fetching(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sources[name]
	return s != nil && s.done != nil
}

// Unfetched names the sources of a fleet that this process has not begun to fetch
// for all that the fleet needs of them.
func (f *Sources) Unfetched(pinned *desired.Pinned) (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.pipeline.Sources(pinned) {
		s := f.sources[name]
		if s == nil || slices.ContainsFunc(pinned.Needs(name), func(need string) bool { return !s.asked[need] }) {
			names = append(names, name)
		}
	}
	return names
}

// States says how fetching goes for the sources of a fleet that were fetched.
func (f *Sources) States(pinned *desired.Pinned) []desired.SourceState {
	f.mu.Lock()
	defer f.mu.Unlock()
	states := []desired.SourceState{}
	for _, name := range f.pipeline.Sources(pinned) {
		if s := f.sources[name]; s != nil && s.known {
			states = append(states, s.state)
		}
	}
	slices.SortFunc(states, func(a, b desired.SourceState) int { return cmp.Compare(a.Name, b.Name) })
	return states
}
