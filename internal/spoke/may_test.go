package spoke

import (
	"context"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/install"
	"nave.dev/internal/spoke/rights"
)

// apply creates objects of RBAC, and accounts, until the end of the test.
func (g *ground) apply(objects ...runtime.Object) {
	g.Helper()
	client := dynamic.NewForConfigOrDie(g.env.Config)
	for _, o := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			g.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: fields}
		kind := u.GroupVersionKind()
		api := client.Resource(kind.GroupVersion().WithResource(strings.ToLower(kind.Kind) + "s")).Namespace(u.GetNamespace())
		if _, err := api.Create(g.Context(), u, metav1.CreateOptions{FieldManager: "person"}); err != nil && !(kind.Kind == "Namespace" && apierrors.IsAlreadyExists(err)) {
			g.Fatal(err)
		}
		if kind.Kind != "Namespace" {
			g.Cleanup(func() {
				if err := api.Delete(context.WithoutCancel(g.Context()), u.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
					g.Error(err)
				}
			})
		}
	}
}

// restricted returns the way to the cluster of an agent that was installed with the
// restricted profile.
func (g *ground) restricted(agent install.Agent) *rest.Config {
	g.Helper()
	agent.Cluster, agent.Hub, agent.Restricted = "one", "hub:1", true
	manifest, err := agent.Manifest()
	if err != nil {
		g.Fatal(err)
	}
	for _, part := range strings.Split(string(manifest), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			g.Fatal(err)
		}
		if u.GetKind() != "Deployment" {
			g.apply(u)
		}
	}
	token, err := g.person.CoreV1().ServiceAccounts(install.Namespace).CreateToken(g.Context(), "nave-agent", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		g.Fatal(err)
	}
	config := rest.AnonymousClientConfig(g.env.Config)
	config.BearerToken = token.Status.Token
	return config
}

// account makes a service account in the test's namespace.
func (g *ground) account(name string) string {
	g.Helper()
	g.apply(&corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: name}})
	return g.namespace + "/" + name
}

// TestMissingRightsAreToldFirst has an agent of restricted rights keep an app that it may
// and one that it may not: of this one nothing is written, though a part of it could be.
func TestMissingRightsAreToldFirst(t *testing.T) {
	g := on(t)
	builder, deployer := g.account("builder"), g.account("deployer")
	config := g.restricted(install.Agent{
		Impersonate: []string{builder, deployer},
		Reads:       []install.Read{{Resources: []string{"configmaps"}, Namespaces: []string{g.namespace}}},
	})
	write := func(account string) rights.Rule {
		return rights.Rule{User: rights.UserOf(account), Verbs: []string{"create", "patch", "delete"}, Resource: "configmaps", Namespace: g.namespace}
	}
	g.apply(rights.Manifest([]rights.Rule{write(builder), write(deployer)}, false)...)
	before := g.env.Config
	g.env.Config = config
	s, _ := g.spoke("agent")
	g.env.Config = before

	with := func(desired app.Desired, account string) app.Desired {
		desired.Options.ServiceAccount = account
		return desired
	}
	deployment := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": g.namespace},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": "example.org/web:1"}}},
			},
		},
	}}
	web := func(value string) app.Desired {
		return with(g.desired("web", g.configMap("a", value), deployment), deployer)
	}
	other := with(g.desired("other", g.configMap("b", "one")), builder)
	s.Assign(assigned(other, web("one")))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("state: %s", describe(s.State()))
		}
	})
	state := func(name string) AppState {
		for _, one := range s.State().Apps {
			if one.Name == name {
				return one
			}
		}
		return AppState{}
	}
	g.until("the app that it may is there", func() bool { return state("other").Sync == Synced })
	g.until("the other one is held", func() bool { return len(state("web").Lacks) > 0 })
	agent, account := rights.UserOf(install.Namespace+"/nave-agent"), rights.UserOf(deployer)
	want := []rights.Rule{
		{User: account, Verbs: []string{"create", "patch", "delete"}, Group: "apps", Resource: "deployments", Namespace: g.namespace},
		{User: agent, Verbs: []string{"get", "list", "watch"}, Group: "apps", Resource: "deployments", Namespace: g.namespace},
	}
	slices.SortFunc(want, rights.Compare)
	told := func(rules []rights.Rule) (lines string) {
		for _, r := range rules {
			lines += r.String() + "\n"
		}
		return lines
	}
	held := state("web")
	if told(held.Lacks) != told(want) {
		t.Errorf("it lacks\n%swant\n%s", told(held.Lacks), told(want))
	}
	if held.Sync != OutOfSync || !strings.HasPrefix(held.Message, "held: it lacks 2 rights: "+held.Lacks[0].String()+"\n") {
		t.Errorf("%s: %s", held.Sync, held.Message)
	}
	if diffs, err := s.Diff(t.Context(), "web"); err != nil || diffs[0].Note != held.Message {
		t.Errorf("%v, %v", diffs, err)
	}
	if g.value("a") != "" {
		t.Error("a part of the app that is held was written")
	}

	// What gives them is applied by a person: it goes on, is watched, and drift is undone.
	given := rights.Manifest(held.Lacks, false)
	g.apply(given...)
	if err := s.Sync(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.until("it is there", func() bool {
		return state("web").Sync == Synced && len(state("web").Lacks) == 0 && g.value("a") == "one"
	})
	g.delete("b")
	deployments := g.person.AppsV1().Deployments(g.namespace)
	if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.until("drift is undone", func() bool {
		_, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil && g.value("b") == "one"
	})

	// A new session does not take for known what only the one before was told.
	s.Reach(config)
	g.delete("b")
	g.until("drift is undone after another session began", func() bool { return g.value("b") == "one" })

	// They are taken away: what is refused is an error, and then the app is held again.
	for _, o := range given {
		if binding, ok := o.(*rbacv1.RoleBinding); ok {
			if err := g.person.RbacV1().RoleBindings(g.namespace).Delete(t.Context(), binding.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	changed := deployment.DeepCopy()
	changed.SetLabels(map[string]string{"changed": "yes"})
	s.Assign(assigned(other, with(g.desired("web", g.configMap("a", "one"), changed), deployer)))
	g.until("it is held again", func() bool { return told(state("web").Lacks) == told(want) })
	if state("other").Sync != Synced {
		t.Errorf("the other app is %+v", state("other"))
	}
}
