package metamorphic

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
	"nave.dev/internal/testenv"
)

const (
	fleet        = "fleet"
	suffixOfMore = "-more"
	mighty       = "mighty" // the service account that may do anything; others may do nothing
)

// place is a share of the API server in which one story after the other plays.
type place struct {
	name, namespace, system string
	more                    string   // a namespace that Git may have
	apps                    []string // that a story may have
	config                  *rest.Config
	client                  kubernetes.Interface
	objects                 dynamic.Interface
	checker                 spoke.Checker
}

func newPlace(t testing.TB, env *testenv.Env, checker spoke.Checker, number int) *place {
	t.Helper()
	p := &place{name: fmt.Sprintf("p%d", number), config: env.Config, checker: checker}
	p.namespace, p.system, p.more = p.name, p.name+"-system", p.name+suffixOfMore
	for _, letter := range "abcd" {
		p.apps = append(p.apps, p.name+"-"+string(letter))
	}
	var err error
	if p.client, err = kubernetes.NewForConfig(env.Config); err == nil {
		p.objects, err = dynamic.NewForConfig(env.Config)
	}
	for _, name := range []string{p.namespace, p.system} {
		if err == nil {
			_, err = p.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		}
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	_, err = p.client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: p.name + "-" + mighty},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: p.namespace, Name: mighty}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return p
}

// world is a story under way: a cluster, Git, and the spokes that see to it.
type world struct {
	*place
	ctx     context.Context // of the story, which the world is no longer than
	ahead   atomic.Int64    // how far the spokes' clock is
	runners []*runner
	started int
	number  int64 // of the last assignment
	current *spoke.Assigned
	older   []*spoke.Assigned
	git     git
	backup  *backup                    // of the cluster record
	unsure  bool                       // pauses may be in force of which the law knows nothing
	fresh   bool                       // it has settled, and nothing has happened since
	lost    bool                       // the record was, so that less is looked for
	sick    atomic.Bool                // workloads do not become healthy
	scales  map[object.ID]map[int]bool // how many replicas a workload may have
	extras  map[types.UID]string       // what an operator has put into an object
	news    chan struct{}              // for the controllers

	mu      sync.Mutex
	law     law
	accused []string
}

// runner is one spoke.
type runner struct {
	*spoke.Spoke
	name   string
	line   *line
	config *rest.Config
	cancel context.CancelFunc
	done   chan struct{}
}

