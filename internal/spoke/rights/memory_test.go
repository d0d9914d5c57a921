package rights

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/testenv"
)

// TestMemory asks an API server for rights of a user who has some.
func TestMemory(t *testing.T) {
	env := testenv.New(t)
	namespace := env.Namespace(t)
	keeper, account := env.Prefix+"keeper", accountPrefix+namespace+":deployer"
	grant := func(rules ...Rule) {
		t.Helper()
		client := dynamic.NewForConfigOrDie(env.Config)
		for _, o := range Manifest(rules, false) {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
			if err != nil {
				t.Fatal(err)
			}
			u := &unstructured.Unstructured{Object: fields}
			api := client.Resource(u.GroupVersionKind().GroupVersion().WithResource(strings.ToLower(u.GetKind()) + "s")).Namespace(u.GetNamespace())
			if _, err := api.Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	right := func(user, resource, where string, names []string, verbs ...string) Rule {
		return Rule{User: user, Verbs: verbs, Resource: resource, Namespace: where, Names: names, kind: "ConfigMap"}
	}
	config := rest.CopyConfig(env.Config)
	config.Impersonate.UserName = keeper // an administrator stands in for who keeps the cluster
	now := time.Now()
	m := New(config, func() time.Time { return now })
	missing := func(reason string, rules []Rule, want ...string) {
		t.Helper()
		found, err := m.Missing(t.Context(), rules)
		if err != nil {
			t.Fatalf("%s: %v", reason, err)
		}
		got := []string{}
		for _, r := range found {
			got = append(got, r.String())
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
	reading := right("", "configmaps", namespace, nil, "get", "list", "watch")
	missing("nothing is granted", []Rule{reading}, "get, list, watch configmaps in "+namespace+" as "+keeper)
	grant(right(keeper, "configmaps", namespace, nil, "get", "list"))
	missing("what was just asked serves others", []Rule{reading}, "get, list, watch configmaps in "+namespace+" as "+keeper)
	now = now.Add(recent)
	missing("what is missing is asked anew", []Rule{reading}, "watch configmaps in "+namespace+" as "+keeper)
	kind := schema.GroupKind{Kind: "ConfigMap"}
	if got := m.Narrow(kind); len(got) > 0 || !m.IsNarrow(kind) {
		t.Errorf("what it may not read is read in %v", got)
	}
	grant(right(keeper, "configmaps", namespace, nil, "watch"))
	now = now.Add(recent)
	missing("it is complete", []Rule{reading})
	if got := m.Wider(); !slices.Equal(got, []schema.GroupKind{kind}) {
		t.Errorf("%v can be read in more namespaces", got)
	}
	if got := m.Narrow(kind); !slices.Equal(got, []string{namespace}) || len(m.Wider()) > 0 {
		t.Errorf("it is read in %v, and wider: %v", got, m.Wider())
	}

	grant(right(keeper, "secrets", namespace, []string{"one"}, "get"), right(keeper, "nodes", "", []string{"one", "two"}, "get"))
	now = now.Add(recent)
	missing("rights to objects by name", []Rule{right("", "secrets", namespace, []string{"one"}, "get"), right("", "nodes", "", []string{"one", "two"}, "get")})
	missing("are no rights to others", []Rule{right("", "secrets", namespace, nil, "get"), right("", "nodes", "", []string{"one", "three"}, "get")},
		"get nodes one, three as "+keeper, "get secrets in "+namespace+" as "+keeper)

	grant(right(keeper, "namespaces", "", nil, "get"))
	there, absent := Rule{Verbs: writes, Resource: "namespaces", Names: []string{namespace}, optional: true}, Rule{Verbs: writes, Resource: "namespaces", Names: []string{namespace + "-not"}, optional: true}
	missing("a namespace that is there need not be made", []Rule{there, absent}, "create, patch namespaces "+namespace+"-not as "+keeper)

	as := []Rule{
		right("", "serviceaccounts", namespace, []string{"deployer"}, "impersonate"),
		right(account, "configmaps", namespace, nil, "create"),
	}
	missing("whose rights cannot be asked for", as, "impersonate serviceaccounts deployer in "+namespace+" as "+keeper)

	grant(Rule{User: keeper, Verbs: []string{"*"}, Group: "*", Resource: "*"})
	m.Forget()
	missing("it may do all there is", []Rule{reading, right("", "secrets", namespace, nil, "delete")})
	if !m.Everything() {
		t.Error("it is not known that it may do everything")
	}
	m.Forget()
	if m.Everything() {
		t.Error("what is to be forgotten is not")
	}
}

// TestMemoryOfAccounts asks as service accounts, which may be impersonated.
func TestMemoryOfAccounts(t *testing.T) {
	env := testenv.New(t)
	namespace := env.Namespace(t)
	person := kubernetes.NewForConfigOrDie(env.Config)
	if _, err := person.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "deployer"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	rule := Rule{User: UserOf(namespace + "/deployer"), Verbs: []string{"create"}, Resource: "configmaps", Namespace: namespace}
	m := New(env.Config, time.Now)
	got, err := m.Missing(t.Context(), []Rule{rule})
	if err != nil || len(got) != 1 || got[0].String() != "create configmaps in "+namespace+" as "+namespace+"/deployer" {
		t.Errorf("%v, %v", got, err)
	}
	if m.Everything() {
		t.Error("the keeper was not asked for, and is said to have all rights")
	}
}

func TestStanding(t *testing.T) {
	now := time.Now()
	s := Standing{}
	lacks := []Rule{{Verbs: []string{"get"}, Resource: "configmaps"}}
	if s.Known("a", now) || s.Held() != "" {
		t.Error("something is known of an app that was not asked for")
	}
	if !s.Take("a", lacks, nil, now) || s.Take("a", lacks, nil, now) {
		t.Error("what an app lacks is told once")
	}
	if !s.Known("a", now.Add(firstAgain)) || s.Known("a", now.Add(lastAgain)) || s.Known("b", now) {
		t.Error("it is not asked again when it is to be")
	}
	for range 10 {
		s.Take("a", lacks, nil, now)
	}
	if !s.Known("a", now.Add(lastAgain-1)) || s.Known("a", now.Add(lastAgain)) {
		t.Error("waits do not end where they are to")
	}
	if s.Doubt(); s.Known("a", now) || s.Held() == "" {
		t.Error("an app in doubt is to be asked for, and held until then")
	}
	if s.Take("a", nil, nil, now); !s.Known("a", now.Add(time.Hour)) || s.Held() != "" {
		t.Error("what is allowed is asked for again")
	}
}
