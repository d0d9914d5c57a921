// Package hook runs the hooks of one app: objects that are created at a phase of
// a sync, or of the app's removal, awaited and not kept. A [Run] is what must
// outlive the process; it is recorded before a hook is created, and each result
// before its hook is let go, so that a hook runs once whatever happens to who runs
// it. A [Runner] waits for nothing: it does what can be done now and says what the
// rest waits for. When hooks run is for the caller to say, and what else the app
// has is none of its business.
package hook

import (
	"context"
	"errors"

	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// Run is the hooks of one sync of an app. It outlives the process: whoever
// runs them keeps what Options.Keep was last given and hands it back.
type Run struct {
	Digest string `json:"digest"` // of the bundle that is synced
	// Removal says that it is the removal of the app and not a sync.
	Removal bool `json:"removal,omitempty"`
	// Attempt rises with every run of the app, Tries with every run of one sync that
	// nobody asked for.
	Attempt int       `json:"attempt"`
	Tries   int       `json:"tries,omitempty"`
	State   Status    `json:"state"`
	Phase   app.Phase `json:"phase,omitempty"` // that is under way, or that failed
	Wave    int       `json:"wave,omitempty"`
	Since   time.Time `json:"since"`            // when the run began
	Entered time.Time `json:"entered,omitzero"` // when the phase did
	Ended   time.Time `json:"ended,omitzero"`
	Reason  string    `json:"reason,omitempty"` // why it failed
	// Hooks are those of the run that have begun, by key. There are none once it has
	// ended.
	Hooks map[string]State `json:"hooks,omitempty"`
}

// State is one hook of a run.
type State struct {
	ID     object.ID `json:"id"`
	Phase  app.Phase `json:"phase"`
	UID    types.UID `json:"uid,omitempty"` // empty until it is known to have been created
	Since  time.Time `json:"since,omitzero"`
	Result Status    `json:"result,omitempty"` // Succeeded or Failed, once it has ended
	Reason string    `json:"reason,omitempty"`
	// IfSucceeded and IfFailed say with which outcome it is deleted.
	IfSucceeded bool `json:"ifSucceeded,omitempty"`
	IfFailed    bool `json:"ifFailed,omitempty"`
}

// Status says how far a run of hooks is.
type Status string

// The states of a run.
const (
	Running   Status = "running"
	Failing   Status = "failing" // it has failed, and the hooks for that case run
	Failed    Status = "failed"
	Succeeded Status = "succeeded"
)

// Ends reports whether nothing of the run is under way.
func (h Run) Ends() bool { return h.State != Running && h.State != Failing }

// Unfinished returns the hooks that have begun and not ended, in order.
func (h Run) Unfinished() []State {
	var found []State
	for _, key := range slices.Sorted(maps.Keys(h.Hooks)) {
		if st := h.Hooks[key]; st.Result == "" {
			found = append(found, st)
		}
	}
	slices.SortStableFunc(found, func(a, b State) int { return object.Compare(a.ID, b.ID) })
	return found
}

// NextAttempt returns when a failed run is to be tried again without being asked,
// if ever.
func (h Run) NextAttempt(rule *app.Retry) (at time.Time, ok bool) {
	wait, again := rule.Wait(h.Tries)
	return h.Ended.Add(wait), h.State == Failed && again
}

// creation names the one creation of a hook of the run.
func (h Run) creation(owner object.Owner, key string) string {
	return object.Digest([]byte(owner.Fleet), []byte(owner.App), []byte(h.Digest), []byte(strconv.Itoa(h.Attempt)),
		[]byte(h.Since.Format(time.RFC3339)), []byte(key))[:16]
}

// Options are what a Runner is for, and what it needs of who applies the app's
// objects. All are to be set, save those that are no functions.
type Options struct {
	Cluster *cluster.Connection
	Now     func() time.Time
	Owner   object.Owner
	As      string // the user to impersonate for writes, if any
	Digest  string // of the bundle that is synced
	Hooks   []*unstructured.Unstructured
	App     app.Options
	Rerun   bool // somebody asks for another run
	Removal bool
	// Keep records the run; nothing that depends on it is done before it returns.
	Keep func(context.Context, Run) error
	// Completion says whether a hook has done its work, has failed, and why.
	Completion func(*unstructured.Unstructured) (done, failed bool, message string)
	// Prepare decrypts an object and makes what is to be applied of it.
	Prepare func(*unstructured.Unstructured) (*unstructured.Unstructured, error)
	// Create creates an object; one that is there is a conflict.
	Create func(context.Context, cluster.Resource, *unstructured.Unstructured) (*unstructured.Unstructured, error)
	Put    func(ctx context.Context, request cluster.Request, verb string) (*unstructured.Unstructured, error)
	// Take waits for the turn at an object.
	Take func(context.Context, object.ID) (done func(), err error)
	// ClaimedBy names another app that has the object in Git.
	ClaimedBy func(object.ID) (app string, ok bool)
	// MakeNamespace makes a namespace if it is the app's own.
	MakeNamespace func(ctx context.Context, name string)
	// Obstacle says what of the objects of waves below one that were applied is not
	// healthy, and Failing whether some such thing has failed.
	Obstacle func(ctx context.Context, below int) string
	Failing  func() bool
	// Stop ends all work if an error concerns the cluster, and Halt in any case.
	Stop    func(context.Context, error) bool
	Halt    func(error)
	Stopped func() bool
	// Wait notes what is waited for and returns it.
	Wait func(format string, values ...any) string
}

// Runner runs the hooks of one app as far as that can be done now.
type Runner struct {
	Options
	// Blocked says why the app is not to be pruned, if so.
	Blocked string

	list    []app.Hook // those that a sync, or the removal, may run
	now     Run
	unsaved bool
}

// everyWave is above all waves.
const everyWave = math.MaxInt

// errAgain says that an object changed between a read and a write.
var errAgain = errors.New("the hook kept changing while it was looked at")

// New returns a Runner that goes on from a run as it was recorded, zero if there
// is none.
func New(options Options, recorded Run) (*Runner, error) {
	h := &Runner{Options: options, now: recorded}
	h.now.Hooks = maps.Clone(recorded.Hooks)
	all, err := app.HooksOf(options.Hooks)
	if err != nil {
		return nil, fmt.Errorf("reading the hooks of the app %q: %w", options.Owner.App, err)
	}
	for _, hook := range all {
		if removal := hook.Phase == app.PreDelete || hook.Phase == app.PostDelete; removal == options.Removal {
			h.list = append(h.list, hook)
		}
	}
	return h, nil
}

// seconds is the time in whole seconds, as a record keeps it.
func (h *Runner) seconds() time.Time { return h.Now().UTC().Truncate(time.Second) }

// Namespaces returns those that the hooks state.
func (h *Runner) Namespaces() []string {
	var names []string
	for _, hook := range h.list {
		names = append(names, hook.Object.GetNamespace())
	}
	return names
}

// current reports whether the run on record is of what is synced now.
func (h *Runner) current() bool {
	return h.now.Attempt > 0 && h.now.Digest == h.Digest && h.now.Removal == h.Removal
}

// In reports whether hooks are still to run in a namespace.
func (h *Runner) In(namespace string) bool {
	return h.Active() && slices.ContainsFunc(h.list, func(hook app.Hook) bool { return hook.Object.GetNamespace() == namespace })
}

// Active reports whether hooks have a say in what is done.
func (h *Runner) Active() bool { return len(h.list) > 0 && h.now.State != Succeeded }

// HoldsBack reports whether what Git changed is not to be written outside of a
// sync, since hooks that come before it may not have run.
func (h *Runner) HoldsBack() bool {
	return len(h.list) > 0 && !(h.current() && (h.now.State == Succeeded || h.now.Phase == app.PostSync))
}

// waves returns the waves of a phase's hooks, in order.
func (h *Runner) waves(phase app.Phase) []int {
	var found []int
	for _, hook := range h.list {
		if hook.Phase == phase {
			found = append(found, hook.Wave)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// first is the phase before which nothing of the app is touched.
func (h *Runner) first() app.Phase {
	if h.Removal {
		return app.PreDelete
	}
	return app.PreSync
}

// second is the phase in which the app's objects are.
func (h *Runner) second() app.Phase {
	if h.Removal {
		return app.PostDelete
	}
	return app.InSync
}
