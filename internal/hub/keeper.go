package hub

import (
	"context"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/checks"
	"nave.dev/internal/spoke"
)

// keeper is what keeps one cluster, as the hub sees it: the same loop wherever it
// runs. Its methods may be called at any time, and mean what those of spoke.Spoke do.
type keeper interface {
	// Known reports whether the cluster may be given something: an agent reports first
	// what is there.
	Known() bool
	Assign(*spoke.Assigned)
	Judge(judgment)
	State() spoke.State
	Facts() app.Facts
	Found() []string
	Settled(*spoke.Assigned) map[string]string

	Sync(ctx context.Context, app string) error
	RerunHooks(ctx context.Context, app string) error
	Confirm(ctx context.Context, digest string) error
	Pause(context.Context, spoke.Pause) error
	Diff(ctx context.Context, app string) ([]spoke.AppDiff, error)
	Orphans(context.Context) ([]spoke.Orphan, error)
}

// judgment is how the health of objects is judged: the fleet's own checks, and
// with them those that every fleet has.
type judgment struct {
	own     checks.Checks
	checker spoke.Checker
}

// local keeps a cluster from the hub's own process.
type local struct{ *spoke.Spoke }

// Known implements keeper: the loop itself reads what is there first.
func (l local) Known() bool { return true }

// Judge has the cluster judged by other checks.
func (l local) Judge(j judgment) { l.Spoke.Judge(j.checker) }
