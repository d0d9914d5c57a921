package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// resources are those of generated objects, by kind, and of what Helm records of them.
var resources = map[string]schema.GroupVersionResource{
	"ServiceAccount": {Version: "v1", Resource: "serviceaccounts"},
	"Service":        {Version: "v1", Resource: "services"},
	"ConfigMap":      {Version: "v1", Resource: "configmaps"},
	"Secret":         {Version: "v1", Resource: "secrets"},
	"Ingress":        {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	"Deployment":     {Group: "apps", Version: "v1", Resource: "deployments"},
}

// place is where an object is.
type place struct {
	cluster, kind, namespace, name string
}

// watcher sees the metadata of the objects of all clusters, whoever writes them.
// What counts as reached is what it has seen.
type watcher struct {
	stop    context.CancelFunc
	started sync.WaitGroup

	mu      sync.Mutex
	seen    map[place]string // the revision annotation
	awaited map[place]string // what is not as it is awaited to be
	times   map[string]time.Time
	reached chan struct{} // closed when nothing is awaited any more
}

// watch follows all clusters until close. It returns when what is there has
// been seen.
func watch(ctx context.Context, clusters map[string]*rest.Config) (*watcher, error) {
	inner, stop := context.WithCancel(ctx)
	w := &watcher{stop: stop, seen: map[place]string{}}
	for cluster, config := range clusters {
		client, err := metadata.NewForConfig(config)
		if err != nil {
			w.close()
			return nil, err
		}
		for kind, resource := range resources {
			informer := metadatainformer.NewFilteredMetadataInformer(client, resource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
			registration, err := informer.AddEventHandler(w.handler(cluster, kind))
			if err != nil {
				w.close()
				return nil, err
			}
			w.started.Go(func() { informer.Run(inner.Done()) })
			if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
				w.close()
				return nil, fmt.Errorf("watching %s of %s: %w", resource.Resource, cluster, context.Cause(ctx))
			}
		}
	}
	return w, nil
}

func (w *watcher) close() {
	w.stop()
	w.started.Wait()
}

func (w *watcher) handler(cluster, kind string) cache.ResourceEventHandlerFuncs {
	tell := func(object any, there bool) {
		if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = last.Obj
		}
		meta, ok := object.(*metav1.PartialObjectMetadata)
		if !ok {
			return
		}
		revision := ""
		if there {
			revision = meta.Annotations[revisionKey]
		}
		w.observe(place{cluster, kind, meta.Namespace, meta.Name}, revision)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell(object, true) },
		UpdateFunc: func(_, object any) { tell(object, true) },
		DeleteFunc: func(object any) { tell(object, false) },
	}
}

// observe takes in that an object now has a revision; none if it is gone.
func (w *watcher) observe(at place, revision string) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[at] = revision; revision == "" {
		delete(w.seen, at)
	}
	wanted, awaited := w.awaited[at]
	if !awaited || wanted != revision {
		return
	}
	delete(w.awaited, at)
	w.times[at.cluster] = now
	if len(w.awaited) == 0 {
		close(w.reached)
		w.awaited = nil
	}
}

// expect begins to wait for objects to have revisions. Only what happens from
// now on has a time.
func (w *watcher) expect(want map[place]string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.awaited, w.times, w.reached = map[place]string{}, map[string]time.Time{}, make(chan struct{})
	for at, revision := range want {
		if w.seen[at] != revision {
			w.awaited[at] = revision
		}
	}
	if len(w.awaited) == 0 {
		close(w.reached)
		w.awaited = nil
	}
	return w.reached
}

// await waits until all that is expected was seen, and returns when the last
// object of each cluster was.
func (w *watcher) await(ctx context.Context, reached <-chan struct{}, limit time.Duration) (map[string]time.Time, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-reached:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
		w.mu.Lock()
		defer w.mu.Unlock()
		for at := range w.awaited {
			return nil, fmt.Errorf("%d objects were not seen within %s, such as %s %s/%s of %s", len(w.awaited), limit, at.kind, at.namespace, at.name, at.cluster)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.times, nil
}

// last returns the latest time.
func last(times map[string]time.Time) (latest time.Time) {
	for _, t := range times {
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}
