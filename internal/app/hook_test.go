package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// annotated is a Job with annotations, as KEY=VALUE.
func annotated(name string, annotations ...string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": name, "namespace": "shop"}}}
	set := map[string]string{}
	for _, text := range annotations {
		key, value, _ := strings.Cut(text, "=")
		set[key] = value
	}
	u.SetAnnotations(set)
	return u
}

func TestHookPhases(t *testing.T) {
	for _, test := range []struct {
		reason      string
		annotations []string
		want        string
	}{
		{"no annotation", nil, "[] false"},
		{"one phase", []string{"argocd.argoproj.io/hook=PreSync"}, "[PreSync] true"},
		{"several, with spaces", []string{"argocd.argoproj.io/hook=PostSync, PreSync"}, "[PostSync PreSync] true"},
		{"said twice", []string{"argocd.argoproj.io/hook=Sync,Sync"}, "[Sync] true"},
		{"left out", []string{"argocd.argoproj.io/hook=Skip"}, "[] true"},
		{"a phase that is none", []string{"argocd.argoproj.io/hook=Presync"}, `has the annotation argocd.argoproj.io/hook: "Presync", which is not known`},
		{"Helm's, which are one phase", []string{"helm.sh/hook=pre-install,pre-upgrade"}, "[PreSync] true"},
		{"Argo CD's wins", []string{"helm.sh/hook=pre-install", "argocd.argoproj.io/hook=PostSync"}, "[PostSync] true"},
		{"a test of Helm's", []string{"helm.sh/hook=test"}, "[] true"},
		{"a rollback beside an upgrade", []string{"helm.sh/hook=post-upgrade,post-rollback"}, "[PostSync] true"},
		{"definitions of old charts", []string{"helm.sh/hook=crd-install"}, "[] false"},
		{"none that Helm knows", []string{"helm.sh/hook=before"}, `has the annotation helm.sh/hook: "before", which is not known`},
	} {
		phases, hook, err := HookPhases(annotated("a", test.annotations...))
		got := fmt.Sprint(phases, hook)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.reason, got, test.want)
		}
	}
}

func TestHooksOf(t *testing.T) {
	hooks, err := HooksOf([]*unstructured.Unstructured{
		annotated("b", "argocd.argoproj.io/hook=PreSync,PostSync", "argocd.argoproj.io/hook-delete-policy=HookSucceeded, BeforeHookCreation"),
		annotated("a", "helm.sh/hook=pre-install", "helm.sh/hook-weight=-5", "helm.sh/hook-delete-policy=hook-failed"),
		annotated("c", "helm.sh/hook=pre-install", "helm.sh/hook-weight=-5", "argocd.argoproj.io/sync-wave=3"),
		annotated("", "argocd.argoproj.io/hook=Sync"), annotated("", "argocd.argoproj.io/hook=Sync"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	keys := map[string]bool{}
	for _, hook := range hooks {
		got = append(got, fmt.Sprintf("%s %s %d %v %v", hook.Object.GetName(), hook.Phase, hook.Wave, hook.IfSucceeded, hook.IfFailed))
		keys[hook.Key] = true
	}
	want := "a PreSync -5 false true; Sync 0 false false; Sync 0 false false;b PostSync 0 true false;b PreSync 0 true false;c PreSync 3 false false"
	if strings.Join(got, ";") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ";"), want)
	}
	if len(keys) != len(hooks) {
		t.Errorf("%d keys of %d hooks", len(keys), len(hooks))
	}
	if _, err := HooksOf([]*unstructured.Unstructured{annotated("a", "argocd.argoproj.io/hook=Sync", "argocd.argoproj.io/hook-delete-policy=Never")}); err == nil {
		t.Error("a policy that is none is taken")
	}
}

func TestRetryWait(t *testing.T) {
	rule := &Retry{Limit: 3, First: time.Second, Factor: 2, Most: 3 * time.Second}
	for attempts, want := range map[int]string{1: "1s true", 2: "2s true", 3: "3s true", 4: "0s false"} {
		wait, again := rule.Wait(attempts)
		if got := fmt.Sprint(wait, again); got != want {
			t.Errorf("after %d attempts %s, want %s", attempts, got, want)
		}
	}
	if _, again := (*Retry)(nil).Wait(1); again {
		t.Error("without a rule it is tried again")
	}
	rule = &Retry{Limit: -1, First: time.Second, Factor: 2}
	if wait, again := rule.Wait(1000); !again || wait != lastRetry {
		t.Errorf("for ever: %s %v", wait, again)
	}
	if wait, _ := (&Retry{Limit: -1, First: -time.Hour}).Wait(1); wait != time.Second {
		t.Errorf("of a rule that nobody can mean: %s", wait)
	}
}
