package remotes

import (
	"context"
	"sync"
)

// Attempts are the tries of a snapshot to fetch what was never fetched: one for each. The zero value is ready, and safe
// for concurrent use.
type Attempts struct {
	mu  sync.Mutex
	all map[string]*attempt // by Needed
}

type attempt struct {
	fetching sync.Mutex // held meanwhile
	done     bool       // guarded by that of all, like err
	err      error
}

// Tried reports whether there was a try, and the error of it.
func (a *Attempts) Tried(what string) (tried bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.all[what]; t != nil {
		return t.done, t.err
	}
	return false, nil
}

// Once calls fetch, unless that was done, and waits for one that is under way. A call that ends with ctx is none. The
// error of fetch is why there is nothing to resolve by all the same.
func (a *Attempts) Once(ctx context.Context, what string, fetch func() error) {
	t := a.of(what)
	t.fetching.Lock()
	defer t.fetching.Unlock()
	if tried, _ := a.Tried(what); tried {
		return
	}
	err := fetch()
	a.mu.Lock()
	defer a.mu.Unlock()
	t.done, t.err = ctx.Err() == nil, err
}

func (a *Attempts) of(what string) *attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]*attempt{}
	}
	if a.all[what] == nil {
		a.all[what] = &attempt{}
	}
	return a.all[what]
}