// begin makes the place empty and starts the world with one spoke.
func (p *place) begin(ctx context.Context) (*world, error) {
	for _, k := range kinds {
		var err error
		if k.clusterWide {
			err = p.at(k.resource()).Delete(ctx, p.only(k), metav1.DeleteOptions{})
		} else {
			err = p.at(k.resource()).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	p.collect(ctx)
	for _, err := range []error{
		p.client.CoreV1().Secrets(p.system).Delete(ctx, "nave-record", metav1.DeleteOptions{}),
		p.client.CoordinationV1().Leases(p.system).Delete(ctx, "nave-writer", metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	w := &world{
		place: p, ctx: ctx, git: git{trees: map[string]*tree{}, budget: map[string]bool{}}, law: newLaw(), news: make(chan struct{}, 1),
		scales: map[object.ID]map[int]bool{}, extras: map[types.UID]string{},
	}
	w.git.trees[p.apps[0]], w.git.trees[p.apps[1]] = newTree(), newTree()
	w.git.trees[p.apps[0]].things = map[thing]content{0: {}, 1: {value: 1}}
	w.git.trees[p.apps[1]].things = map[thing]content{2: {}, scaled: {replicas: 2}}
	w.launch()
	w.commit()
	return w, nil
}

func newTree() *tree {
	return &tree{things: map[thing]content{}, options: app.Options{Prune: true, CorrectDrift: true}}
}

// launch starts another spoke and gives it what the last commit says.
func (w *world) launch() *runner {
	w.started++
	r := &runner{name: fmt.Sprintf("%s-%d", w.name, w.started), line: &line{world: w, streams: map[*stream]bool{}}, done: make(chan struct{})}
	r.config = rest.CopyConfig(w.config)
	r.config.ContentType, r.config.AcceptContentTypes = "application/json", "application/json"
	r.config.Wrap(func(base http.RoundTripper) http.RoundTripper {
		return wire{r.line, base}
	})
	r.Spoke = spoke.New(spoke.Options{
		Cluster: "one", Fleet: fleet, Config: r.config, Health: w.checker, Writer: r.name,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	})
	if w.current != nil {
		r.Assign(w.current)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(w.ctx)
	go func() {
		defer close(r.done)
		r.Run(ctx)
	}()
	w.runners = append(w.runners, r)
	return r
}

// end stops the i-th spoke. If it cannot give its lease back, that runs out.
func (w *world) end(i int) {
	r := w.runners[i]
	r.cancel()
	<-r.done
	w.runners = append(w.runners[:i:i], w.runners[i+1:]...)
	w.free()
}

// free has the lease of a writer that is gone run out.
func (w *world) free() {
	leases := w.client.CoordinationV1().Leases(w.system)
	lease, err := leases.Get(w.ctx, "nave-writer", metav1.GetOptions{})
	if err != nil {
		return // there is none, which is as good
	}
	for _, r := range w.runners {
		if lease.Spec.HolderIdentity != nil && r.name == *lease.Spec.HolderIdentity {
			return
		}
	}
	nobody := ""
	lease.Spec.HolderIdentity = &nobody
	_, err = leases.Update(w.ctx, lease, metav1.UpdateOptions{})
	if err != nil && !apierrors.IsConflict(err) && w.ctx.Err() == nil { // in a conflict another one has taken it
		w.blame("freeing the lease: %v", err)
	}
}

// revive sees to it that there is a spoke, once those that have crashed are gone.
func (w *world) revive() {
	for i := len(w.runners) - 1; i >= 0; i-- {
		if dead, _ := w.runners[i].line.get(); dead {
			w.end(i)
		}
	}
	if len(w.runners) > 0 {
		return
	}
	w.forgotten()
	w.launch()
}

// forgotten takes in that no process is left that knows anything.
func (w *world) forgotten() {
	for _, t := range w.git.trees {
		t.known = t.known && !t.broken
	}
	if w.current != nil {
		w.current = w.assignment() // nor does who assigns
	}
	w.enact(true)
}

// writer is the spoke that writes, or any.
func (w *world) writer() *runner {
	for _, r := range w.runners {
		if r.State().Writer {
			return r
		}
	}
	return w.runners[0]
}

// commit gives the state of Git to all spokes.
func (w *world) commit() { w.commitWith(func() {}) }

// commitWith is commit, with more to be made law. That is called with the lock.
func (w *world) commitWith(more func()) {
	w.number++
	if len(w.git.owners(inner)) > 0 { // who has the namespace waits for nobody who may have something in it
		for _, name := range w.git.owners(space) {
			w.git.trees[name].options.DependsOn = nil
		}
	}
	for name, t := range w.git.trees {
		if !t.broken && name != w.git.missing {
			t.good, t.known = maps.Clone(t.claimed()), true
		}
		for thing, c := range t.things {
			if thing == workload || thing == scaled {
				w.mayScale(w.identity(thing, c), max(1, c.replicas))
			}
		}
	}
	w.mu.Lock()
	clear(w.law.held)
	clear(w.law.suspended)
	if w.fresh { // nothing is under way that was assigned without the budget
		maps.Copy(w.law.budgeted, w.git.budget)
	}
	more()
	w.mu.Unlock()
	w.enact(false)
	if w.current != nil {
		w.older = append(w.older, w.current)
	}
	w.current = w.assignment()
	w.poke()
}

// poke has the spokes look at the clock.
func (w *world) poke() {
	for _, r := range w.runners {
		r.Assign(w.current)
	}
}

// wait has time pass for the spokes.
func (w *world) wait(d time.Duration) { w.ahead.Add(int64(d)) }

// accuse records that something was done that must not be. The lock is held.
func (w *world) accuse(format string, values ...any) {
	w.accused = append(w.accused, fmt.Sprintf(format, values...))
}

func (w *world) blame(format string, values ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accuse(format, values...)
}

// guilt returns what was recorded.
func (w *world) guilt() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.accused...)
}

func (k kind) resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.group, Version: k.version, Resource: k.path[lastSlash(k.path)+1:]}
}

func lastSlash(path string) int {
	for i := len(path) - 1; ; i-- {
		if path[i] == '/' {
			return i
		}
	}
}

// at is a client of the place's objects of a kind.
func (p *place) at(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	if resource.Resource == "clusterroles" || resource.Resource == "namespaces" {
		return p.objects.Resource(resource)
	}
	return p.objects.Resource(resource).Namespace(p.namespace)
}

// only is the name of the one object that the place has of a kind without
// namespaces.
func (p *place) only(k kind) string {
	if k.kind == "Namespace" {
		return p.more
	}
	return p.name + "-reader"
}

// of is a client for the kind of an object.
func (p *place) of(id object.ID) dynamic.ResourceInterface {
	for _, k := range kinds {
		if k.kind == id.Kind {
			return p.objects.Resource(k.resource()).Namespace(id.Namespace)
		}
	}
	panic("a kind that no story has: " + id.Kind)
}

// live returns all objects of the place.
func (w *world) live() (map[object.ID]*unstructured.Unstructured, error) {
	found := map[object.ID]*unstructured.Unstructured{}
	for _, k := range kinds {
		options := metav1.ListOptions{}
		if k.clusterWide {
			options.FieldSelector = "metadata.name=" + w.only(k)
		}
		list, err := w.at(k.resource()).List(w.ctx, options)
		if err != nil {
			return nil, err
		}
		if k.kind == "ConfigMap" {
			inside, err := w.objects.Resource(k.resource()).Namespace(w.more).List(w.ctx, options)
			if err != nil {
				return nil, err
			}
			list.Items = append(list.Items, inside.Items...)
		}
		for i := range list.Items {
			u := &list.Items[i]
			u.SetKind(k.kind)
			found[object.Of(u)] = u
		}
	}
	return found, nil
}

// mayScale records that a workload may have a number of replicas.
func (w *world) mayScale(id object.ID, n int) {
	if w.scales[id] == nil {
		w.scales[id] = map[int]bool{1: true}
	}
	w.scales[id][n] = true
}
