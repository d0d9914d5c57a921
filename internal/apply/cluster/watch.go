package cluster

import (
	"context"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Watch opens a watch. Its events hold *unstructured.Unstructured, or what
// Object makes of their metadata. Where it may not watch the whole cluster it watches
// the namespaces that Options.Narrow has, from the version of a List of them.
func (c *Connection) Watch(ctx context.Context, r Resource, depth Depth, options metav1.ListOptions) (watch.Interface, error) {
	whole, err := c.watch(ctx, r, "", depth, options)
	if !apierrors.IsForbidden(err) {
		return whole, err
	}
	namespaces := c.narrowed(r)
	if len(namespaces) == 0 {
		return nil, err
	}
	all := &joined{now: c.now, began: c.now(), events: make(chan watch.Event), stopped: make(chan struct{})}
	for _, namespace := range namespaces {
		one, err := c.watch(ctx, r, namespace, depth, options)
		if err != nil {
			all.Stop()
			all.wait()
			return nil, err
		}
		all.add(one)
	}
	go all.wait()
	return all, nil
}

func (c *Connection) watch(ctx context.Context, r Resource, namespace string, depth Depth, options metav1.ListOptions) (watch.Interface, error) {
	if depth == Whole {
		return c.dynamic.Resource(r.GroupVersionResource).Namespace(namespace).Watch(ctx, options)
	}
	return c.metadata.Resource(r.GroupVersionResource).Namespace(namespace).Watch(ctx, options)
}

// narrowed returns the namespaces in which a kind is read that may not be read in the
// whole cluster.
func (c *Connection) narrowed(r Resource) []string {
	namespaces := c.narrow(schema.GroupKind{Group: r.Group, Kind: r.Kind})
	if !r.Namespaced {
		return nil
	}
	return namespaces
}

// joined is several watches as one. It ends with the first of them, and says that the
// list has expired: what one of them told last says nothing of how far the others are,
// so that there is no version to go on from.
type joined struct {
	now     func() time.Time
	began   time.Time
	events  chan watch.Event
	stop    sync.Once
	stopped chan struct{}
	under   sync.WaitGroup
}

// Stop implements watch.Interface.
func (j *joined) Stop() { j.stop.Do(func() { close(j.stopped) }) }

// ResultChan implements watch.Interface.
func (j *joined) ResultChan() <-chan watch.Event { return j.events }

// add takes one watch in, and ends it with the others.
func (j *joined) add(one watch.Interface) {
	j.under.Go(func() {
		defer one.Stop()
		for {
			select {
			case event, open := <-one.ResultChan():
				switch {
				case !open:
					j.end()
					return
				case event.Type == watch.Bookmark: // of one of them alone
				case !j.tell(event):
					return
				}
			case <-j.stopped:
				return
			}
		}
	})
}

// shortest is how long watches last that a server ends in due course. Who sees one end
// before that lists again by itself, and not at once.
const shortest = 5 * time.Second

// end tells that the watches have ended, and ends those that have not.
func (j *joined) end() {
	if j.now().Sub(j.began) >= shortest {
		j.tell(watch.Event{Type: watch.Error, Object: &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired, Message: "one of the watches of namespaces has ended",
		}})
	}
	j.Stop()
}

// tell passes an event on, unless nobody listens any more.
func (j *joined) tell(event watch.Event) bool {
	select {
	case j.events <- event:
		return true
	case <-j.stopped:
		return false
	}
}

// wait closes the channel once all watches have ended.
func (j *joined) wait() {
	j.under.Wait()
	close(j.events)
}
