package apply

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/object"
)

// Kinds whose objects say how many replicas a workload has.
var (
	podAutoscaler = schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}
	kedaScaler    = schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}
)

// autoscalers are the workloads that the cluster's autoscalers target.
type autoscalers struct {
	at      time.Time
	targets map[object.ID]string
}

// autoscalersAge is for how long a list of autoscalers serves. A new one waits
// longer than that before it first changes anything.
const autoscalersAge = 2 * time.Second

// scaler names the autoscaler that targets a workload, in the bundle or in the
// cluster, or nothing.
func (r *run) scaler(ctx context.Context, workload object.ID) (string, error) {
	if scaler, ok := r.scaled[workload]; ok {
		return scaler, nil
	}
	targets, err := r.client.scaled(ctx)
	return targets[workload], err
}

// scaled returns the workloads that the cluster's autoscalers target.
func (c *Client) scaled(ctx context.Context) (map[object.ID]string, error) {
	done, err := c.turns.Take(ctx, "autoscalers")
	if err != nil {
		return nil, err
	}
	defer done()
	c.mu.Lock()
	cached := c.autoscalers
	c.mu.Unlock()
	if now := c.options.Now(); cached.targets != nil && now.Sub(cached.at) < autoscalersAge && !now.Before(cached.at) {
		return cached.targets, nil
	}
	began := c.options.Now()
	targets := map[object.ID]string{}
	for _, kind := range []schema.GroupKind{podAutoscaler, kedaScaler} {
		found, ok, err := c.cluster.Known(ctx, kind)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		_, err = c.cluster.List(ctx, found, cluster.Whole, metav1.ListOptions{}, func(u *unstructured.Unstructured) {
			if workload, ok := ScaleTarget(u); ok {
				targets[workload] = object.Of(u).String()
			}
		})
		if err != nil {
			return nil, fmt.Errorf("listing autoscalers, which decide on replicas: %w", err)
		}
	}
	c.mu.Lock()
	c.autoscalers = autoscalers{began, targets}
	c.mu.Unlock()
	return targets, nil
}

// staleAutoscalers makes the next question read the cluster again.
func (c *Client) staleAutoscalers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.autoscalers = autoscalers{}
}

// autoscaled returns the workloads that autoscalers among the objects target.
func autoscaled(objects []*unstructured.Unstructured) map[object.ID]string {
	targets := map[object.ID]string{}
	for _, u := range objects {
		if workload, ok := ScaleTarget(u); ok {
			targets[workload] = object.Of(u).String()
		}
	}
	return targets
}

// ScaleTarget returns the workload that an autoscaler targets, and false of what
// is no autoscaler.
func ScaleTarget(u *unstructured.Unstructured) (object.ID, bool) {
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

// bundlePatterns are the fields, by kind, into which controllers inject bundles
// of certificates. Whoever owns one there keeps it.
var bundlePatterns = map[string][]ownership.Pattern{
	"MutatingWebhookConfiguration.admissionregistration.k8s.io":   {pattern("webhooks[*].clientConfig.caBundle")},
	"ValidatingWebhookConfiguration.admissionregistration.k8s.io": {pattern("webhooks[*].clientConfig.caBundle")},
	"CustomResourceDefinition.apiextensions.k8s.io":               {pattern("spec.conversion.webhook.clientConfig.caBundle")},
	"APIService.apiregistration.k8s.io":                           {pattern("spec.caBundle")},
}

func pattern(text string) ownership.Pattern {
	p, err := ownership.ParsePattern(text)
	if err != nil {
		panic(err) // a constant of this package
	}
	return p
}
