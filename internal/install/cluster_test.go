package install

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// cluster is an API server that manifests are applied to, and what it warned of.
type cluster struct {
	*kubernetes.Clientset
	config *rest.Config

	mu       sync.Mutex
	warnings []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (c *cluster) HandleWarningHeader(_ int, _, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, text)
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{config: rest.CopyConfig(testenv.New(t).Config)}
	c.config.WarningHandler = c
	c.Clientset = kubernetes.NewForConfigOrDie(c.config)
	return c
}

// namespace makes a namespace that warns of pods which the strictest of the
// standards for their security would not let in.
func (c *cluster) namespace(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/enforce": "restricted",
	}}}
	_, err := c.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// apply applies a manifest as kubectl does, with fields that do not exist refused.
func (c *cluster) apply(t *testing.T, manifest []byte) {
	t.Helper()
	groups, err := restmapper.GetAPIGroupResources(c.Discovery())
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	client := dynamic.NewForConfigOrDie(c.config)
	for _, part := range strings.Split(string(manifest), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			t.Fatal(err)
		}
		mapping, err := mapper.RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Resource(mapping.Resource).Namespace(u.GetNamespace()).Create(t.Context(), u, metav1.CreateOptions{FieldValidation: "Strict"})
		if err != nil && !(u.GetKind() == "Namespace" && apierrors.IsAlreadyExists(err)) {
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

// may asks whether the agent's account may do something.
func (c *cluster) may(t *testing.T, what authorizationv1.ResourceAttributes) bool {
	t.Helper()
	review, err := c.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:" + Namespace + ":nave-agent", ResourceAttributes: &what},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// An API server takes what the chart comes to, field by field, and has nothing to
// warn of; the accounts have the rights that are said.
func TestChartIsAccepted(t *testing.T) {
	c := newCluster(t)
	for _, name := range []string{"nave", Namespace, "shop"} {
		c.namespace(t, name)
	}
	t.Run("hub", func(t *testing.T) {
		out, err := render("nave", map[string]any{"hub": map[string]any{
			"enabled": true, "repository": "https://git.example.com/fleet.git", "branch": "main", "credentialsSecret": "credentials",
			"tokenKey": "token", "webhookKey": "webhook", "args": []any{"--interval=30s"},
			"api":     map[string]any{"names": []any{"hub.example.com"}, "tlsSecret": "tls"},
			"storage": map[string]any{"size": "20Gi", "className": "fast"},
			"service": map[string]any{"type": "LoadBalancer", "annotations": map[string]any{"example.com/internal": "true"}},
		}, "nodeSelector": map[string]any{"kubernetes.io/os": "linux"}, "priorityClassName": "system-cluster-critical",
			"tolerations": []any{map[string]any{"key": "a", "operator": "Exists"}},
			"image":       map[string]any{"repository": "nave", "tag": "1", "pullPolicy": "Always", "pullSecrets": []any{"pull"}}})
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := write("nave", out)
		if err != nil {
			t.Fatal(err)
		}
		c.apply(t, manifest)
		if c.may(t, authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Namespace: "nave"}) {
			t.Error("the hub comes with rights of agents")
		}
	})
	t.Run("an agent without a hub", func(t *testing.T) {
		out, err := render(Namespace, agentWith(map[string]any{
			"repository": "https://git.example.com/fleet.git", "branch": "main", "credentialsSecret": "credentials", "tokenKey": "token",
			"ageKeySecret": "age", "proxy": "http://proxy:3128", "metrics": "monitoring/prometheus:9090",
		}))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := write(Namespace, out)
		if err != nil {
			t.Fatal(err)
		}
		c.apply(t, manifest)
		if !c.may(t, authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop"}) {
			t.Error("the agent may not write what Git says")
		}
		c.forget(t)
	})
	read := func(resource, group, namespace string) authorizationv1.ResourceAttributes {
		return authorizationv1.ResourceAttributes{Verb: "list", Group: group, Resource: resource, Namespace: namespace}
	}
	write := authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop"}
	secrets := authorizationv1.ResourceAttributes{Verb: "create", Resource: "secrets", Namespace: Namespace}
	as := func(name string) authorizationv1.ResourceAttributes {
		return authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "serviceaccounts", Namespace: "shop", Name: name}
	}
	for _, tc := range []struct {
		name   string
		agent  Agent
		allows []authorizationv1.ResourceAttributes
		denies []authorizationv1.ResourceAttributes
	}{{
		name: "restricted",
		agent: Agent{
			Cluster: "c", Hub: "h:1", Token: "t", Roots: []byte("r"), AgeKeySecret: "age", Proxy: "http://proxy:3128", Restricted: true,
			Reads: []Read{{Group: "apps", Resources: []string{"deployments"}, Namespaces: []string{"shop"}}}, Impersonate: []string{"shop/deployer"},
		},
		allows: []authorizationv1.ResourceAttributes{secrets, read("deployments", "apps", "shop"), read("namespaces", "", ""), as("deployer")},
		denies: []authorizationv1.ResourceAttributes{write, read("secrets", "", "shop"), read("deployments", "apps", "nave"), as("default")},
	}, {
		name:   "platform",
		agent:  Agent{Cluster: "c", Hub: "h:1", Token: "t", Roots: []byte("r"), AgeKeySecret: "age"},
		allows: []authorizationv1.ResourceAttributes{secrets, write, read("secrets", "", "shop"), as("default")},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			manifest, err := tc.agent.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			c.apply(t, manifest)
			for _, what := range tc.allows {
				if !c.may(t, what) {
					t.Errorf("the agent may not %s", fmt.Sprint(what))
				}
			}
			for _, what := range tc.denies {
				if c.may(t, what) {
					t.Errorf("the agent may %s", fmt.Sprint(what))
				}
			}
			c.forget(t)
		})
	}
	for _, warning := range c.warnings {
		t.Errorf("the API server warns: %s", warning)
	}
}

// forget removes what an agent's manifest made, for the next.
func (c *cluster) forget(t *testing.T) {
	t.Helper()
	ctx, options := t.Context(), metav1.DeleteOptions{}
	for _, err := range []error{
		c.CoreV1().ServiceAccounts(Namespace).Delete(ctx, "nave-agent", options),
		c.AppsV1().Deployments(Namespace).Delete(ctx, "nave-agent", options),
		c.RbacV1().ClusterRoleBindings().Delete(ctx, "nave-agent", options),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := c.CoreV1().Secrets(Namespace).Delete(ctx, "nave-agent-token", options); err != nil && !apierrors.IsNotFound(err) { // only one with a hub has it
		t.Error(err)
	}
}
