package alone

import (
	"context"
	"sync"
	"time"

	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

// Keeper is a spoke of the cluster. What it is assigned the cluster keeps first, unless
// another process holds the lease: then nothing is written.
type Keeper struct {
	*spoke.Spoke
	home *Home
	wake chan struct{} // buffered by one: there may be something to do

	mu     sync.Mutex
	wanted *spoke.Assigned
	checks protocol.Checks
	given  *spoke.Assigned // what the spoke was given
	kept   *spoke.Assigned // what the cluster keeps
	known  string          // digest of the checks that it keeps
}

// Keeper returns one of a spoke that was made with the Writer of the Home. The cluster
// keeps what is there, if anything.
func (h *Home) Keeper(s *spoke.Spoke, there *spoke.Assigned, checks protocol.Checks) *Keeper {
	k := &Keeper{Spoke: s, home: h, wake: make(chan struct{}, 1), wanted: there, kept: there, checks: checks, known: checks.Digest}
	k.Wake()
	return k
}

// Assign has the cluster hold something else.
func (k *Keeper) Assign(a *spoke.Assigned) {
	k.mu.Lock()
	k.wanted = a
	k.mu.Unlock()
	k.Wake()
}

// Check has the cluster keep other health checks with its assignment.
func (k *Keeper) Check(checks protocol.Checks) {
	k.mu.Lock()
	k.checks = checks
	k.mu.Unlock()
	k.Wake()
}

// Wake has the Keeper look at the state of the spoke, which is another.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// State returns that of the spoke, which is not Synced while something else is wanted.
func (k *Keeper) State() spoke.State {
	k.mu.Lock()
	pending := k.wanted != k.given
	k.mu.Unlock()
	state := k.Spoke.State()
	if pending && state.Sync == spoke.Synced {
		state.Sync = spoke.OutOfSync
	}
	return state
}

// Run keeps the cluster until ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { k.Spoke.Run(ctx) })
	defer running.Wait()
	retry := firstRetry
	for {
		var again <-chan time.Time
		if err := k.pass(ctx); err != nil && ctx.Err() == nil {
			k.home.log.Error("the cluster does not keep what it is to be given", "error", err, "next", retry)
			again = time.After(retry)
			retry = min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-again:
		}
	}
}

// pass passes what is wanted on to the spoke, once the cluster keeps it. Who holds the
// lease is known before anything of it can be accepted.
func (k *Keeper) pass(ctx context.Context) error {
	k.mu.Lock()
	wanted, checks := k.wanted, k.checks
	same := wanted == k.kept && checks.Digest == k.known
	k.mu.Unlock()
	state := k.Spoke.State()
	switch other := state.Holder != "" && state.Holder != k.home.Writer; {
	case wanted == nil:
		return nil
	case same, other:
	case !state.Writer:
		return nil // there is a change of state when that is known
	default:
		if err := k.home.keep(ctx, wanted, state.Number, checks); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if state.Writer && !same {
		k.kept, k.known = wanted, checks.Digest
	}
	if k.given != wanted {
		k.given = wanted
		k.Spoke.Assign(wanted)
	}
	return nil
}
