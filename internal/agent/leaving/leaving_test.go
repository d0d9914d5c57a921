package leaving

import (
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/kept"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestLeave has agents leave one cluster after another's example: one whose cluster
// somebody else keeps, one that may change little, and one that may do everything.
func TestLeave(t *testing.T) {
	env := testenv.New(t)
	ctx := t.Context()
	admin := kubernetes.NewForConfigOrDie(env.Config)
	must := func(err error) {
		t.Helper()
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	_, err := admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: record.Namespace}}, metav1.CreateOptions{})
	must(err)
	secret := func(name string, labels map[string]string) {
		_, err := admin.CoreV1().Secrets(record.Namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
		must(err)
	}
	left := func() (names []string) {
		found, err := admin.CoreV1().Secrets(record.Namespace).List(ctx, metav1.ListOptions{})
		must(err)
		for _, s := range found.Items {
			names = append(names, s.Name)
		}
		return names
	}
	secret("nave-kept", map[string]string{kept.Label: "index"})
	secret("nave-agent-identity", nil)
	secret("somebodys", nil)
	seconds, holder := int32(1), "another"
	leases := admin.CoordinationV1().Leases(record.Namespace)
	lease, err := leases.Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: record.LeaseName}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds},
	}, metav1.CreateOptions{})
	must(err)

	// Another process renews the lease meanwhile.
	renewing := make(chan error, 1)
	go func() {
		for range 20 {
			now := metav1.NewMicroTime(time.Now())
			lease.Spec.RenewTime = &now
			if lease, err = leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
				break
			}
			<-time.After(100 * time.Millisecond)
		}
		renewing <- err
	}()
	if err := Leave(ctx, admin); !errors.Is(err, ErrKept) {
		t.Errorf("leaving a cluster that another keeps: %v", err)
	}
	must(<-renewing)
	if names := left(); len(names) != 3 {
		t.Errorf("of a cluster that another keeps there is left %v, want all", names)
	}

	// One that is not renewed is nobody's. The agent may change Secrets and no more.
	must(func() error {
		_, err := admin.RbacV1().Roles(record.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: account}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "delete"}},
			{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get"}},
		}}, metav1.CreateOptions{})
		return err
	}())
	who := rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "restricted"}
	must(func() error {
		_, err := admin.RbacV1().RoleBindings(record.Namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account}, Subjects: []rbacv1.Subject{who}}, metav1.CreateOptions{})
		return err
	}())
	must(func() error {
		_, err := admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: account}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
		}}, metav1.CreateOptions{})
		return err
	}())
	must(func() error {
		_, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account}, Subjects: []rbacv1.Subject{who}}, metav1.CreateOptions{})
		return err
	}())
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "restricted"}
	restricted := kubernetes.NewForConfigOrDie(config)
	var rights *RightsError
	for end := time.Now().Add(time.Minute); ; { // until the API server knows the roles
		if err = Leave(ctx, restricted); errors.As(err, &rights) && len(left()) == 1 || time.Now().After(end) {
			break
		}
	}
	if !errors.As(err, &rights) {
		t.Errorf("leaving with few rights: %v, want a RightsError", err)
	}
	if names := left(); len(names) != 1 || names[0] != "somebodys" {
		t.Errorf("an agent of few rights leaves %v, want what is somebody's", names)
	}

	// With all rights the namespace goes, and the rights with it; done again, the same.
	for range 2 {
		if err := Leave(ctx, admin); err != nil {
			t.Fatalf("leaving: %v", err)
		}
	}
	namespace, err := admin.CoreV1().Namespaces().Get(ctx, record.Namespace, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) && (err != nil || namespace.DeletionTimestamp == nil) {
		t.Errorf("the namespace stays: %v", err)
	}
	binding, err := admin.RbacV1().ClusterRoleBindings().Get(ctx, account, metav1.GetOptions{})
	must(err)
	if owners := binding.OwnerReferences; len(owners) != 1 || owners[0].Kind != "Namespace" || owners[0].Name != record.Namespace {
		t.Errorf("the binding belongs to %v, want the namespace", owners)
	}
}
