package metamorphic

import (
	"encoding/json"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/object"
)

// drifts are what others do to the cluster.
var drifts = map[string]verb{
	"edit": {8, func(w *world, n [3]int) string {
		return w.edit(n, "kubectl-edit", func(u *unstructured.Unstructured) string {
			switch u.GetKind() {
			case "ConfigMap":
				if frozen, _, _ := unstructured.NestedBool(u.Object, "immutable"); frozen {
					return ""
				}
				unstructured.SetNestedField(u.Object, "edited", "data", "key")
			case "Secret":
				unstructured.SetNestedField(u.Object, "ZWRpdGVk", "data", "key")
			case "Deployment":
				containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
				if len(containers) == 0 {
					return ""
				}
				containers[0].(map[string]any)["image"] = "example.org/edited"
				unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
			case "HorizontalPodAutoscaler":
				unstructured.SetNestedField(u.Object, int64(77), "spec", "maxReplicas")
			case "ClusterRole":
				unstructured.SetNestedSlice(u.Object, nil, "rules")
			case "PersistentVolumeClaim", "Namespace":
				unstructured.SetNestedField(u.Object, "edited", "metadata", "labels", "value")
			}
			return "is edited"
		})
	}},
	"add-by-hand": {6, func(w *world, n [3]int) string {
		return w.edit(n, "kubectl-patch", func(u *unstructured.Unstructured) string {
			switch {
			case n[2]%3 == 0:
				unstructured.SetNestedField(u.Object, "yes", "metadata", "labels", "by-hand")
				return "gets a label"
			case n[2]%3 == 1:
				unstructured.SetNestedField(u.Object, "yes", "metadata", "annotations", "by-hand")
				return "gets an annotation"
			case u.GetKind() == "Deployment":
				containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
				containers = append(containers, map[string]any{"name": "sidecar", "image": "example.org/sidecar"})
				unstructured.SetNestedSlice(u.Object, containers, "spec", "template", "spec", "containers")
				return "gets a sidecar"
			case u.GetKind() == "ConfigMap" && u.Object["immutable"] == nil:
				unstructured.SetNestedField(u.Object, "yes", "data", "by-hand")
				return "gets a key"
			}
			return ""
		})
	}},
	"drop-field": {3, func(w *world, n [3]int) string {
		return w.edit(n, "kubectl-edit", func(u *unstructured.Unstructured) string {
			if u.GetKind() == "ConfigMap" && u.Object["immutable"] == nil {
				unstructured.RemoveNestedField(u.Object, "data", "key")
			} else {
				unstructured.RemoveNestedField(u.Object, "metadata", "labels", "team")
			}
			return "loses a field"
		})
	}},
	"unmark": {5, func(w *world, n [3]int) string {
		return w.edit(n, "kubectl-edit", func(u *unstructured.Unstructured) string {
			if u.Object["immutable"] != nil {
				return "" // it could neither be adopted nor replaced
			}
			if n[2]%3 != 0 {
				unstructured.RemoveNestedField(u.Object, "metadata", "labels", object.AppLabel)
			}
			if n[2]%3 != 1 {
				unstructured.RemoveNestedField(u.Object, "metadata", "annotations", object.IdentityAnnotation)
			}
			return "loses marks"
		})
	}},
	"remark": {3, func(w *world, n [3]int) string {
		return w.edit(n, "kubectl-label", func(u *unstructured.Unstructured) string {
			if u.Object["immutable"] != nil {
				return ""
			}
			unstructured.SetNestedField(u.Object, w.apps[n[2]%len(w.apps)], "metadata", "labels", object.AppLabel)
			return "is labelled as that of " + w.apps[n[2]%len(w.apps)]
		})
	}},
	"delete": {8, func(w *world, n [3]int) string {
		_, id, ok := w.target(n)
		if !ok || w.of(id).Delete(w.ctx, id.Name, metav1.DeleteOptions{}) != nil {
			return ""
		}
		w.changed()
		if id.Kind == "Deployment" { // one that has an autoscaler begins anew
			w.mayScale(id, 1)
		}
		return fmt.Sprintf("%s is deleted by hand", id)
	}},
	"operator": {4, func(w *world, n [3]int) string {
		_, id, ok := w.target(n)
		if !ok || id.Kind != "ConfigMap" || id.Name == "fixed" {
			return ""
		}
		value := fmt.Sprint("by the operator ", n[2])
		patch, err := json.Marshal(map[string]any{"data": map[string]any{"operator": value}})
		if err != nil {
			panic(err) // plain data
		}
		u, err := w.of(id).Patch(w.ctx, id.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "operator"})
		if err != nil {
			return ""
		}
		w.extras[u.GetUID()] = value
		return fmt.Sprintf("%s gets a key of an operator", id)
	}},
	"usurp": {3, func(w *world, n [3]int) string {
		_, id, ok := w.target(n)
		if !ok || id.Kind != "ConfigMap" || id.Name == "fixed" {
			return ""
		}
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": id.Name}, "data": map[string]any{"key": "usurped"},
		}}
		before, err := w.of(id).Get(w.ctx, id.Name, metav1.GetOptions{})
		if err != nil {
			return ""
		}
		made, err := w.of(id).Apply(w.ctx, id.Name, u, metav1.ApplyOptions{FieldManager: "operator", Force: true})
		if err != nil {
			return ""
		}
		if made.GetUID() != before.GetUID() {
			w.own(id, made) // it was deleted in between
		}
		return fmt.Sprintf("an operator takes a key of %s", id)
	}},
	"foreign": {6, func(w *world, n [3]int) string {
		t := thing(n[1] % things)
		if t == immutable || t == scaler || len(w.git.owners(t)) > 0 && n[0]%4 != 0 {
			return ""
		}
		c := content{value: n[2] % values, replicas: n[2] % 4}
		u := w.object(t, c)
		unstructured.SetNestedField(u.Object, "yes", "metadata", "labels", "theirs")
		id := w.identity(t, c)
		if id.Namespace == "" {
			u.SetNamespace("")
		}
		made, err := w.of(id).Create(w.ctx, u, metav1.CreateOptions{FieldManager: "kubectl-create"})
		if err != nil {
			return ""
		}
		w.own(id, made)
		if t == workload || t == scaled {
			w.mayScale(id, max(1, c.replicas))
		}
		return fmt.Sprintf("%s is made by hand", id)
	}},
	"copy-marks": {3, func(w *world, n [3]int) string {
		_, id, ok := w.target(n)
		if !ok || id.Kind != "ConfigMap" {
			return ""
		}
		live, err := w.of(id).Get(w.ctx, id.Name, metav1.GetOptions{})
		if err != nil {
			return ""
		}
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"key": "mine"}}}
		u.SetNamespace(id.Namespace)
		u.SetName(fmt.Sprintf("copy%d", n[2]))
		u.SetLabels(live.GetLabels())
		u.SetAnnotations(live.GetAnnotations())
		if _, err := w.of(id).Create(w.ctx, u, metav1.CreateOptions{FieldManager: "kubectl-create"}); err != nil {
			return ""
		}
		return fmt.Sprintf("%s is copied, marks and all", id)
	}},
	"scale": {5, func(w *world, n [3]int) string {
		id := w.identity(workload+thing(n[0]%2), content{})
		w.mayScale(id, 1+n[1]%9)
		_, err := w.client.AppsV1().Deployments(w.namespace).UpdateScale(w.ctx, id.Name, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: id.Name, Namespace: w.namespace},
			Spec:       autoscalingv1.ScaleSpec{Replicas: int32(1 + n[1]%9)},
		}, metav1.UpdateOptions{FieldManager: "kube-controller-manager"})
		if err != nil {
			return ""
		}
		w.changed()
		return fmt.Sprintf("%s is scaled to %d", id, 1+n[1]%9)
	}},
	"sick": {2, func(w *world, n [3]int) string {
		w.sick.Store(!w.sick.Load())
		w.changed()
		return fmt.Sprintf("workloads do not become healthy: %v", w.sick.Load())
	}},
}

// target picks an object that Git has, or one that it may once have had.
func (w *world) target(n [3]int) (t thing, id object.ID, ok bool) {
	if n[0]%5 == 4 {
		t = thing(n[1] % things)
		return t, w.identity(t, content{}), true
	}
	name, t, ok := w.pickThing(n)
	if !ok {
		return 0, object.ID{}, false
	}
	return t, w.identity(t, w.git.trees[name].things[t]), true
}

// edit changes an object as somebody would who is not Nave.
func (w *world) edit(n [3]int, manager string, change func(*unstructured.Unstructured) string) string {
	_, id, ok := w.target(n)
	if !ok {
		return ""
	}
	u, err := w.of(id).Get(w.ctx, id.Name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	said := change(u)
	if said == "" {
		return ""
	}
	if _, err := w.of(id).Update(w.ctx, u, metav1.UpdateOptions{FieldManager: manager}); err != nil {
		return ""
	}
	w.changed()
	return fmt.Sprintf("%s %s", id, said)
}

// own records that somebody made an object.
func (w *world) own(id object.ID, made *unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.law.person[made.GetUID()] = true
	delete(w.law.confirmed, id)
	w.changed()
}
