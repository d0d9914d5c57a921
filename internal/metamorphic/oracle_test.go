package metamorphic

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// Times of the test itself. What they bound takes a small part of them.
const (
	look      = 20 * time.Millisecond  // between two looks at a condition
	quiet     = 120 * time.Millisecond // without a write, so that none is to come
	patience  = 40 * time.Second       // for a world to settle
	storyTime = 4 * time.Minute        // for a whole story
)

// settleable reports whether nothing stands in the way of what Git says.
func (w *world) settleable() bool {
	if w.git.missing != "" || w.sick.Load() || w.unsure || w.paused() || len(w.writer().State().Pauses) > 0 {
		return false
	}
	owners := map[thing]int{}
	for _, t := range w.git.trees {
		if _, inside := t.things[inner]; inside && !t.options.CreateNamespace && len(w.git.owners(space)) == 0 {
			return false
		}
		if t.limit != unlimited || t.options.ServiceAccount != "" && t.options.ServiceAccount != w.mighty() {
			return false
		}
		_, fixed := t.things[immutable]
		if t.broken || len(t.claimed()) == 0 || t.options.Suspend || !t.options.Prune || !t.options.CorrectDrift || fixed && !t.options.Replace {
			return false
		}
		for thing := range t.things {
			if owners[thing]++; owners[thing] > 1 {
				return false
			}
		}
	}
	for _, r := range w.runners {
		if _, down := r.line.get(); down {
			return false
		}
	}
	return true
}

// settle waits until the cluster is what Git says and nothing is written.
func (w *world) settle() {
	w.served()
	began, poked, still := time.Now(), time.Now(), 0
	var state spoke.State
	var differences []string
	last := -1
	err := wait.PollUntilContextTimeout(w.ctx, look, patience, true, func(context.Context) (bool, error) {
		w.revive()
		if len(w.guilt()) > 0 {
			return true, nil
		}
		if time.Since(poked) > 5*look {
			poked = time.Now()
			w.wait(max(3*time.Second, time.Since(began)*5))
			w.poke()
			w.changed()
		}
		r := w.writer()
		if state = r.State(); !w.converged(state) {
			w.unlock(state)
			w.confirm()
			still = 0
			return false, nil
		}
		writes, _ := r.line.count()
		if still++; writes != last {
			last, still = writes, 0
		}
		if time.Duration(still)*look < quiet {
			return false, nil
		}
		still = 0
		var err error
		differences, err = w.compare()
		return len(differences) == 0, err
	})
	if err != nil {
		w.blame("it does not settle: %v\nstate: %s\n%s", err, describe(state), strings.Join(differences, "\n"))
		return
	}
	w.enact(true)
	w.mu.Lock()
	clear(w.law.held)
	clear(w.law.confirmed)
	clear(w.law.kept) // by the annotation, which is on the cluster now
	for _, t := range w.git.trees {
		for thing, c := range t.claimed() {
			if c.keep && !(t.once && once.Match(w.identity(thing, c))) {
				w.law.kept[w.identity(thing, c)] = true
			}
		}
	}
	w.mu.Unlock()
	w.fresh = true
}

// unlock does what a person must do for an immutable object that its app does not
// own: deletes it.
func (w *world) unlock(state spoke.State) {
	for _, a := range state.Apps {
		for _, problem := range a.Problems {
			if strings.Contains(problem.Reason, "replace does not apply") {
				w.of(problem.Object).Delete(w.ctx, problem.Object.Name, metav1.DeleteOptions{})
			}
		}
	}
}

