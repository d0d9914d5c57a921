// Package autoscaler knows which workloads the autoscalers of a cluster, or of a
// bundle, target: whoever scales a workload says how many replicas it has. It scales
// nothing, asks the cluster again soon after it last did, and does not say what
// follows for who owns a field.
package autoscaler

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/turns"
	"nave.dev/internal/object"
)

// Kinds whose objects say how many replicas a workload has.
var (
	podAutoscaler = schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}
	kedaScaler    = schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}
)

// Cluster is what is asked for its autoscalers; a [cluster.Connection] is one.
type Cluster interface {
	// Known returns a kind, and false if the cluster does not have it.
	Known(context.Context, schema.GroupKind) (cluster.Resource, bool, error)
	// List calls each for the objects of a kind.
	List(ctx context.Context, r cluster.Resource, depth cluster.Depth, options metav1.ListOptions, each func(*unstructured.Unstructured)) (version string, err error)
}

// maxAge is for how long a list of autoscalers serves. A new one waits longer than
// that before it first changes anything.
const maxAge = 2 * time.Second

// List is the autoscalers of one cluster. It is safe for concurrent use.
type List struct {
	cluster Cluster
	now     func() time.Time
	turns   turns.Turns // so that one asks the cluster, and the others wait for it

	mu        sync.Mutex
	at        time.Time
	targets   map[object.ID]string
	forgotten int // how often
}

// NewList returns the autoscalers of a cluster, by a clock. It sends no request.
func NewList(c Cluster, now func() time.Time) *List { return &List{cluster: c, now: now} }

// Targets returns the workloads that the cluster's autoscalers target, each with the
// autoscaler's name. It is not to be changed.
func (l *List) Targets(ctx context.Context) (map[object.ID]string, error) {
	done, err := l.turns.Take(ctx, "")
	if err != nil {
		return nil, err
	}
	defer done()
	l.mu.Lock()
	at, cached, forgotten := l.at, l.targets, l.forgotten
	l.mu.Unlock()
	if now := l.now(); cached != nil && now.Sub(at) < maxAge && !now.Before(at) {
		return cached, nil
	}
	began := l.now()
	targets := map[object.ID]string{}
	for _, kind := range []schema.GroupKind{podAutoscaler, kedaScaler} {
		found, ok, err := l.cluster.Known(ctx, kind)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		_, err = l.cluster.List(ctx, found, cluster.Whole, metav1.ListOptions{}, func(u *unstructured.Unstructured) { add(targets, u) })
		if err != nil {
			return nil, fmt.Errorf("listing autoscalers, which decide on replicas: %w", err)
		}
	}
	l.mu.Lock()
	if l.forgotten == forgotten { // or it may be of before
		l.at, l.targets = began, targets
	}
	l.mu.Unlock()
	return targets, nil
}

// Forget makes the next question read the cluster again.
func (l *List) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.targets = time.Time{}, nil
	l.forgotten++
}

// Among returns the workloads that autoscalers among the objects target, each with
// the autoscaler's name.
func Among(objects []*unstructured.Unstructured) map[object.ID]string {
	targets := map[object.ID]string{}
	for _, u := range objects {
		add(targets, u)
	}
	return targets
}

func add(targets map[object.ID]string, u *unstructured.Unstructured) {
	if workload, ok := Target(u); ok {
		targets[workload] = object.Of(u).String()
	}
}

// Target returns the workload that an autoscaler targets, and false of what is no
// autoscaler.
func Target(u *unstructured.Unstructured) (object.ID, bool) {
	kind := u.GroupVersionKind().GroupKind()
	if kind != podAutoscaler && kind != kedaScaler {
		return object.ID{}, false
	}
	target, _, _ := unstructured.NestedStringMap(u.Object, "spec", "scaleTargetRef")
	if target == nil { // a reference with fields that are no text
		fields, _, _ := unstructured.NestedMap(u.Object, "spec", "scaleTargetRef")
		target = map[string]string{}
		for key, v := range fields {
			if text, ok := v.(string); ok {
				target[key] = text
			}
		}
	}
	if kind == kedaScaler { // as KEDA's defaults are
		if target["kind"] == "" {
			target["kind"] = "Deployment"
		}
		if target["apiVersion"] == "" {
			target["apiVersion"] = "apps/v1"
		}
	}
	version, err := schema.ParseGroupVersion(target["apiVersion"])
	if err != nil || target["name"] == "" {
		return object.ID{}, false
	}
	return object.ID{Group: version.Group, Kind: target["kind"], Namespace: u.GetNamespace(), Name: target["name"]}, true
}
