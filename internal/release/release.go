// Package release keeps releases of Helm as they should be, by Helm's own library:
// it installs, upgrades, tests, rolls back and uninstalls, and records where Helm
// does, so that helm list, history and rollback show and do what they always do. The
// main function is Client.Sync, which looks at a release, decides on one step after
// the other by what the records say, and takes them. What it needs to know over a
// restart is in the records: labels on them say what was wanted, so that a look at a
// release that is as it should be reads their metadata and nothing else, and one that
// was broken off is found and taken up. Before anything of a new revision is written,
// all its objects are held against limits, and what it would delete is reviewed by
// whoever calls. It runs no template: whoever makes a client gives it a Renderer, and Helm
// gets what came of it. It knows no apps but by name.
package release

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Options configure a Client. Its zero value works.
type Options struct {
	// Fleet is the identity of the fleet, which the records name.
	Fleet string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// DigestKey is the key by which values of Secrets are redacted.
	DigestKey []byte
	// Stepping, if set, is called before each step, with what it is.
	Stepping func(app string, step Step)
}

// Renderer runs what comes with a chart, which may be hostile or have no end, where it
// can be stopped.
type Renderer interface {
	// Templates runs the templates of a chart, and returns what each file of them came to,
	// notes among them, by its name below that of the chart.
	Templates(ctx context.Context, templates app.Templates, lookup app.Lookup) (map[string]string, error)
	// PostRender applies a release's post-renderers to manifests, which are YAML.
	PostRender(ctx context.Context, release *app.Release, manifests []byte) ([]byte, error)
}

// Client works on the releases of one cluster. It is safe for concurrent use;
// calls about one release must not overlap.
type Client struct {
	options  Options
	renderer Renderer
	reach    *reach
}

// New returns a client for the cluster that config reaches. It sends no request.
func New(config *rest.Config, renderer Renderer, options Options) (*Client, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	r, err := newReach(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	return &Client{options: options, renderer: renderer, reach: r}, nil
}

// Target is a release as it should be, and by which rules.
type Target struct {
	App     string
	Release *app.Release
	Options app.Options
	// Lost is how many attempts at this very target failed of which the records no
	// longer tell, as a Result had it.
	Lost int
	// Review says what becomes of objects that a step would delete; nil lets all go.
	Review func(Removal) Review
	// ClaimedBy names another app that an object belongs to; nil means none.
	ClaimedBy func(object.ID) (app string, ok bool)
	// Entitled says what is missing of the rights by which objects and hooks of a next
	// revision are brought about: nothing of it is written then, and a Sync returns the
	// error as it is. Nil means that nothing is missing.
	Entitled func(ctx context.Context, objects, hooks []object.ID) error
	// Ignored returns the places in an object, each a path of names and of numbers of
	// list elements, that others may set; nil means none.
	Ignored func(id object.ID, want, live *unstructured.Unstructured) ([][]any, error)
	// Rerun upgrades the release though nothing changed.
	Rerun bool
}

// Removal is what a step would delete.
type Removal struct {
	Step Step
	// Gone are the objects, as they are on the cluster now.
	Gone []*unstructured.Unstructured
	// Wanted are the objects that the release is to have afterwards.
	Wanted []object.ID
	// Size is how many objects the release has now.
	Size int
}

// Review is what a Review function decides: the objects that are deleted. With Held,
// the whole step waits, and nothing is written but definitions of the chart.
type Review struct {
	Delete []object.ID
	Held   *Held
	// Kept are the objects that stay, each with the reason.
	Kept change.Set
}

// Held is a step that waits for a confirmation of what it would delete.
type Held struct {
	Digest string // of the list, which a confirmation names
	Reason string
	// Objects that would be deleted.
	Objects []object.ID
}

// Step is something that is done to a release.
type Step string

// The steps.
const (
	Install   Step = "install"
	Upgrade   Step = "upgrade"
	Test      Step = "test"
	Rollback  Step = "roll back"
	Uninstall Step = "uninstall"
	Unlock    Step = "unlock" // its last step was broken off
)

// Result is what came of a Sync.
type Result struct {
	// Present says that there is a release, of which Revision is the last revision.
	Present  bool
	Revision int
	// Current says that it is as it should be.
	Current bool
	Changes change.Set // to its objects
	// Objects are those of the present revision that the last step wrote, as they were
	// afterwards.
	Objects []*unstructured.Unstructured
	Steps   []Step // that were taken
	// Failures is how many attempts at the target failed, and Failed why the last one
	// did. Exhausted says that there are to be no more. Lost are those of Failures of
	// which the records do not tell.
	Failures  int
	Lost      int
	Failed    string
	Exhausted bool
	Held      *Held
	// Left says that there is a release to be removed, which is not the app's.
	Left bool
	// Again is after how long to call again, though nothing changes; 0 is when something
	// does.
	Again time.Duration
}

// maxSteps bounds what one call does. A release that needs more is taken up again by
// the next one.
const maxSteps = 6

// Sync brings a release to what it should be, as far as its rules permit. An attempt
// that failed is no error of Sync: the result tells. An error means that the cluster,
// or the target, does not let it be known how the release is, and what of the result
// is known.
func (c *Client) Sync(ctx context.Context, t Target) (Result, error) {
	run, err := c.begin(ctx, t)
	if err != nil {
		return Result{}, err
	}
	defer run.end()
	if err := run.readValues(); err != nil {
		return run.result, err
	}
	for range maxSteps {
		seen, err := run.observe()
		if err != nil {
			return run.result, err
		}
		if err := run.contested(seen); err != nil {
			return run.result, err
		}
		next := decide(seen, run.intent())
		run.note(seen, next)
		if next.step == "" {
			return run.result, nil
		}
		if next.wait > 0 {
			run.result.Again = next.wait
			return run.result, nil
		}
		if err := run.take(next); err != nil || run.result.Held != nil || next.last {
			return run.result, err
		}
	}
	run.result.Again = time.Second
	return run.result, nil
}

// Remove uninstalls a release, as far as a review of its objects permits. One that the
// app never brought about, or that another app has by now, stays, and the result tells.
func (c *Client) Remove(ctx context.Context, t Target) (Result, error) {
	run, err := c.begin(ctx, t)
	if err != nil {
		return Result{}, err
	}
	defer run.end()
	seen, err := run.observe()
	if err != nil {
		return run.result, err
	}
	run.result.Present = seen.present()
	if !run.result.Present {
		return run.result, nil
	}
	if seen[0].owner != run.owner() {
		run.result.Present, run.result.Left = false, true
		return run.result, nil
	}
	err = run.take(decision{step: Uninstall, reviewed: true})
	run.result.Present = err != nil || run.result.Held != nil
	return run.result, err
}
