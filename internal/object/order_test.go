package object

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestWave(t *testing.T) {
	tests := []struct {
		reason      string
		annotations map[string]string
		want        int
	}{
		{"none", nil, 0},
		{"Nave's", map[string]string{WaveAnnotation: "2"}, 2},
		{"Argo CD's", map[string]string{argoWaveAnnotation: "-3"}, -3},
		{"Nave's wins", map[string]string{WaveAnnotation: "1", argoWaveAnnotation: "-3"}, 1},
		{"spaces do not count", map[string]string{WaveAnnotation: " 5 "}, 5},
		{"no number", map[string]string{WaveAnnotation: "first"}, 0},
		{"no number in the one that wins", map[string]string{WaveAnnotation: "first", argoWaveAnnotation: "4"}, 0},
		{"too large a number", map[string]string{WaveAnnotation: "99999999999999999999"}, 0},
	}
	for _, test := range tests {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetAnnotations(test.annotations)
		if have := Wave(u); have != test.want {
			t.Errorf("%s: wave %d, want %d", test.reason, have, test.want)
		}
	}
}

func TestRank(t *testing.T) {
	before := []struct{ reason, first, second string }{
		{"objects are created in a namespace", "Namespace a", "ServiceAccount a/b"},
		{"custom resources need their definition", "apiextensions.k8s.io/CustomResourceDefinition a", "example.com/Thing a"},
		{"quotas hold for what comes after", "ResourceQuota a/b", "apps/Deployment a/b"},
		{"policies hold for what comes after", "networking.k8s.io/NetworkPolicy a/b", "apps/Deployment a/b"},
		{"bindings name accounts", "ServiceAccount a/b", "rbac.authorization.k8s.io/RoleBinding a/b"},
		{"bindings name roles", "rbac.authorization.k8s.io/Role a/b", "rbac.authorization.k8s.io/RoleBinding a/b"},
		{"pods mount configuration", "Secret a/b", "apps/StatefulSet a/b"},
		{"pods mount claims", "PersistentVolumeClaim a/b", "apps/StatefulSet a/b"},
		{"pods learn of services when they start", "Service a/b", "apps/Deployment a/b"},
		{"budgets are there when pods are", "policy/PodDisruptionBudget a/b", "apps/Deployment a/b"},
		{"autoscalers look for workloads", "apps/Deployment a/b", "autoscaling/HorizontalPodAutoscaler a/b"},
		{"workloads may serve webhooks of custom resources", "apps/Deployment a/b", "example.com/Thing a/b"},
		{"webhooks would refuse what comes before their servers", "example.com/Thing a", "admissionregistration.k8s.io/ValidatingWebhookConfiguration a"},
		{"another group's kind of a known name is a custom resource", "apps/Deployment a/b", "serving.knative.dev/Service a/b"},
	}
	for _, test := range before {
		first, err := Parse(test.first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Parse(test.second)
		if err != nil {
			t.Fatal(err)
		}
		if Rank(first) >= Rank(second) {
			t.Errorf("%s: %s has rank %d, %s has %d", test.reason, first, Rank(first), second, Rank(second))
		}
	}
}

func TestSort(t *testing.T) {
	const ordered = `{apiVersion: v1, kind: ConfigMap, metadata: {name: early, namespace: z, annotations: {nave.dev/wave: "-1"}}}
{apiVersion: v1, kind: Namespace, metadata: {name: a}}
{apiVersion: v1, kind: Namespace, metadata: {name: b}}
{apiVersion: v1, kind: ConfigMap, metadata: {name: y, namespace: a}}
{apiVersion: v1, kind: Secret, metadata: {name: x, namespace: a}}
{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: b}}
{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: a}}
{apiVersion: example.com/v1, kind: Thing, metadata: {name: x}}
{apiVersion: v1, kind: Namespace, metadata: {name: late, annotations: {argocd.argoproj.io/sync-wave: "1"}}}
{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: late, annotations: {nave.dev/wave: "1"}}}`
	var want []string
	var objects []*unstructured.Unstructured
	for line := range strings.SplitSeq(ordered, "\n") {
		u := parse(t, line)
		objects = append(objects, u)
		want = append(want, Of(u).String())
	}
	shuffle := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		shuffled := slices.Clone(objects)
		shuffle.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		Sort(shuffled)
		var have []string
		for _, u := range shuffled {
			have = append(have, Of(u).String())
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("order (-want +have):\n%s", diff)
		}
	}
}
