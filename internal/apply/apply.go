// Package apply is everything that Nave does to the objects of one cluster: it
// brings an app's objects to what Git says ([Client.Sync]), shows what that
// would do ([Client.Diff]), undoes what others changed ([Client.Repair]), and
// follows and lists what it manages ([Client.Watch], [Client.Inventory]). It
// applies by server-side apply under one field manager, writes its marks in the
// same request, and deletes only what a plan of package prune names, after a
// fresh read. It renders nothing, remembers nothing that losing would make
// unsafe, polls nothing and leaves nothing running when a call returns: what it
// did is a change.Set, and what it is doing goes to a [Listener].
package apply

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/autoscaler"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/apply/presence"
	"nave.dev/internal/apply/turns"
	"nave.dev/internal/object"
)

// Options configure a Client. Its zero value works, for the fleet without a name.
type Options struct {
	// Fleet is the identity of the fleet, which the marks name.
	Fleet string
	// Concurrency is the most requests in flight at once; 0 means 16. Fewer are
	// while the API server pushes back.
	Concurrency int
	// Timeout bounds one request; 0 means a minute.
	Timeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// DigestKey is the key by which values of Secrets are redacted.
	DigestKey []byte
	// FormerManagers are the field managers of people and former deployers, with
	// "*" for any characters; nil means ownership.Former.
	FormerManagers []string
	// Narrow is as cluster.Options have it.
	Narrow   func(schema.GroupKind) []string
	Listener Listener
}

// Listener is told what a Client is doing, from several goroutines at once. Any
// of its functions may be nil.
type Listener struct {
	// Writing is called just before a request that changes the cluster.
	Writing func(Write)
	// Wrote is called after it, with the error if it failed.
	Wrote func(Write, error)
	// Throttled is called when the API server pushes back.
	Throttled func(Throttle)
	// Watching is called with 1 when a watch is opened and with -1 when it ends.
	Watching func(change int)
}

// Write is one request that changes the cluster.
type Write struct {
	// Verb is "apply", "hand over", "take over", "delete", "run hook" or "release hook".
	Verb   string
	Object object.ID
	As     string // the impersonated user, if any
}

// Throttle says how a Client slows down.
type Throttle = cluster.Throttle

// Client works on one cluster. It is safe for concurrent use; calls that
// concern the same object take turns.
type Client struct {
	options     Options
	cluster     *cluster.Connection
	turns       turns.Turns
	autoscalers *autoscaler.List
	present     *presence.Memory // saves reads
}

// New returns a client for the cluster that config reaches. It sends no request.
func New(config *rest.Config, options Options) (*Client, error) {
	if options.Concurrency == 0 {
		options.Concurrency = 16
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.FormerManagers == nil {
		options.FormerManagers = ownership.Former
	}
	connection, err := cluster.New(config, cluster.Options{
		Concurrency: options.Concurrency, Timeout: options.Timeout, Now: options.Now, Throttled: options.Listener.Throttled, Narrow: options.Narrow,
	})
	if err != nil {
		return nil, err
	}
	c := &Client{options: options, cluster: connection}
	c.autoscalers = autoscaler.NewList(connection, c.now)
	c.present = presence.New(connection, c.now)
	return c, nil
}

// now is what the client's clock says.
func (c *Client) now() time.Time { return c.options.Now() }

// Facts returns what the cluster says of itself that rendering may need.
func (c *Client) Facts(ctx context.Context) (app.Facts, error) { return c.cluster.Facts(ctx) }

// write is a request that may change an object, and what it is called.
type write struct {
	cluster.Request
	verb string
}

// put sends a write and returns the object as it is afterwards, and whether it
// did not exist before.
func (c *Client) put(ctx context.Context, w write) (u *unstructured.Unstructured, created bool, err error) {
	told := Write{Verb: w.verb, Object: w.Object, As: w.As}
	if c.options.Listener.Writing != nil && !w.DryRun {
		c.options.Listener.Writing(told)
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	u, created, err = c.cluster.Send(ctx, w.Request)
	if c.options.Listener.Wrote != nil && !w.DryRun {
		c.options.Listener.Wrote(told, err)
	}
	return u, created, err
}

// ScaledOtherwise takes in that an autoscaler appeared, went or has another target.
func (c *Client) ScaledOtherwise() { c.autoscalers.Forget() }

// owner returns the owner that the marks of an app of this fleet name.
func (c *Client) owner(app string) object.Owner {
	return object.Owner{Fleet: c.options.Fleet, App: app}
}