// calm waits until nothing is written.
func (w *world) calm() {
	last, still := -1, 0
	err := wait.PollUntilContextTimeout(w.ctx, look, patience, true, func(context.Context) (bool, error) {
		w.revive()
		sum := 0
		for _, r := range w.runners {
			writes, _ := r.line.count()
			sum += writes
		}
		if still++; sum != last {
			last, still = sum, 0
		}
		return time.Duration(still)*look > quiet, nil
	})
	if err != nil {
		w.blame("it writes without end: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.writer().State().Apps {
		if t := w.git.trees[a.Name]; len(w.runners) == 1 && t != nil && t.options.Suspend && a.Message == "suspended in Git" {
			w.law.suspended[a.Name] = true
		}
	}
}

// converged reports whether the spoke says that all is as Git says.
func (w *world) converged(state spoke.State) bool {
	if !state.Online || !state.Writer || state.Sync != spoke.Synced || len(state.Apps) != len(w.current.Apps) {
		return false
	}
	for i, a := range state.Apps {
		if a.Digest != w.current.Apps[i].Bundle.Digest || a.Sync != spoke.Synced || a.Health.Status != spoke.Healthy {
			return false
		}
	}
	return true
}

// compare holds the cluster against Git.
func (w *world) compare() (differences []string, err error) {
	live, err := w.live()
	if err != nil {
		return nil, err
	}
	wanted := map[object.ID]bool{}
	for _, name := range w.git.names() {
		for t, c := range w.git.trees[name].claimed() {
			id := w.identity(t, c)
			wanted[id] = true
			if t == inner {
				wanted[w.identity(space, content{})] = true // or else that would go too
			}
			if u := live[id]; u == nil {
				differences = append(differences, fmt.Sprintf("%s of %s is not there", id, name))
			} else if difference := w.differs(name, t, c, u, live[w.identity(scaler, content{})] != nil); difference != "" {
				differences = append(differences, fmt.Sprintf("%s of %s: %s", id, name, difference))
			}
		}
	}
	for id, u := range live {
		owner, _, marked := object.OwnerOf(u)
		t := w.git.trees[owner.App]
		if marked && !wanted[id] && t != nil && t.options.Prune && len(t.claimed()) > 0 && u.GetAnnotations()["nave.dev/prune"] == "" && !w.lost {
			differences = append(differences, fmt.Sprintf("%s of %s is not in Git, and still there", id, owner.App))
		}
	}
	if len(differences) > 0 {
		return differences, nil
	}
	for id, u := range live { // from now on the numbers are known
		if id.Kind == "Deployment" {
			w.scales[id] = map[int]bool{replicas(u): true}
		}
	}
	return nil, nil
}

// differs says in what a live object is not what Git says, or nothing.
func (w *world) differs(name string, t thing, c content, u *unstructured.Unstructured, autoscaled bool) string {
	owner, _, marked := object.OwnerOf(u)
	if !marked || owner != (object.Owner{Fleet: fleet, App: name}) {
		return fmt.Sprintf("it is marked %v as that of %v", marked, owner)
	}
	if w.git.trees[name].once && once.Match(object.Of(u)) {
		return ""
	}
	want := w.object(t, c)
	labels, annotations := maps.Clone(u.GetLabels()), maps.Clone(u.GetAnnotations())
	delete(labels, object.AppLabel)
	delete(labels, "kubernetes.io/metadata.name")
	delete(annotations, object.IdentityAnnotation)
	delete(annotations, object.AdoptedAnnotation)
	if difference := cmp.Diff(want.GetLabels(), labels); difference != "" {
		return "labels:\n" + difference
	}
	if wanted := want.GetAnnotations(); len(wanted)+len(annotations) > 0 && !maps.Equal(wanted, annotations) {
		return "annotations:\n" + cmp.Diff(wanted, annotations)
	}
	switch id := object.Of(u); id.Kind {
	case "Deployment":
		for _, path := range [][]string{{"name"}, {"image"}, {"env"}} {
			var a, b []any
			for into, from := range map[*[]any]*unstructured.Unstructured{&a: want, &b: u} {
				containers, _, _ := unstructured.NestedSlice(from.Object, "spec", "template", "spec", "containers")
				for _, container := range containers {
					*into = append(*into, container.(map[string]any)[path[0]])
				}
			}
			if difference := cmp.Diff(a, b); difference != "" {
				return path[0] + " of containers:\n" + difference
			}
		}
		if n := replicas(u); c.replicas > 0 && !(t == scaled && autoscaled) {
			if n != c.replicas {
				return fmt.Sprintf("it has %d replicas, and Git says %d", n, c.replicas)
			}
		} else if !w.scales[id][n] {
			return fmt.Sprintf("it has %d replicas, and nobody asked for them: %v", n, w.scales[id])
		}
	case "HorizontalPodAutoscaler":
		a, _, _ := unstructured.NestedInt64(want.Object, "spec", "maxReplicas")
		b, _, _ := unstructured.NestedInt64(u.Object, "spec", "maxReplicas")
		if a != b {
			return fmt.Sprintf("at most %d replicas, not %d", b, a)
		}
	case "PersistentVolumeClaim", "Namespace":
	case "ClusterRole":
		return cmp.Diff(want.Object["rules"], u.Object["rules"])
	default:
		data := map[string]any{}
		for field, decoded := range map[string]bool{"data": false, "stringData": true} {
			in, _, _ := unstructured.NestedMap(want.Object, field)
			for key, v := range in {
				if decoded {
					v = []byte(v.(string))
				}
				data[key] = v
			}
		}
		if extra, there := w.extras[u.GetUID()]; there {
			data["operator"] = extra
		}
		return cmp.Diff(plain(data), plain(u.Object["data"]))
	}
	return ""
}

// plain is a value as JSON has it: bytes become the text that they are there.
func plain(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	return string(data)
}

func replicas(u *unstructured.Unstructured) int {
	n, _, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	return int(n)
}

// finish ends all trouble, mends what stands in the way of Git's last state, and
// holds the end against it.
func (w *world) finish() {
	w.sick.Store(false)
	w.up()
	w.revive()
	for len(w.runners) > 1 {
		i := 0
		if w.runners[i].State().Writer {
			i = 1
		}
		w.end(i)
	}
	w.runners[0].line.set(func(l *line) { l.fuse, l.fault = 0, 0 })
	w.thaw()
	w.unsure = false
	w.wait(2 * forever)
	w.mend()
	w.settle()
	if len(w.guilt()) > 0 {
		return
	}
	_, before := w.runners[0].line.count()
	w.rest("a while later", w.runners[0], len(before))
	// Another process finds everything in place.
	w.end(0)
	w.revive()
	w.settle()
	w.rest("after a restart", w.runners[0], 0)
}

// mend is the last commit: what has no end by itself is over.
func (w *world) mend() {
	w.git.missing = ""
	taken := map[thing]bool{}
	for _, name := range w.git.names() {
		t := w.git.trees[name]
		t.broken, t.empty = false, false
		t.options.Suspend, t.options.Prune, t.options.CorrectDrift, t.options.Replace = false, true, true, true
		t.limit, t.once, t.options.CreateNamespace = unlimited, false, true
		if t.options.ServiceAccount != "" {
			t.options.ServiceAccount = w.mighty()
		}
		for thing := range t.things {
			if taken[thing] {
				delete(t.things, thing)
			}
			taken[thing] = true
		}
	}
	for _, name := range w.git.names() {
		for free := thing(0); len(w.git.trees[name].things) == 0; free++ {
			if !taken[free] {
				w.git.trees[name].things[free], taken[free] = content{}, true
			}
		}
	}
	w.commit()
}

// rest checks that no objects are written as time passes.
func (w *world) rest(when string, r *runner, before int) {
	w.wait(2 * time.Minute)
	w.poke()
	w.calm()
	if _, after := r.line.count(); len(after) != before {
		w.blame("%s, there were writes of objects though all was in place: %s", when, strings.Join(after[before:], ", "))
	}
}

func describe(state spoke.State) string {
	data, err := json.Marshal(state)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
