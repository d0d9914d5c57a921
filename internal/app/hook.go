package app

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/object"
)

// Phase is a time in a sync, or in the removal of an app, at which hooks run.
type Phase string

// The phases, as Argo CD names them.
const (
	PreSync    Phase = "PreSync"  // before anything is applied
	InSync     Phase = "Sync"     // among the objects, by wave
	PostSync   Phase = "PostSync" // once all is healthy
	SyncFail   Phase = "SyncFail" // once a sync has failed for good
	PreDelete  Phase = "PreDelete"
	PostDelete Phase = "PostDelete"
)

// Hook is an object that runs at a phase and is not kept.
type Hook struct {
	Object *unstructured.Unstructured // as the bundle has it; the name may be to be generated
	Phase  Phase
	Wave   int
	// Key tells the hook from the others of its bundle.
	Key string
	// IfSucceeded and IfFailed say with which outcome of the sync it is deleted.
	IfSucceeded, IfFailed bool
}

// The annotations that make an object a hook, order it and say when it goes.
const (
	argoHook       = "argocd.argoproj.io/hook"
	argoHookPolicy = "argocd.argoproj.io/hook-delete-policy"
	helmHook       = "helm.sh/hook"
	helmHookPolicy = "helm.sh/hook-delete-policy"
	helmHookWeight = "helm.sh/hook-weight"
)

// helmPhases are the phases of Helm's hooks, as Argo CD maps them: whether a sync
// installs or upgrades cannot be told. Those without a phase never run in a sync.
var helmPhases = map[string]Phase{
	"pre-install": PreSync, "pre-upgrade": PreSync, "post-install": PostSync, "post-upgrade": PostSync,
	"pre-delete": PreDelete, "post-delete": PostDelete,
	"pre-rollback": "", "post-rollback": "", "test": "", "test-success": "", "test-failure": "", "crd-install": "",
}

var argoPhases = []Phase{PreSync, InSync, PostSync, SyncFail, PreDelete, PostDelete}

// HookError says that an object's annotations make no hook that is known.
type HookError struct {
	Annotation, Value string
	Hint              string
}

// Error names the annotation and its value.
func (e *HookError) Error() string {
	return fmt.Sprintf("has the annotation %s: %q, which is not known", e.Annotation, e.Value)
}

// HookPhases returns the phases at which an object runs, by Argo CD's annotation
// or else by Helm's, and whether it is a hook at all, which is not kept like other
// objects: one without a phase never runs. An error is a *HookError.
func HookPhases(u *unstructured.Unstructured) (phases []Phase, hook bool, err error) {
	annotations := u.GetAnnotations()
	if text, ok := annotations[argoHook]; ok {
		for _, word := range words(text) {
			switch phase := Phase(word); {
			case slices.Contains(argoPhases, phase):
				phases = append(phases, phase)
			case word != "Skip":
				return nil, true, &HookError{argoHook, word, "write PreSync, Sync, PostSync, SyncFail, PreDelete, PostDelete or Skip"}
			}
		}
		if len(phases) > 0 || annotations[helmHook] == "" {
			return distinct(phases), true, nil
		}
	}
	text, ok := annotations[helmHook]
	if !ok || strings.TrimSpace(text) == "crd-install" {
		return nil, false, nil
	}
	for _, word := range words(text) {
		phase, known := helmPhases[strings.ToLower(word)]
		if !known {
			return nil, true, &HookError{helmHook, word, ""}
		}
		if phase != "" {
			phases = append(phases, phase)
		}
	}
	return distinct(phases), true, nil
}

// words splits a list at its commas.
func words(text string) []string {
	var found []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			found = append(found, word)
		}
	}
	return found
}

// distinct drops what was said before.
func distinct(phases []Phase) []Phase {
	slices.Sort(phases)
	return slices.Compact(phases)
}

// policies reads when a hook is deleted after its sync. That one of an earlier
// sync goes before it is created anew needs no policy.
func policies(u *unstructured.Unstructured) (ifSucceeded, ifFailed bool, err error) {
	for _, annotation := range []string{argoHookPolicy, helmHookPolicy} {
		for _, word := range words(u.GetAnnotations()[annotation]) {
			switch word {
			case "HookSucceeded", "hook-succeeded":
				ifSucceeded = true
			case "HookFailed", "hook-failed":
				ifFailed = true
			case "BeforeHookCreation", "before-hook-creation":
			default:
				return false, false, &HookError{annotation, word, "write HookSucceeded, HookFailed or BeforeHookCreation"}
			}
		}
	}
	return ifSucceeded, ifFailed, nil
}

// hookWave is the wave of a hook: that of any object, or else Helm's weight.
func hookWave(u *unstructured.Unstructured) int {
	annotations := u.GetAnnotations()
	for _, annotation := range []string{object.WaveAnnotation, "argocd.argoproj.io/sync-wave"} {
		if _, ok := annotations[annotation]; ok {
			return object.Wave(u)
		}
	}
	weight, err := strconv.Atoi(strings.TrimSpace(annotations[helmHookWeight]))
	if err != nil {
		return 0
	}
	return weight
}

// HooksOf returns the hooks that objects are, each once for each of its phases, in
// the order in which they run within a phase. An error names the object.
func HooksOf(objects []*unstructured.Unstructured) ([]Hook, error) {
	var hooks []Hook
	same := map[string]int{}
	for _, u := range objects {
		phases, _, err := HookPhases(u)
		hook := Hook{Object: u, Wave: hookWave(u)}
		if err == nil {
			hook.IfSucceeded, hook.IfFailed, err = policies(u)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %w", object.Of(u), err)
		}
		for _, phase := range phases {
			hook.Phase = phase
			id := string(phase) + " " + object.Of(u).String() + " " + u.GetGenerateName()
			hook.Key = object.Digest([]byte(id), []byte(strconv.Itoa(same[id])))[:10]
			same[id]++
			hooks = append(hooks, hook)
		}
	}
	slices.SortStableFunc(hooks, func(a, b Hook) int {
		idA, idB := object.Of(a.Object), object.Of(b.Object)
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), cmp.Compare(object.Rank(idA), object.Rank(idB)), object.Compare(idA, idB))
	})
	return hooks, nil
}
