package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Watches of several namespaces are one, which ends with the first of them, and from which
// nobody can go on: what one was told last, another may not have been.
func TestJoinedWatches(t *testing.T) {
	for _, lasted := range []time.Duration{shortest - 1, shortest} {
		synctest.Test(t, func(t *testing.T) {
			all := &joined{now: time.Now, began: time.Now(), events: make(chan watch.Event), stopped: make(chan struct{})}
			one, two := watch.NewFake(), watch.NewFake()
			all.add(one)
			all.add(two)
			go all.wait()
			object := &metav1.PartialObjectMetadata{}
			for _, from := range []*watch.FakeWatcher{one, two} {
				go func() {
					from.Action(watch.Bookmark, object)
					from.Add(object)
				}()
				if event := <-all.ResultChan(); event.Type != watch.Added {
					t.Errorf("%v is told", event)
				}
			}
			<-time.After(lasted)
			one.Stop()
			event, open := <-all.ResultChan()
			if expired := open && event.Type == watch.Error && apierrors.IsResourceExpired(apierrors.FromObject(event.Object)); expired != (lasted == shortest) {
				t.Errorf("after %s the end is %v", lasted, event)
			}
			for range all.ResultChan() {
				t.Error("something is told after the end")
			}
			if !two.IsStopped() {
				t.Error("the other watch goes on")
			}
		})
	}
}
