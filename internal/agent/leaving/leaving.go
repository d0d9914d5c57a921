// Package leaving takes an agent off the cluster that it runs on, once the fleet has
// dismissed it: what Nave has there for itself goes, what it applied for apps stays.
package leaving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/kept"
	"nave.dev/internal/spoke/record"
)

// account is that of the agent, and the name of what gives it rights in the whole
// cluster, as its chart has them.
const account = "nave-agent"

// ErrKept says that the cluster is kept by somebody else, and nothing was removed.
var ErrKept = errors.New("another process keeps this cluster: nothing is removed")

// RightsError says what is left, as the agent may not remove it.
type RightsError struct{ err error }

// Error says what to do about it.
func (e *RightsError) Error() string {
	return fmt.Sprintf("%v\nhint: kubectl delete namespace %s; kubectl delete clusterrolebinding,clusterrole %s", e.err, record.Namespace, account)
}

// Leave removes the namespace of the agent with all that is in it, and its rights.
// Whoever keeps the cluster from this process has ended before. Done again after it
// was cut off, it goes on. An agent of restricted rights removes what it remembers,
// and returns a RightsError.
func Leave(ctx context.Context, client kubernetes.Interface) error {
	if kept, err := isKept(ctx, client); err != nil {
		return err
	} else if kept {
		return ErrKept
	}
	namespace, err := client.CoreV1().Namespaces().Get(ctx, record.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the namespace %s: %w", record.Namespace, err)
	}
	// The rights must last until the namespace is gone, and go with it also where this
	// process is killed before: the cluster itself removes them, as its dependents.
	err = bequeath(ctx, client, namespace)
	if err == nil {
		err = client.CoreV1().Namespaces().Delete(ctx, namespace.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(namespace.UID))})
	}
	switch {
	case apierrors.IsForbidden(err):
		return errors.Join(forget(ctx, client), &RightsError{err})
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("removing the namespace %s: %w", namespace.Name, err)
	}
	return nil
}

// isKept reports whether some process holds the lease of the cluster: one that does
// renews it, whatever the clocks say.
func isKept(ctx context.Context, client kubernetes.Interface) (bool, error) {
	leases := client.CoordinationV1().Leases(record.Namespace)
	before, err := leases.Get(ctx, record.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && holder(before) == "" {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for who keeps the cluster: %w", err)
	}
	life := time.Minute
	if seconds := before.Spec.LeaseDurationSeconds; seconds != nil && *seconds > 0 && *seconds < 60 {
		life = time.Duration(*seconds) * time.Second
	}
	select {
	case <-time.After(life):
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	after, err := leases.Get(ctx, record.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for who keeps the cluster: %w", err)
	}
	return holder(after) != "" && after.ResourceVersion != before.ResourceVersion, nil
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}

// bequeath makes the agent's rights in the whole cluster dependents of its namespace.
func bequeath(ctx context.Context, client kubernetes.Interface, namespace *corev1.Namespace) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "Namespace", Name: namespace.Name, UID: namespace.UID,
	}}}})
	if err != nil {
		return err
	}
	rbac := client.RbacV1()
	// The role first: without the binding there is no right to change anything.
	if _, err = rbac.ClusterRoles().Patch(ctx, account, types.MergePatchType, patch, metav1.PatchOptions{}); err == nil || apierrors.IsNotFound(err) {
		_, err = rbac.ClusterRoleBindings().Patch(ctx, account, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("handing on the agent's rights: %w", err)
	}
	return nil
}

// forget removes what the agent remembers: its certificate last, without which it
// could not be told again that it is dismissed.
func forget(ctx context.Context, client kubernetes.Interface) error {
	secrets := client.CoreV1().Secrets(record.Namespace)
	found, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: kept.Label})
	if err != nil {
		return fmt.Errorf("looking for what is kept: %w", err)
	}
	var names []string
	for _, secret := range found.Items {
		names = append(names, secret.Name)
	}
	for _, name := range append(slices.Sorted(slices.Values(names)), record.Name, "nave-agent-token", "nave-agent-identity") {
		if err := secrets.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("removing the secret %s: %w", name, err)
		}
	}
	return nil
}
