package apply

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/apply/sight"
	"nave.dev/internal/object"
)

// EventType says what an event is about.
type EventType = sight.EventType

// The types of events.
const (
	Added       = sight.Added
	Modified    = sight.Modified
	Deleted     = sight.Deleted
	Listed      = sight.Listed
	Interrupted = sight.Interrupted
)

// Event is one thing that happened to an object.
type Event = sight.Event

// Watch tells the changes of a kind's objects until ctx ends, with metadata
// alone: managed fields are part of it, so that it shows who took a field
// without holding whole objects. With marked, the server sends only objects
// that carry the label of an app. The function is called from one goroutine at
// a time, with what is there first.
//
// Watch bridges interruptions by itself: it resumes, or lists again in pages and
// tells what is gone. It returns the cause of ctx's end, or earlier an error if
// the kind is not served or may not be watched.
func (c *Client) Watch(ctx context.Context, kind schema.GroupKind, marked bool, event func(Event)) error {
	return c.follow(ctx, kind, metav1.ListOptions{LabelSelector: selector(marked)}, cluster.Metadata, event)
}

// WatchObjects is Watch with whole objects, for kinds whose status is needed.
func (c *Client) WatchObjects(ctx context.Context, kind schema.GroupKind, marked bool, event func(Event)) error {
	return c.follow(ctx, kind, metav1.ListOptions{LabelSelector: selector(marked)}, cluster.Whole, event)
}

// selector is of what carries the label of an app, or of everything.
func selector(marked bool) string {
	if marked {
		return object.AppLabel
	}
	return ""
}

// OfOneKind reports whether the error of an Interrupted event concerns its kind
// alone: the API server answers otherwise, for all that the error tells.
func OfOneKind(err error) bool {
	var answer apierrors.APIStatus
	var unknown *cluster.UnknownKindError
	return errors.As(err, &answer) && !apierrors.IsUnauthorized(err) || errors.As(err, &unknown) ||
		errors.Is(err, cluster.ErrTimeout) || errors.Is(err, errShort)
}

// errShort says that a watch ended as soon as it began: client-go shows a
// connection that breaks off as an empty watch, and a server ends those of a kind
// whose definition changes. Which it was, the list that follows tells.
var errShort = errors.New("the watch ended as soon as it began")

// follower is one watch of one kind.
type follower struct {
	client   *Client
	resource cluster.Resource
	kind     schema.GroupKind
	depth    cluster.Depth
	options  metav1.ListOptions
	tell     func(Event)
	version  string                // from which to resume; empty to list
	seen     map[object.ID]Tracked // what was told
}

// Between attempts to watch a cluster that does not answer.
const (
	shortestRest = 200 * time.Millisecond
	longestRest  = 30 * time.Second
)

// shortestWatch is how long a watch lasts that a server ends in due course.
const shortestWatch = 5 * time.Second

func (c *Client) follow(ctx context.Context, kind schema.GroupKind, of metav1.ListOptions, depth cluster.Depth, event func(Event)) error {
	f := &follower{client: c, kind: kind, depth: depth, tell: event, options: of, seen: map[object.ID]Tracked{}}
	rest := shortestRest
	for {
		began := c.now()
		err := f.once(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var unknown *cluster.UnknownKindError
		if errors.As(err, &unknown) && unknown.Missing() || apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err) {
			return fmt.Errorf("watching objects of kind %s: %w", kind, err)
		}
		if err == nil {
			rest = shortestRest
			continue // the server ends watches after some minutes
		}
		if c.now().Sub(began) > longestRest {
			rest = shortestRest
		}
		event(Event{Type: Interrupted, Kind: kind, Err: fmt.Errorf("watching objects of kind %s: %w", kind, err)})
		// With some chance in it, so that watches do not return all at once.
		if err := cluster.Pause(ctx, rest/2+rand.N(rest)); err != nil {
			return err
		}
		rest = min(2*rest, longestRest)
	}
}

