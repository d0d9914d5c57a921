package desired

import (
	"context"
	"fmt"
	"sync"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/gitsource"
)

// ErrNotFetched is in the error of a call that needs a fetch to have succeeded.
var ErrNotFetched = gitsource.ErrNotFetched

// SourceState is how fetching one source goes. The fleet repository's name is
// empty.
type SourceState struct {
	Name string `json:"name"`
	gitsource.State
}

// Sources returns the names of what Fetch fetches: the fleet repository, whose
// name is empty, and the sources that the pinned fleet names, if any is given.
func (p *Pipeline) Sources(pinned *Pinned) (names []string) {
	if p.opts.Worktree == "" {
		names = append(names, "")
	}
	if pinned != nil {
		for _, s := range pinned.Fleet.Sources {
			names = append(names, s.Name)
		}
	}
	return names
}

// Fetch brings the mirrors of the fleet repository and of the sources that the
// pinned fleet names, if any is given, up to date, all at the same time. One that
// is down does not keep the others; its state says why, and what was fetched
// before stays in force.
func (p *Pipeline) Fetch(ctx context.Context, pinned *Pinned) []SourceState {
	names := p.Sources(pinned)
	states := make([]SourceState, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { states[i] = p.FetchSource(ctx, pinned, name) })
	}
	group.Wait()
	return states
}

// FetchSource is Fetch for one of Sources.
func (p *Pipeline) FetchSource(ctx context.Context, pinned *Pinned, name string) SourceState {
	state := SourceState{Name: name}
	url, credential := p.opts.Repository.URL, p.opts.Repository.Credential
	if name != "" {
		source, ok := pinned.source(name)
		if !ok {
			state.Err = fmt.Sprintf("the fleet has no source %q", name)
			return state
		}
		url, credential = source.URL, source.Credential
	}
	var err error
	if state.State, err = p.fetch(ctx, name, url, credential); err != nil && state.Err == "" {
		state.Err = err.Error()
	}
	return state
}

// fetch brings one mirror up to date. Only this needs the credential to be right.
func (p *Pipeline) fetch(ctx context.Context, name, url string, credential *v1alpha1.Credential) (gitsource.State, error) {
	if _, err := p.auth(name, credential); err != nil {
		return gitsource.State{}, err
	}
	mirror, err := p.mirror(name, url, credential)
	if err != nil {
		return gitsource.State{}, err
	}
	return mirror.Fetch(ctx)
}
