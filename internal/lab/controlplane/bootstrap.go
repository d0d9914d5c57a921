package controlplane

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	kwokUser    = "system:kwok"
	provisioner = "lab.nave.dev/volumes" // served by the volume stage of kwok
	fieldOwner  = "nave-lab"
)

// bootstrap applies the objects without which the cluster's components cannot
// work. Nodes that no pool holds any more are removed.
func (c Cluster) bootstrap(ctx context.Context, client kubernetes.Interface) error {
	role, binding := kwokRole()
	if _, err := client.RbacV1().ClusterRoles().Patch(ctx, role.Name, types.ApplyPatchType, encode(role), applyOptions); err != nil {
		return err
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Patch(ctx, binding.Name, types.ApplyPatchType, encode(binding), applyOptions); err != nil {
		return err
	}
	class := storageClass()
	if _, err := client.StorageV1().StorageClasses().Patch(ctx, class.Name, types.ApplyPatchType, encode(class), applyOptions); err != nil {
		return err
	}
	return c.registerNodes(ctx, client)
}

func (c Cluster) registerNodes(ctx context.Context, client kubernetes.Interface) error {
	api := client.CoreV1().Nodes()
	list, err := api.List(ctx, metav1.ListOptions{LabelSelector: PoolLabel})
	if err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	present := map[string]corev1.Node{}
	for _, node := range list.Items {
		present[node.Name] = node
	}
	for _, pool := range c.Nodes {
		for _, node := range pool.nodes(c.Name) {
			have, exists := present[node.Name]
			delete(present, node.Name)
			if exists && have.Annotations[madeFromAnnotation] == node.Annotations[madeFromAnnotation] {
				continue // labels and taints that others gave it meanwhile stay
			}
			if exists { // resized or relabelled: as with real machines, a new one takes the name
				if err := api.Delete(ctx, node.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
					return fmt.Errorf("replacing node %s: %w", node.Name, err)
				}
			}
			if _, err := api.Create(ctx, node, metav1.CreateOptions{FieldManager: fieldOwner}); err != nil {
				return fmt.Errorf("registering node %s: %w", node.Name, err)
			}
		}
	}
	for name := range present {
		if err := api.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("removing node %s: %w", name, err)
		}
	}
	return nil
}

// kwokRole grants what a kubelet would have, and the volumes that a storage
// driver would make.
func kwokRole() (*rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding) {
	rule := func(group string, resources []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: kwokUser},
		Rules: []rbacv1.PolicyRule{
			rule("", []string{"nodes", "pods", "persistentvolumeclaims"}, "get", "list", "watch"),
			rule("", []string{"nodes/status", "pods/status"}, "update", "patch"),
			rule("", []string{"pods"}, "patch", "delete"),
			rule("", []string{"events"}, "create", "patch", "update"),
			rule("", []string{"persistentvolumes"}, "get", "list", "watch", "create", "update", "patch", "delete"),
			rule("coordination.k8s.io", []string{"leases"}, "get", "list", "watch", "create", "update", "patch"),
		},
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: kwokUser},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: kwokUser},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: kwokUser}},
	}
	return role, binding
}

func storageClass() *storagev1.StorageClass {
	mode := storagev1.VolumeBindingWaitForFirstConsumer
	reclaim := corev1.PersistentVolumeReclaimDelete
	return &storagev1.StorageClass{
		TypeMeta: metav1.TypeMeta{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        "standard",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner:       provisioner,
		VolumeBindingMode: &mode,
		ReclaimPolicy:     &reclaim,
	}
}

var applyOptions = func() metav1.PatchOptions {
	force := true
	return metav1.PatchOptions{FieldManager: fieldOwner, Force: &force}
}()

// encode returns an object of this package as JSON, which cannot fail.
func encode(object any) []byte {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return data
}
