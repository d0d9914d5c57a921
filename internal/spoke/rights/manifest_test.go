package rights

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestText(t *testing.T) {
	deployer := UserOf("shop/deployer")
	rules := []Rule{
		{User: deployer, Verbs: []string{"patch"}, Resource: "configmaps", Namespace: "shop"},
		{User: deployer, Verbs: []string{"create"}, Resource: "configmaps", Namespace: "shop"},
		{User: deployer, Verbs: []string{"create", "patch"}, Resource: "services", Namespace: "shop"},
		{User: Agent, Verbs: []string{"impersonate"}, Resource: "serviceaccounts", Namespace: "shop", Names: []string{"deployer"}},
		{User: "jane", Verbs: []string{"list"}, Group: "apps", Resource: "deployments"},
	}
	got, err := Text("edge", []string{"web", "api"}, rules, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `# Rights on the cluster "edge" for its apps web, api:
#   list deployments.apps as jane
#   impersonate serviceaccounts deployer in shop as nave-system/nave-agent
#   create, patch configmaps in shop as shop/deployer
#   create, patch services in shop as shop/deployer
# WHOEVER APPLIES THIS GIVES THEM to the agent, or to accounts as which it writes, and with that to whoever
# commits to the fleet repository or rules the hub. Review it.
# What is in shop is refused as long as there is no such namespace: apply it again once there is.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  labels:
    app.kubernetes.io/component: rights
    app.kubernetes.io/name: nave
  name: nave:user:863fe2bdaf
rules:
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - list
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  labels:
    app.kubernetes.io/component: rights
    app.kubernetes.io/name: nave
  name: nave:user:863fe2bdaf
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: nave:user:863fe2bdaf
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: jane
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  labels:
    app.kubernetes.io/component: rights
    app.kubernetes.io/name: nave
  name: nave:nave-system:nave-agent
  namespace: shop
rules:
- apiGroups:
  - ""
  resourceNames:
  - deployer
  resources:
  - serviceaccounts
  verbs:
  - impersonate
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  labels:
    app.kubernetes.io/component: rights
    app.kubernetes.io/name: nave
  name: nave:nave-system:nave-agent
  namespace: shop
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: nave:nave-system:nave-agent
subjects:
- kind: ServiceAccount
  name: nave-agent
  namespace: nave-system
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  labels:
    app.kubernetes.io/component: rights
    app.kubernetes.io/name: nave
  name: nave:shop:deployer
  namespace: shop
rules:
- apiGroups:
  - ""
  resources:
  - configmaps
  - services
  verbs:
  - create
  - patch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  labels:
    app.kubernetes.io/component: rights
    app.kubernetes.io/name: nave
  name: nave:shop:deployer
  namespace: shop
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: nave:shop:deployer
subjects:
- kind: ServiceAccount
  name: deployer
  namespace: shop
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is given at one time does not take away what was given before.
func TestGrantsAddUp(t *testing.T) {
	rule := Rule{User: Agent, Verbs: []string{"list"}, Resource: "configmaps", Namespace: "shop"}
	more := rule
	more.Resource = "secrets"
	first, second := Manifest([]Rule{rule}, false)[0].(*rbacv1.Role), Manifest([]Rule{more}, false)[0].(*rbacv1.Role)
	if first.Name == second.Name || !strings.HasPrefix(first.Name, "nave:nave-system:nave-agent:") {
		t.Errorf("%s and %s", first.Name, second.Name)
	}
}

// Without a name a user is the agent.
func TestManifestOfTheAgent(t *testing.T) {
	given := Manifest([]Rule{{Verbs: []string{"list"}, Resource: "nodes"}}, true)
	if binding := given[1].(*rbacv1.ClusterRoleBinding); binding.Subjects[0].Name != "nave-agent" || binding.Subjects[0].Namespace != "nave-system" {
		t.Errorf("%+v", binding)
	}
}
