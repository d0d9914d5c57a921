package app

import (
	"testing"

	"nave.dev/internal/object"
)

func TestProjectLimits(t *testing.T) {
	project := Limits{
		By: `project "shop"`, Namespaces: []string{"*"}, DeniedNamespaces: []string{"kube-*"},
		ClusterListed: true, ClusterKinds: []KindRule{{Kind: "Namespace", Name: "shop-*"}, {Group: "*", Kind: "ClusterRole*"}},
		DeniedClusterKinds:    []KindRule{{Group: "*", Kind: "ClusterRoleBinding"}},
		DeniedNamespacedKinds: []KindRule{{Kind: "ResourceQuota"}},
	}
	listed := project
	listed.NamespacedKinds = []KindRule{{Group: "apps", Kind: "*"}}
	none := project
	none.NamespacedKinds = []KindRule{{}}
	for _, test := range []struct {
		reason     string
		limits     Limits
		id         object.ID
		namespaced bool
		unknown    bool
		want       string
	}{
		{"any namespaced kind, nothing being listed", project, object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, true, false, ""},
		{"a denied namespaced kind", project, object.ID{Kind: "ResourceQuota", Namespace: "shop", Name: "q"}, true, false, `project "shop": limits deny the namespaced kind ResourceQuota`},
		{"a denied namespace", project, object.ID{Kind: "ConfigMap", Namespace: "kube-system", Name: "c"}, true, false, `project "shop": limits deny the namespaces kube-*, and so "kube-system"`},
		{"a cluster-wide kind of some names", project, object.ID{Kind: "Namespace", Name: "shop-a"}, false, false, ""},
		{"and not of others", project, object.ID{Kind: "Namespace", Name: "other"}, false, false, `project "shop": limits do not list the cluster-wide kind Namespace`},
		{"a pattern", project, object.ID{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "x"}, false, false, ""},
		{"a denial wins", project, object.ID{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding", Name: "x"}, false, false, `project "shop": limits deny the cluster-wide kind ClusterRoleBinding.rbac.authorization.k8s.io`},
		{"cluster-wide and not listed", project, object.ID{Group: "storage.k8s.io", Kind: "StorageClass", Name: "x"}, false, false, `project "shop": limits do not list the cluster-wide kind StorageClass.storage.k8s.io`},
		{"an unknown scope could be either", project, object.ID{Group: "example.com", Kind: "Thing", Name: "x"}, false, true, `project "shop": limits differ for kinds with and without namespaces, and whether Thing has them is not known`},
		{"listed", listed, object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}, true, false, ""},
		{"not listed", listed, object.ID{Kind: "ConfigMap", Namespace: "shop", Name: "web"}, true, false, `project "shop": limits do not list the namespaced kind ConfigMap`},
		{"an empty list allows none", none, object.ID{Kind: "ConfigMap", Namespace: "shop", Name: "web"}, true, false, `project "shop": limits do not list the namespaced kind ConfigMap`},
		{"only a denial: other namespaces are free", Limits{DeniedNamespaces: []string{"a"}}, object.ID{Kind: "ConfigMap", Namespace: "b", Name: "x"}, true, false, ""},
		{"no limits, unknown scope", Limits{}, object.ID{Group: "example.com", Kind: "Thing", Name: "x"}, false, true, ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			got, ok := test.limits.Permits(test.id, test.namespaced, !test.unknown)
			if got != test.want || ok != (test.want == "") {
				t.Errorf("%v, %q, want %q", ok, got, test.want)
			}
		})
	}
}
