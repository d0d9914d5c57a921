package people

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/api/v1alpha1"
)

func access(group string, role v1alpha1.Role, clusters v1alpha1.ClusterSelection) v1alpha1.Access {
	return v1alpha1.Access{Group: group, Role: role, Clusters: clusters}
}

func TestRights(t *testing.T) {
	notProd := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"prod"}}}}
	policy, err := NewPolicy([]v1alpha1.Access{
		access("platform", v1alpha1.RoleAdmin, v1alpha1.ClusterSelection{All: true}),
		access("web", v1alpha1.RoleOperator, v1alpha1.ClusterSelection{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "dev"}}}),
		access("web", v1alpha1.RoleViewer, v1alpha1.ClusterSelection{Names: []string{"prod-1"}}),
		access("lab", v1alpha1.RoleApprover, v1alpha1.ClusterSelection{Selector: notProd}),
		access("all", v1alpha1.RoleViewer, v1alpha1.ClusterSelection{All: true}),
	})
	if err != nil {
		t.Fatal(err)
	}
	dev, prod := map[string]string{"env": "dev"}, map[string]string{"env": "prod"}
	for _, c := range []struct {
		reason, cluster string
		groups          []string
		labels          map[string]string
		on              v1alpha1.Role
	}{
		{"nobody", "dev-1", nil, dev, ""},
		{"a group that the Fleet does not name", "dev-1", []string{"other"}, dev, ""},
		{"all clusters", "prod-1", []string{"platform"}, prod, v1alpha1.RoleAdmin},
		{"all clusters, those that are not known too", "new", []string{"platform"}, nil, v1alpha1.RoleAdmin},
		{"by labels", "dev-1", []string{"web"}, dev, v1alpha1.RoleOperator},
		{"other labels", "prod-2", []string{"web"}, prod, ""},
		{"by name", "prod-1", []string{"web"}, prod, v1alpha1.RoleViewer},
		{"rights add up", "dev-1", []string{"all", "web"}, dev, v1alpha1.RoleOperator},
		{"and are what they are elsewhere", "prod-2", []string{"all", "web"}, prod, v1alpha1.RoleViewer},
		{"labels that are not there", "lab-1", []string{"lab"}, map[string]string{"x": "y"}, v1alpha1.RoleApprover},
		{"a cluster of which nothing is known may be any", "lab-1", []string{"lab"}, nil, ""},
	} {
		if got := policy.Of(c.groups).On(c.cluster, c.labels); got != c.on {
			t.Errorf("%s: the role on %s is %q, want %q", c.reason, c.cluster, got, c.on)
		}
	}
	web := policy.Of([]string{"web", "all"})
	if web.Anywhere() != v1alpha1.RoleOperator || web.Everywhere() != v1alpha1.RoleViewer {
		t.Errorf("anywhere %q, everywhere %q", web.Anywhere(), web.Everywhere())
	}
	want := []string{"operator on clusters with env=dev", "viewer on prod-1", "viewer on all clusters"}
	if diff := cmp.Diff(want, web.List()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"admin on all clusters"}, Everything().List()); diff != "" {
		t.Error(diff)
	}
}

func TestIncludes(t *testing.T) {
	for i, role := range roles {
		for j, other := range roles {
			if Includes(role, other) != (i >= j) {
				t.Errorf("%s includes %s: %t", role, other, i < j)
			}
		}
		if Includes("", role) || Includes(role, "") || Includes(role, "owner") {
			t.Errorf("no role goes for %s, or %s for none", role, role)
		}
	}
}