// once lists if it must, and then watches until the watch ends.
func (f *follower) once(ctx context.Context) error {
	if f.version == "" {
		if err := f.list(ctx); err != nil {
			return err
		}
	}
	options := f.options
	options.ResourceVersion = f.version
	options.AllowWatchBookmarks = true
	seconds := int64(300 + rand.N(300))
	options.TimeoutSeconds = &seconds
	watcher, err := f.client.cluster.Watch(ctx, f.resource, f.depth, options)
	if err != nil {
		f.version = "" // the next attempt lists: what failed may be the version
		return err
	}
	defer watcher.Stop()
	began := f.client.now()
	if watching := f.client.options.Listener.Watching; watching != nil {
		watching(1)
		defer watching(-1)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e, open := <-watcher.ResultChan():
			if !open && f.client.now().Sub(began) < shortestWatch {
				f.version = ""
				return errShort
			}
			if !open && f.client.now().Sub(began) < time.Duration(seconds)*time.Second-shortestWatch {
				// It broke off, and what answers next may have been restored from an
				// older state: a server takes a version of its future for one to wait
				// for, and tells nothing until it has come to it.
				f.version = ""
			}
			if !open {
				return nil
			}
			if e.Type == watch.Error {
				f.version = ""
				if err := apierrors.FromObject(e.Object); !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
					return err
				}
				return nil
			}
			f.take(e)
		}
	}
}

// list tells what is there, and what is there no more.
func (f *follower) list(ctx context.Context) error {
	var err error
	if f.resource, err = f.client.cluster.Find(ctx, f.kind.WithVersion("")); err != nil {
		return err
	}
	there := map[object.ID]Tracked{}
	add := func(u *unstructured.Unstructured) {
		o := ownership.Read(u)
		t := f.client.tracked(o)
		there[t.ID] = t
		last, told := f.seen[t.ID]
		switch {
		case !told:
			f.send(Added, t, o)
		case last.Version != t.Version:
			f.send(Modified, t, o)
		}
	}
	f.version, err = f.client.cluster.List(ctx, f.resource, f.depth, f.options, add)
	if err != nil {
		f.version = ""
		if apierrors.IsNotFound(err) {
			f.client.cluster.Forget() // the kind was served once
		}
		return err
	}
	for id, t := range f.seen {
		if _, still := there[id]; !still {
			f.tell(Event{Type: Deleted, Kind: f.kind, Tracked: t})
		}
	}
	f.seen = there
	f.tell(Event{Type: Listed, Kind: f.kind})
	return nil
}

// take tells one event of the server.
func (f *follower) take(e watch.Event) {
	u := cluster.Object(e, f.resource)
	if u == nil {
		return
	}
	f.version = u.GetResourceVersion()
	if e.Type == watch.Bookmark {
		return
	}
	o := ownership.Read(u)
	t := f.client.tracked(o)
	switch e.Type {
	case watch.Deleted:
		delete(f.seen, t.ID)
		f.send(Deleted, t, o)
	case watch.Added, watch.Modified:
		_, told := f.seen[t.ID]
		f.seen[t.ID] = t
		if told {
			f.send(Modified, t, o)
		} else {
			f.send(Added, t, o)
		}
	}
}

func (f *follower) send(kind EventType, t Tracked, o ownership.Object) {
	e := Event{Type: kind, Kind: f.kind, Tracked: t, Object: object.Redact(o.Unstructured, f.client.options.DigestKey)}
	for _, entry := range o.Entries {
		e.Managers = append(e.Managers, sight.Manager{Name: entry.Manager, Operation: string(entry.Operation), Subresource: entry.Subresource, Time: entry.Time})
	}
	f.tell(e)
}

// WatchLabelled is Watch, or with whole WatchObjects, of what a label selector names.
func (c *Client) WatchLabelled(ctx context.Context, kind schema.GroupKind, labels string, whole bool, event func(Event)) error {
	return c.follow(ctx, kind, metav1.ListOptions{LabelSelector: labels}, cluster.Depth(whole), event)
}
