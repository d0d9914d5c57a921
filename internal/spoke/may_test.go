package spoke

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
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

// rendered is a renderer to which every chart comes to the same manifests.
type rendered string

func (r rendered) Templates(context.Context, app.Templates, app.Lookup) (map[string]string, error) {
	return map[string]string{"c/templates/all.yaml": string(r)}, nil
}

func (rendered) PostRender(_ context.Context, _ *app.Release, manifests []byte) ([]byte, error) {
	return manifests, nil
}

// TestRightsOfAReleaseAreAskedForFirst has an agent of restricted rights keep a release of
// Helm: it is held for what its records need, and then for its objects, of which nothing
// is there until they all may be; and these are followed.
func TestRightsOfAReleaseAreAskedForFirst(t *testing.T) {
	g := on(t)
	deployer := g.account("deployer")
	config := g.restricted(install.Agent{
		Impersonate: []string{deployer},
		Reads:       []install.Read{{Resources: []string{"configmaps"}, Namespaces: []string{g.namespace}}},
	})
	g.apply(rights.Manifest([]rights.Rule{
		{User: rights.UserOf(deployer), Verbs: []string{"get", "list", "watch", "create", "patch"}, Resource: "configmaps", Namespace: g.namespace},
	}, false)...)
	g.renderer = rendered(`
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {key: one}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: before, annotations: {helm.sh/hook: pre-install}}
---
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: test, image: example.org/test:1}]}
`)
	begin := func() (*Spoke, func()) {
		before := g.env.Config
		defer func() { g.env.Config = before }()
		g.env.Config = config
		return g.spoke("agent")
	}
	s, stop := begin()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("state: %s", describe(s.State()))
		}
	})
	bundle, err := app.NewReleaseBundle(&app.Release{
		Name: "web", Namespace: g.namespace, Drift: app.DriftCorrected,
		Chart: app.Chart{Files: []app.ChartFile{
			{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
			{Name: "templates/all.yaml", Data: []byte("# what comes of it is said by the renderer\n")},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted := assigned(app.Desired{Name: "web", Bundle: bundle, Options: app.Options{ServiceAccount: deployer}})
	s.Assign(wanted)
	state := func() AppState {
		if apps := s.State().Apps; len(apps) > 0 {
			return apps[0]
		}
		return AppState{}
	}
	lacks := func() (lines []string) {
		for _, r := range state().Lacks {
			r.Namespace = strings.Replace(r.Namespace, g.namespace, "NS", 1)
			lines = append(lines, strings.ReplaceAll(r.String(), g.namespace, "NS"))
		}
		return lines
	}
	for _, want := range [][]string{
		{"get, list, create, update, patch, delete secrets in NS as nave-system/nave-agent"},
		{
			"get, list, watch services in NS as nave-system/nave-agent",
			"delete configmaps in NS as NS/deployer", // for the hook
			"get, list, watch, create, patch services in NS as NS/deployer",
		},
	} {
		slices.Sort(want)
		g.until("it lacks "+strings.Join(want, "; "), func() bool {
			got := lacks()
			slices.Sort(got)
			return slices.Equal(got, want)
		})
		if held := state(); held.Sync != OutOfSync || !strings.HasPrefix(held.Message, "held: it lacks ") || len(held.Problems) > 0 {
			t.Errorf("%s: %s, %v", held.Sync, held.Message, held.Problems)
		}
		secrets, err := g.person.CoreV1().Secrets(g.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm"})
		if err != nil {
			t.Fatal(err)
		}
		if g.value("a") != "" || len(secrets.Items) > 0 {
			t.Errorf("something of the release that is held was written: %q, %d records", g.value("a"), len(secrets.Items))
		}
		g.apply(rights.Manifest(state().Lacks, false)...)
		if err := s.Sync(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
	}
	g.until("it is there", func() bool {
		return state().Sync == Synced && len(state().Lacks) == 0 && g.value("a") == "one"
	})
	undone := func(when string) {
		t.Helper()
		g.delete("a")
		if err := g.person.CoreV1().Services(g.namespace).Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		g.until("drift is undone "+when, func() bool {
			_, err := g.person.CoreV1().Services(g.namespace).Get(t.Context(), "web", metav1.GetOptions{})
			return err == nil && g.value("a") == "one"
		})
	}
	undone("after it was installed")

	// An agent that is started anew does not render what is as it should be, and follows it.
	stop()
	s, _ = begin()
	s.Assign(wanted)
	g.until("it is known to be there", func() bool { return state().Sync == Synced })
	undone("by another process")

	// Nor is anything followed any less by another session of the same one.
	var watched atomic.Bool
	again := rest.CopyConfig(config)
	again.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/namespaces/"+g.namespace+"/services") && r.URL.Query().Get("watch") != "" {
				watched.Store(true)
			}
			return next.RoundTrip(r)
		})
	})
	s.Reach(again)
	g.until("Services are watched by another session", watched.Load)
	undone("by another session")
}
