package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/object"
)

// hooked is the cluster record of one app with hooks, and what its clients did.
type hooked struct {
	*ground
	record  []byte // as it would be stored
	target  Target
	created []string // names of the hooks that were created, in order
	now     time.Time
	// point is called before and after everything that is written.
	point func(before bool) error
}

// job is a hook at a phase.
func job(name, phase string, more ...string) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata:
  name: %s
  namespace: NS
  annotations:
    argocd.argoproj.io/hook: %s
    %s
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: c, image: "example.org/c:1"}]}
`, name, phase, strings.Join(more, "\n    "))
}

// settings is a config map in a wave.
func settings(name, value, wave string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: NS, annotations: {argocd.argoproj.io/sync-wave: %q}}\ndata: {k: %q}\n", name, wave, value)
}

func hooking(t *testing.T) *hooked {
	t.Helper()
	h := &hooked{ground: on(t), now: time.Now()}
	t.Cleanup(func() { // nobody else takes our finalizer off
		list, err := h.at("Job").List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		for _, u := range list.Items {
			u.SetFinalizers(nil)
			if _, err := h.at("Job").Update(context.WithoutCancel(t.Context()), &u, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

// wantApp has the app be of some objects and hooks.
func (h *hooked) wantApp(objects string, hooks ...string) {
	h.Helper()
	var list []*unstructured.Unstructured
	for _, text := range hooks {
		list = append(list, h.objects(text)...)
	}
	bundle, err := app.NewBundle(h.objects(objects), list)
	if err != nil {
		h.Fatal(err)
	}
	if h.target.Bundle == nil {
		h.target = h.ground.target("web", objects)
	}
	h.target.Kinds = append(h.target.Kinds, Kinds(h.target)...)
	h.target.Bundle = bundle
}

// run is what the record has.
func (h *hooked) run() hook.Run {
	h.Helper()
	var run hook.Run
	if len(h.record) > 0 {
		if err := json.Unmarshal(h.record, &run); err != nil {
			h.Fatal(err)
		}
	}
	return run
}

// step syncs once, by a process that knows only the record.
func (h *hooked) step() (Result, error) {
	h.Helper()
	ctx, cancel := context.WithCancelCause(h.Context())
	defer cancel(nil)
	point := func(before bool) error {
		if h.point == nil {
			return nil
		}
		err := h.point(before)
		if err != nil {
			cancel(err)
		}
		return err
	}
	t := h.target
	t.Run = h.run()
	t.KeepRun = func(_ context.Context, run hook.Run) error {
		if err := point(true); err != nil {
			return err
		}
		data, err := json.Marshal(run)
		if err != nil {
			return err
		}
		if run.Attempt > t.Run.Attempt {
			h.target.Rerun = false
		}
		h.record = data
		return point(false)
	}
	t.Completion = func(u *unstructured.Unstructured) (done, failed bool, message string) {
		if u.GetKind() != "Job" {
			return true, false, ""
		}
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, c := range conditions {
			condition := c.(map[string]any)
			done = done || condition["type"] == "Complete"
			failed = failed || condition["type"] == "Failed"
		}
		return done, failed, "as its status says"
	}
	client := h.another(func(o *Options) {
		o.Concurrency = 1
		o.Now = func() time.Time { return h.now }
		o.Listener.Writing = func(Write) { _ = point(true) }
		o.Listener.Wrote = func(w Write, err error) {
			if w.Verb == "run hook" && err == nil {
				h.created = append(h.created, w.Object.Name)
			}
			_ = point(false)
		}
	})
	result, err := client.Sync(ctx, t)
	if err == nil {
		h.target.Known = result.Baselines
	}
	return result, err
}

// syncs is step without an error.
func (h *hooked) syncs() Result {
	h.Helper()
	result, err := h.step()
	if err != nil {
		h.Fatal(err)
	}
	return result
}

// finish is what controllers do: the Job ends.
func (h *hooked) finish(name, how string) {
	h.Helper()
	conditions := map[string]string{"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
	patch := fmt.Sprintf(`{"status":{"startTime":"2024-05-01T10:00:00Z","conditions":[
		{"type":%q,"status":"True","lastTransitionTime":"2024-05-01T10:00:00Z"},{"type":%q,"status":"True","lastTransitionTime":"2024-05-01T10:00:00Z"}]}}`, conditions[how], how)
	if how == "Complete" {
		patch = strings.Replace(patch, `"startTime"`, `"completionTime":"2024-05-01T10:00:00Z","startTime"`, 1)
	}
	h.patch("kube-controller-manager", "Job", name, patch, "status")
}

// waitsFor wants a sync to wait for something, and objects and hooks to be there.
func (h *hooked) waitsFor(want string, there ...string) {
	h.Helper()
	result := h.syncs()
	if want == "" && result.WaitsFor != "" || !strings.Contains(result.WaitsFor, want) {
		h.Fatalf("it waits for %q, want %q\n%s", result.WaitsFor, want, result.Changes)
	}
	var got []string
	for _, kind := range []string{"ConfigMap", "Job"} {
		list, err := h.at(kind).List(h.Context(), metav1.ListOptions{})
		if err != nil {
			h.Fatal(err)
		}
		for _, u := range list.Items {
			if u.GetName() != "kube-root-ca.crt" {
				got = append(got, u.GetName())
			}
		}
	}
	if !slices.Equal(got, there) {
		h.Fatalf("there are %v, want %v; it waits for %q", got, there, result.WaitsFor)
	}
}

func TestHooksRunInTheOrderOfPhasesAndWaves(t *testing.T) {
	h := hooking(t)
	h.wantApp(settings("old", "v", "0"))
	h.waitsFor("", "old")
	h.wantApp(settings("a", "v", "0")+"---\n"+settings("b", "v", "2"),
		job("second", "PreSync"), job("first", "PreSync", `argocd.argoproj.io/sync-wave: "-1"`),
		job("among", "Sync", `argocd.argoproj.io/sync-wave: "1"`),
		job("last", "PostSync", "argocd.argoproj.io/hook-delete-policy: HookSucceeded"))
	h.waitsFor("PreSync hook batch/Job "+h.namespace+"/first", "old", "first")
	h.waitsFor("first", "old", "first")
	h.finish("first", "Complete")
	h.waitsFor("PreSync hook batch/Job "+h.namespace+"/second", "old", "first", "second")
	h.finish("second", "Complete")
	h.waitsFor("Sync hook batch/Job "+h.namespace+"/among", "a", "old", "among", "first", "second")
	h.finish("among", "Complete")
	h.waitsFor("PostSync hook batch/Job "+h.namespace+"/last", "a", "b", "old", "among", "first", "last", "second")
	h.finish("last", "Complete")
	h.waitsFor("", "a", "b", "among", "first", "second")
	if run := h.run(); run.State != hook.Succeeded || run.Attempt != 1 || run.Hooks != nil {
		t.Errorf("the record has %+v", run)
	}
	for _, name := range []string{"first", "second", "among"} {
		if finalizers := h.live("Job", name).GetFinalizers(); slices.Contains(finalizers, object.HookFinalizer) {
			t.Errorf("%s has the finalizers %v", name, finalizers)
		}
	}
	h.waitsFor("", "a", "b", "among", "first", "second")
	if want := []string{"first", "second", "among", "last"}; !slices.Equal(h.created, want) {
		t.Errorf("created %v, want %v", h.created, want)
	}
}

func TestASyncIsAChangeOfTheBundleOrARequest(t *testing.T) {
	h := hooking(t)
	all := func() {
		t.Helper()
		for range 4 {
			if result := h.syncs(); result.WaitsFor == "" {
				return
			}
			h.finish("hook", "Complete")
		}
		t.Fatal("it does not end")
	}
	for _, c := range []struct {
		reason string
		change func()
		runs   int
	}{
		{"the first sync", func() { h.wantApp(settings("a", "1", "0"), job("hook", "PreSync")) }, 1},
		{"nothing changed", func() {}, 1},
		{"options are no content", func() { h.target.Options.PruneFirst = true }, 1},
		{"all of the process's memory is lost", func() { h.target.Known = nil }, 1},
		{"somebody changed an object", func() { h.patch("kubectl-edit", "ConfigMap", "a", `{"data":{"k":"9"}}`); h.target.Known = nil }, 1},
		{"an object changes", func() { h.wantApp(settings("a", "2", "0"), job("hook", "PreSync")) }, 2},
		{"the hook alone changes", func() { h.wantApp(settings("a", "2", "0"), job("hook", "PreSync", "example.org/x: z")) }, 3},
		{"somebody asks", func() { h.target.Rerun = true }, 4},
		{"the hook goes", func() { h.wantApp(settings("a", "2", "0")) }, 4},
		{"and comes back", func() { h.wantApp(settings("a", "2", "0"), job("hook", "PreSync", "example.org/x: z")) }, 5},
	} {
		c.change()
		all()
		if len(h.created) != c.runs {
			t.Fatalf("%s: %d runs, want %d", c.reason, len(h.created), c.runs)
		}
	}
}

func TestAFailedHookStopsWhatFollows(t *testing.T) {
	h := hooking(t)
	h.wantApp(settings("a", "1", "0") + "---\n" + settings("same", "1", "0"))
	h.waitsFor("", "a", "same")
	h.wantApp(settings("a", "2", "0")+"---\n"+settings("same", "1", "0"),
		job("check", "PreSync", "argocd.argoproj.io/hook-delete-policy: HookFailed"), job("never", "PostSync"),
		job("alarm", "SyncFail", "argocd.argoproj.io/hook-delete-policy: HookSucceeded"))
	h.waitsFor("check", "a", "same", "check")
	h.finish("check", "Failed")
	h.waitsFor("alarm", "a", "same", "alarm", "check")
	if run := h.run(); run.State != hook.Failing {
		t.Errorf("the record has %+v", run)
	}
	h.finish("alarm", "Complete")
	h.waitsFor("the sync has failed: PreSync hook", "a", "same")
	h.waitsFor("the sync has failed: PreSync hook", "a", "same")
	h.wantField(`"1"`, "nothing is applied", "ConfigMap", "a", "data", "k")
	// Drift of what Git did not change is corrected, and nothing else.
	for _, name := range []string{"a", "same"} {
		h.patch("kubectl-edit", "ConfigMap", name, `{"data":{"k":"9"}}`)
	}
	h.target.Run = h.run()
	h.repair(h.target)
	h.wantField(`"1"`, "drift", "ConfigMap", "same", "data", "k")
	h.wantField(`"9"`, "what comes next waits for the hooks", "ConfigMap", "a", "data", "k")

	h.target.Rerun = true
	h.waitsFor("check", "a", "same", "check")
	h.finish("check", "Complete")
	h.waitsFor("never", "a", "same", "check", "never")
	h.finish("never", "Failed")
	h.waitsFor("PostSync hook", "a", "same", "alarm", "check", "never")
	h.wantField(`"2"`, "a last check that fails is of what is there", "ConfigMap", "a", "data", "k")
}

func TestAFailedSyncIsTriedAgainByTheRule(t *testing.T) {
	h := hooking(t)
	h.wantApp(settings("a", "1", "0"), job("check", "PreSync"), job("alarm", "SyncFail"))
	h.target.Options.Retry = &app.Retry{Limit: 1, First: time.Minute, Factor: 2, Most: time.Hour}
	h.waitsFor("check", "check")
	h.finish("check", "Failed")
	h.waitsFor("is tried again", "check")
	h.waitsFor("is tried again", "check")
	h.now = h.now.Add(2 * time.Minute)
	h.waitsFor("check", "check")
	if run := h.run(); run.Attempt != 2 || run.Tries != 2 || run.State != hook.Running {
		t.Errorf("the record has %+v", run)
	}
	h.finish("check", "Failed")
	h.waitsFor("alarm", "alarm", "check")
	h.finish("alarm", "Failed")
	h.waitsFor("the sync has failed: PreSync hook", "alarm", "check")
	h.now = h.now.Add(24 * time.Hour)
	h.waitsFor("the sync has failed: PreSync hook", "alarm", "check")
	if want := []string{"check", "check", "alarm"}; !slices.Equal(h.created, want) {
		t.Errorf("created %v, want %v", h.created, want)
	}
}

// TestACrashAtAnyPointRunsEachHookOnce ends the process before or after each of its
// writes, those of the record included, and has another one go on.
func TestACrashAtAnyPointRunsEachHookOnce(t *testing.T) {
	for _, before := range []bool{true, false} {
		for limit := 1; ; limit++ {
			h := hooking(t)
			h.wantApp(settings("gone", "1", "0"))
			h.syncs()
			h.wantApp(settings("a", "1", "0"),
				job("one", "PreSync"), strings.Replace(job("two-", "PreSync,PostSync"), "name:", "generateName:", 1),
				job("three", "Sync", "argocd.argoproj.io/hook-delete-policy: HookSucceeded"), job("four", "PostSync"))
			points, crashed := 0, false
			h.point = func(b bool) error {
				if b == before {
					points++
				}
				if b == before && points == limit {
					crashed = true
					return errCrash
				}
				return nil
			}
			for range 20 {
				result, err := h.step()
				if err != nil && !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				if err == nil && result.WaitsFor == "" && h.run().State == hook.Succeeded {
					break
				}
				for _, name := range h.created {
					if u := h.live("Job", name); u != nil && len(u.Object["status"].(map[string]any)) == 0 {
						h.finish(name, "Complete")
					}
				}
			}
			at := fmt.Sprintf("crash at point %d (before %v)", limit, before)
			if run := h.run(); run.State != hook.Succeeded || run.Attempt != 1 {
				t.Fatalf("%s: the record has %+v", at, run)
			}
			count := map[string]int{}
			for _, name := range h.created {
				count[name[:3]]++
			}
			if fmt.Sprint(count) != "map[fou:1 one:1 thr:1 two:2]" {
				t.Errorf("%s: created %v", at, h.created)
			}
			if h.live("ConfigMap", "gone") != nil || h.live("ConfigMap", "a") == nil || h.live("Job", "three") != nil {
				t.Errorf("%s: not all is as it should be", at)
			}
			list, err := h.at("Job").List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range list.Items {
				if slices.Contains(u.GetFinalizers(), object.HookFinalizer) {
					t.Errorf("%s: %s is held", at, u.GetName())
				}
			}
			if !crashed {
				if limit < 15 {
					t.Errorf("only %d points", limit)
				}
				break
			}
		}
	}
}

func TestAHookThatSomebodyDeletes(t *testing.T) {
	for name, c := range map[string]struct {
		ends string // before it is deleted
		want string
	}{
		"while it runs":        {"", "it was deleted while it ran"},
		"after it was done":    {"Complete", ""}, // as by its time to live
		"after it has failed":  {"Failed", "as its status says"},
		"with its finalizer":   {"strip", "it was deleted while it ran"},
		"and makes it his own": {"replace", "is another object now"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hooking(t)
			h.wantApp(settings("a", "1", "0"), job("check", "PreSync"))
			h.syncs()
			if c.ends == "strip" || c.ends == "replace" {
				h.patch("kubectl-edit", "Job", "check", `{"metadata":{"finalizers":null}}`)
			} else if c.ends != "" {
				h.finish("check", c.ends)
			}
			background := metav1.DeletePropagationBackground
			if err := h.at("Job").Delete(t.Context(), "check", metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
				t.Fatal(err)
			}
			if c.ends == "replace" {
				h.create("kubectl-create", strings.Replace(job("check", "PreSync"), "argocd.argoproj.io/hook", "other", 1))
			}
			result := h.syncs()
			if c.want == "" && result.WaitsFor != "" || !strings.Contains(result.WaitsFor, c.want) {
				t.Errorf("it waits for %q, want %q", result.WaitsFor, c.want)
			}
			if u := h.live("Job", "check"); u != nil && c.ends != "replace" {
				t.Errorf("it is held by %v", u.GetFinalizers())
			}
			if len(h.created) != 1 {
				t.Errorf("created %v", h.created)
			}
		})
	}
}

func TestAHookWhoseNameIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		there string
		want  string
	}{
		"by an object that is no hook":        {strings.Replace(job("check", "PreSync"), "argocd.argoproj.io/hook", "other", 1), "is no hook"},
		"by a hook of another deployer":       {job("check", "PreSync"), "it runs"},
		"by one of its that is not done":      {job("check", "PreSync"), "is not done"},
		"by an object of the app's inventory": {settings("check", "1", "0"), "has an object of that name"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hooking(t)
			wanted := job("check", "PreSync")
			if strings.Contains(name, "inventory") {
				h.wantApp(c.there)
				h.syncs()
				wanted = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: check, namespace: NS, annotations: {argocd.argoproj.io/hook: PreSync}}"
				h.wantApp(settings("other", "1", "0"), wanted)
			} else {
				h.create("argocd-controller", c.there)
				if !strings.Contains(name, "not done") {
					h.finish("check", "Complete")
				}
				h.wantApp(settings("a", "1", "0"), wanted)
			}
			if result := h.syncs(); !strings.Contains(result.WaitsFor, c.want) {
				t.Errorf("it waits for %q, want %q", result.WaitsFor, c.want)
			}
		})
	}
}

// TestAHookThatTakesLongIsAwaited has one that runs longer than its app may take:
// what is stopped in the middle, such as a migration, may be worse than late.
func TestAHookThatTakesLongIsAwaited(t *testing.T) {
	h := hooking(t)
	h.wantApp(settings("a", "1", "0"), job("check", "PreSync"))
	h.target.Options.Deadline = time.Minute
	h.waitsFor("check", "check")
	h.now = h.now.Add(2 * time.Minute)
	h.waitsFor("it runs since", "check")
	h.finish("check", "Complete")
	h.waitsFor("", "a", "check")
}

func TestAnEarlierSyncsHookIsAwaitedOrStopped(t *testing.T) {
	h := hooking(t)
	h.wantApp(settings("a", "1", "0"), job("check", "PreSync"))
	h.waitsFor("check", "check")
	h.wantApp(settings("a", "2", "0"), job("other", "PreSync"))
	h.waitsFor("an earlier sync's PreSync hook", "check")
	h.finish("check", "Complete")
	h.waitsFor("other", "check", "other")
	h.target.Rerun = true
	h.waitsFor("an earlier sync's PreSync hook", "check", "other")
	h.patch("garbage-collector", "Job", "other", `{"metadata":{"finalizers":null}}`)
	h.waitsFor("other", "check", "other")
	h.finish("other", "Complete")
	h.waitsFor("", "a", "check", "other")
	if want := []string{"check", "other", "other"}; !slices.Equal(h.created, want) {
		t.Errorf("created %v, want %v", h.created, want)
	}
}

func TestHooksOfARemoval(t *testing.T) {
	h := hooking(t)
	hooks := []string{job("before", "PreDelete", "argocd.argoproj.io/hook-delete-policy: HookSucceeded"), job("after", "PostDelete", "argocd.argoproj.io/hook-delete-policy: HookSucceeded"), job("never", "PreSync,SyncFail")}
	h.wantApp(settings("a", "1", "0"), hooks[:2]...)
	h.waitsFor("", "a")
	h.wantApp(settings("a", "1", "0"), hooks...)
	h.target.Removal = true
	h.target.Options.Prune = true
	h.waitsFor("before", "a", "before")
	h.finish("before", "Failed")
	h.waitsFor("the removal has failed: PreDelete hook", "a", "before")
	h.target.Rerun = true
	h.waitsFor("before", "a", "before")
	h.finish("before", "Complete")
	// Whether an app may come out empty is the prune's to say.
	h.delete("ConfigMap", "a")
	h.waitsFor("after", "after", "before")
	h.finish("after", "Complete")
	h.waitsFor("")
}

func TestLimitsHoldForHooks(t *testing.T) {
	h := hooking(t)
	h.wantApp(settings("a", "1", "0"), job("check", "PreSync"))
	h.target.Options.Limits = app.Limits{Kinds: []string{"ConfigMap"}}
	h.waitsFor("limits allow the kinds ConfigMap")
	if len(h.created) != 0 {
		t.Errorf("created %v", h.created)
	}
}
