package soak

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/lab"
)

// world is what the soak knows of the fleet, by its own means: it asks the
// clusters themselves what became of a commit, never the hub.
type world struct {
	lab      *lab.Lab
	clusters []*cluster
	began    time.Time

	mu       sync.Mutex
	expected map[string]expectation // by object and field
	restarts int                    // of the hub: their beginnings and ends
	marks    []mark
	times    map[string][]timing
	wrong    []string
	counts   map[string]int
}

// cluster is one member and a way to it.
type cluster struct {
	name, env string
	client    dynamic.Interface
	metrics   *discovery.DiscoveryClient // for /metrics of the API server

	// What the hub brought about before anything was disturbed.
	objects map[ref]types.UID

	mu      sync.Mutex
	away    bool         // a fault is on, or the cluster catches up after one
	faults  int          // that there were
	deleted map[ref]bool // by the soak itself, as drift
}

// ref names an object on a cluster.
type ref struct {
	schema.GroupVersionResource
	namespace, name string
}

func (r ref) String() string {
	return strings.TrimPrefix(r.Resource+" "+r.namespace+"/"+r.name, "/")
}

// expectation is what the head of the fleet branch says of one field.
type expectation struct {
	object ref
	field  string
	envs   []string // of the clusters that it concerns; none means all
	read   func(*unstructured.Unstructured) string
	want   string
	commit int // that said so
}

// The field of an expectation that is about the whole object.
const (
	existence = "existence"
	present   = "present"
	absent    = "absent"
)

// mark is a moment that concerned the whole fleet.
type mark struct {
	at   time.Duration
	text string
}

// timing is how long something took that was asked for at some moment.
type timing struct{ at, took time.Duration }

// requestLimit bounds a request of the soak's own clients.
const requestLimit = 5 * time.Second

// survey makes clients for all clusters and lists what the hub has brought about.
func survey(ctx context.Context, l *lab.Lab) (*world, error) {
	names, err := l.Names()
	if err != nil {
		return nil, err
	}
	w := &world{lab: l, began: time.Now(), expected: map[string]expectation{}, times: map[string][]timing{}, counts: map[string]int{}}
	for _, name := range names {
		c := &cluster{name: name, deleted: map[ref]bool{}}
		spec, err := l.SpecOf(name)
		if err != nil {
			return nil, err
		}
		c.env = spec.Labels["env"]
		data, err := l.Kubeconfig(name)
		if err != nil {
			return nil, err
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(data)
		if err != nil {
			return nil, fmt.Errorf("reading the kubeconfig of %s: %w", name, err)
		}
		config.QPS, config.Timeout, config.UserAgent = -1, requestLimit, "nave-lab-soak"
		config.WarningHandler = rest.NoWarnings{} // of old kinds that are listed like all others
		if c.client, err = dynamic.NewForConfig(config); err == nil {
			c.metrics, err = discovery.NewDiscoveryClientForConfig(config)
		}
		if err == nil {
			c.objects, err = c.marked(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("surveying cluster %s: %w", name, err)
		}
		w.clusters = append(w.clusters, c)
	}
	return w, nil
}

// The marks of an object that the hub keeps, as docs/commands.md says.
const (
	appLabel           = "nave.dev/app"
	identityAnnotation = "nave.dev/identity"
)

// marked lists the objects that carry the hub's marks, of all kinds. Copies that
// controllers make of labels are not among them.
func (c *cluster) marked(ctx context.Context) (map[ref]types.UID, error) {
	lists, err := c.metrics.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("asking for the kinds: %w", err)
	}
	found := map[ref]types.UID{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, kind := range list.APIResources {
			if verbs := kind.Verbs.String(); !strings.Contains(verbs, "list") || !strings.Contains(verbs, "delete") {
				continue
			}
			resource := version.WithResource(kind.Name)
			objects, err := c.client.Resource(resource).List(ctx, metav1.ListOptions{LabelSelector: appLabel})
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", kind.Name, err)
			}
			for _, u := range objects.Items {
				if isMarked(&u) {
					found[ref{resource, u.GetNamespace(), u.GetName()}] = u.GetUID()
				}
			}
		}
	}
	return found, nil
}

// isMarked reports whether the object's marks are about itself.
func isMarked(u *unstructured.Unstructured) bool {
	name := u.GetName()
	if u.GetNamespace() != "" {
		name = u.GetNamespace() + "/" + name
	}
	return strings.HasSuffix(u.GetAnnotations()[identityAnnotation], u.GetKind()+" "+name)
}

// get reads an object; nil without an error is one that is not there.
func (c *cluster) get(ctx context.Context, r ref) (*unstructured.Unstructured, error) {
	u, err := c.client.Resource(r.GroupVersionResource).Namespace(r.namespace).Get(ctx, r.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return u, err
}

// fault says whether the cluster is away, and how many faults there were.
func (c *cluster) fault() (away bool, faults int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away, c.faults
}

// elapsed is the time since the soak began.
func (w *world) elapsed() time.Duration { return time.Since(w.began) }

// blame records a wrong outcome.
func (w *world) blame(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf("%s: ", w.elapsed().Round(time.Second))+fmt.Sprintf(format, args...))
}

// took records how long something took.
func (w *world) took(what string, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times[what] = append(w.times[what], timing{since.Sub(w.began), time.Since(since)})
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) hubRestarts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.restarts
}

// undisturbed reports whether the hub ran all the time since it had been
// restarted so often: the number is odd while a restart is under way.
func (w *world) undisturbed(restarts int) bool {
	return restarts%2 == 0 && restarts == w.hubRestarts()
}

// expect replaces what is expected of a field.
func (w *world) expect(e expectation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[strings.Join(append([]string{e.object.String(), e.field}, e.envs...), " ")] = e
}

// expectations returns what the cluster should show now.
func (w *world) expectations(c *cluster) (all []expectation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.expected {
		if e.concerns(c) {
			all = append(all, e)
		}
	}
	return all
}

// concerns reports whether the expectation is about the cluster: by its
// environment, and if it is about a field, by having the object at all.
func (e expectation) concerns(c *cluster) bool {
	for _, env := range e.envs {
		if env == c.env {
			return e.field == existence || c.has(e.object)
		}
	}
	return len(e.envs) == 0 && c.has(e.object)
}

func (c *cluster) has(r ref) bool {
	_, has := c.objects[r]
	return has
}

// unmet returns the first of the expectations that the cluster does not show, in
// words, or nothing.
func (c *cluster) unmet(ctx context.Context, expectations []expectation) string {
	for _, e := range expectations {
		u, err := c.get(ctx, e.object)
		if err != nil {
			return err.Error()
		}
		have := absent
		if u != nil {
			have = e.read(u)
		}
		if have != e.want {
			return fmt.Sprintf("%s of %s is %q, want %q of commit %d", e.field, e.object, have, e.want, e.commit)
		}
	}
	return ""
}

// poll asks until the condition says nothing more, and returns what it said last.
func poll(ctx context.Context, every, limit time.Duration, condition func(context.Context) string) string {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	last := "never asked"
	for {
		text := condition(ctx)
		if text == "" {
			return ""
		}
		if ctx.Err() == nil {
			last = text
		}
		if lab.Pause(ctx, every) != nil {
			return last
		}
	}
}
