package spoke

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/object"
)

// hook is a Job that runs at some phases.
func (g *ground) hook(name, phases string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": name, "namespace": g.namespace, "annotations": map[string]any{"argocd.argoproj.io/hook": phases}},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"restartPolicy": "Never", "containers": []any{map[string]any{"name": "c", "image": "example.org/c:1"}},
		}}},
	}}
}

// hooking is an app with objects and hooks.
func (g *ground) hooking(name string, hooks []*unstructured.Unstructured, objects ...*unstructured.Unstructured) app.Desired {
	g.Helper()
	bundle, err := app.NewBundle(objects, hooks)
	if err != nil {
		g.Fatal(err)
	}
	desired := g.desired(name)
	desired.Bundle = bundle
	return desired
}

// job reads a Job, nil if there is none.
func (g *ground) job(name string) *batchv1.Job {
	job, err := g.person.BatchV1().Jobs(g.namespace).Get(g.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return job
}

// ends has a Job end, as its controller does.
func (g *ground) ends(name string, how batchv1.JobConditionType) {
	g.Helper()
	g.until(name+" is there", func() bool { return g.job(name) != nil })
	job, now := g.job(name), metav1.NewTime(time.Unix(1700000000, 0))
	before := batchv1.JobFailureTarget
	job.Status.StartTime = &now
	if how == batchv1.JobComplete {
		before, job.Status.CompletionTime = batchv1.JobSuccessCriteriaMet, &now
	}
	for _, condition := range []batchv1.JobConditionType{before, how} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now, Message: "it says why"})
	}
	if _, err := g.person.BatchV1().Jobs(g.namespace).UpdateStatus(g.Context(), job, metav1.UpdateOptions{}); err != nil {
		g.Fatal(err)
	}
}

// appOf returns the state of the only app.
func appOf(s *Spoke) AppState {
	if apps := s.State().Apps; len(apps) > 0 {
		return apps[0]
	}
	return AppState{}
}

func TestHooksOfASync(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("first")
	a := assigned(g.hooking("web", []*unstructured.Unstructured{g.hook("check", "PreSync"), g.hook("alarm", "SyncFail")}, g.configMap("settings", "one")))
	s.Assign(a)
	g.until("the hook runs", func() bool {
		return strings.Contains(appOf(s).Message, "PreSync hook batch/Job "+g.namespace+"/check runs")
	})
	if state := appOf(s); state.Sync != OutOfSync || state.Hooks == nil || state.Hooks.State != hook.Running || g.value("settings") != "" {
		t.Errorf("the state is %+v", state)
	}
	// Another process goes on with it.
	stop()
	first := g.job("check")
	s, stop = g.spoke("first")
	s.Assign(a)
	g.ends("check", batchv1.JobComplete)
	g.synced(s)
	if job := g.job("check"); job.UID != first.UID || slices.Contains(job.Finalizers, object.HookFinalizer) {
		t.Errorf("the hook is %+v", job.ObjectMeta)
	}
	// Neither drift nor a restart runs one.
	if _, err := g.person.CoreV1().ConfigMaps(g.namespace).Patch(t.Context(), "settings", types.MergePatchType, []byte(`{"data":{"key":"drift"}}`), metav1.PatchOptions{FieldManager: "kubectl-edit"}); err != nil {
		t.Fatal(err)
	}
	g.until("drift is undone", func() bool { return g.value("settings") == "one" })
	stop()
	s, _ = g.spoke("first")
	s.Assign(a)
	g.synced(s)
	if job := g.job("check"); job.UID != first.UID {
		t.Error("the hook ran twice")
	}
	// A request does, and a failure stops what follows.
	if err := s.RerunHooks(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.until("the hook runs again", func() bool { job := g.job("check"); return job != nil && job.UID != first.UID })
	s.Assign(a)
	g.ends("check", batchv1.JobFailed)
	g.ends("alarm", batchv1.JobComplete)
	g.until("it has failed", func() bool {
		state := appOf(s)
		return state.Hooks != nil && state.Hooks.State == hook.Failed && strings.Contains(state.Message, "it says why") && state.Sync == OutOfSync
	})
	if r := g.record(); len(r.Rerun) != 0 || r.Hooks["web"].Attempt != 2 {
		t.Errorf("the record has %+v", r.Hooks)
	}
	// What leaves the cluster is not held.
	s.Assign(assigned(g.hooking("web", []*unstructured.Unstructured{g.hook("check", "PreSync")}, g.configMap("settings", "two"))))
	g.until("the next sync's hook runs", func() bool { job := g.job("check"); return job != nil && len(job.Status.Conditions) == 0 })
	s.Assign(assigned())
	g.until("it is let go", func() bool { return !slices.Contains(g.job("check").Finalizers, object.HookFinalizer) })
}

// TestAKillAtAnyWriteRunsAHookOnce kills a spoke at every write of a sync with
// hooks, those of the record included, and has another one go on.
func TestAKillAtAnyWriteRunsAHookOnce(t *testing.T) {
	for limit := 0; ; limit++ {
		g := on(t)
		next := assigned(g.hooking("web", []*unstructured.Unstructured{g.hook("one", "PreSync"), g.hook("two", "PostSync")}, g.configMap("settings", "one")))
		var mu sync.Mutex
		created := map[string]int{}
		count := func(r *http.Request, passes bool) {
			mu.Lock()
			defer mu.Unlock()
			if passes && r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/jobs/") && strings.Contains(r.Header.Get("Content-Type"), "apply") {
				created[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]++
			}
		}
		fault, death := &faulty{}, &dying{limit: limit}
		fault.set(func(r *http.Request) (*http.Response, error) {
			passes := death.passes(r)
			count(r, passes)
			if passes {
				return nil, nil
			}
			return nil, errDead
		})
		complete := func(done func() bool) {
			g.until(fmt.Sprintf("it is done, killed after %d writes", limit), func() bool {
				for _, name := range []string{"one", "two"} {
					if job := g.job(name); job != nil && len(job.Status.Conditions) == 0 {
						g.ends(name, batchv1.JobComplete)
					}
				}
				return done()
			})
		}
		s, stop := g.through("first", fault)
		s.Assign(next)
		complete(func() bool { return death.isDead() || s.State().Online && s.State().Sync == Synced })
		stop()
		fault = &faulty{}
		fault.set(func(r *http.Request) (*http.Response, error) { count(r, true); return nil, nil })
		s, stop = g.through("first", fault)
		s.Assign(next)
		complete(func() bool { return s.State().Online && s.State().Sync == Synced })
		stop()
		if fmt.Sprint(created) != "map[one:1 two:1]" || g.value("settings") != "one" {
			t.Errorf("killed after %d writes: created %v", limit, created)
		}
		if !death.isDead() {
			if limit < 8 {
				t.Errorf("only %d writes", limit)
			}
			break
		}
	}
}
