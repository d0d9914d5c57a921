package desired

import (
	"context"
	"errors"
	"sync"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/gitsource"
)

// ErrNotFetched is in the error of a call that needs a fetch to have succeeded.
var ErrNotFetched = gitsource.ErrNotFetched

// notFetched reports whether an error says that a source has to be fetched first.
func notFetched(err error) bool {
	return errors.Is(err, gitsource.ErrNotFetched) || errors.Is(err, chartsource.ErrNotFetched)
}

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
	source, err := p.source(pinned, name)
	if err == nil {
		state.State, err = p.fetch(ctx, source)
	}
	if err != nil && state.Err == "" {
		state.Err = err.Error()
	}
	return state
}

// fetch brings one mirror, or the charts or artifacts of one source, up to date. Only this needs
// the credential to be right.
func (p *Pipeline) fetch(ctx context.Context, source v1alpha1.Source) (gitsource.State, error) {
	if _, err := p.auth(source.Name, source.Credential); err != nil {
		return gitsource.State{}, err
	}
	if !source.IsGit() {
		return p.fetchCharts(ctx, source)
	}
	mirror, err := p.mirror(source)
	if err != nil {
		return gitsource.State{}, err
	}
	return mirror.Fetch(ctx)
}
