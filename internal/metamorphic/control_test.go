package metamorphic

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// changed wakes the controllers.
func (w *world) changed() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// control is what Kubernetes' own controllers do, as far as the stories need it.
func (w *world) control(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		}
		w.collect(ctx)
		if w.sick.Load() {
			continue
		}
		if list, err := w.client.CoreV1().PersistentVolumeClaims(w.namespace).List(ctx, metav1.ListOptions{}); err == nil {
			for _, claim := range list.Items {
				if claim.Status.Phase != corev1.ClaimBound {
					w.status("", "v1", "persistentvolumeclaims", claim.Name, map[string]any{"phase": "Bound"})
				}
			}
		}
		if list, err := w.client.AppsV1().Deployments(w.namespace).List(ctx, metav1.ListOptions{}); err == nil {
			for _, d := range list.Items {
				n := int32(1)
				if d.Spec.Replicas != nil {
					n = *d.Spec.Replicas
				}
				if d.Status.ObservedGeneration != d.Generation || d.Status.AvailableReplicas != n {
					w.status("apps", "v1", "deployments", d.Name, map[string]any{
						"observedGeneration": d.Generation, "replicas": n, "updatedReplicas": n, "readyReplicas": n, "availableReplicas": n,
					})
				}
			}
		}
		if list, err := w.client.AutoscalingV2().HorizontalPodAutoscalers(w.namespace).List(ctx, metav1.ListOptions{}); err == nil {
			for _, h := range list.Items {
				if len(h.Status.Conditions) == 0 {
					w.status("autoscaling", "v2", "horizontalpodautoscalers", h.Name, map[string]any{
						"currentReplicas": 1, "desiredReplicas": 1,
						"conditions": []any{map[string]any{"type": "AbleToScale", "status": "True"}, map[string]any{"type": "ScalingActive", "status": "True"}},
					})
				}
			}
		}
	}
}

// collect is what Kubernetes does to what is being deleted: nothing uses a claim,
// and what is in a namespace goes with it.
func (p *place) collect(ctx context.Context) {
	claims := p.client.CoreV1().PersistentVolumeClaims(p.namespace)
	if list, err := claims.List(ctx, metav1.ListOptions{}); err == nil {
		for _, claim := range list.Items {
			if claim.DeletionTimestamp != nil {
				claims.Patch(ctx, claim.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			}
		}
	}
	namespace, err := p.client.CoreV1().Namespaces().Get(ctx, p.more, metav1.GetOptions{})
	if err != nil || namespace.DeletionTimestamp == nil {
		return
	}
	err = p.client.CoreV1().ConfigMaps(p.more).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	if err == nil {
		namespace.Spec.Finalizers = nil
		p.client.CoreV1().Namespaces().Finalize(ctx, namespace, metav1.UpdateOptions{})
	}
}

// status writes an object's status; one that is gone needs none.
func (w *world) status(group, version, resource, name string, status map[string]any) {
	data, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		panic(err) // plain data
	}
	at := schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
	w.at(at).Patch(w.ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: "kube-controller-manager"}, "status")
}
