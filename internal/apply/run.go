package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/apply/difference"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// mode is what a run is for.
type mode int

const (
	syncing   mode = iota // bring to what Git says
	repairing             // undo what others changed
	showing               // say what syncing would do
)

// run is one call of Sync, Repair or Diff.
type run struct {
	client *Client
	target Target
	mode   mode
	owner  object.Owner
	user   string // impersonated for writes; empty for the client's own
	// propagation is how deletions of what Git no longer has propagate.
	propagation metav1.DeletionPropagation
	rules       []fieldRule
	// differences are those that do not count.
	differences difference.Differences
	items       []*item
	// definitions are the bundle's own, by the kind that they define.
	definitions map[schema.GroupKind]*item
	namespaces  map[string]*item     // the bundle's own, by name
	scaled      map[object.ID]string // workloads that the bundle's own autoscalers target
	hooks       *hook.Runner
	applied     []stage // so far
	going       int     // objects of the app that are being deleted
	waits       []string
	result      Result
	trusting    bool   // baselines count although nothing is written
	blocked     string // what all of the app waits for
	paced       bool   // objects wait for others to be healthy

	mu      sync.Mutex
	failing bool  // something that is waited for has failed
	fatal   error // why nothing more can be done
}

// fieldRule is one of the target's IgnoreFields, read.
type fieldRule struct {
	group, kind, name string
	paths             []string // as written
	patterns          []ownership.Pattern
}

// item is one object of the bundle on its way to the cluster.
type item struct {
	source *unstructured.Unstructured // as the bundle has it
	wave   int

	id       object.ID
	resource cluster.Resource
	body     *unstructured.Unstructured // what to apply, in plaintext, marks and all; nil if it is encrypted and not pending, and once it is settled
	encoded  []byte
	digest   string
	rules    ownership.Rules
	ignored  ownership.Ignored
	known    *Baseline
	err      error // why it could not be prepared

	refused  error  // why variables are not replaced in it
	secret   bool   // values of Secrets are in it, whatever its kind
	gated    string // what it waits for outside of the app, as far as Git has changed it
	applied  bool   // it was, and yet that is not all
	surprise bool   // it existed when it was believed not to
	optional bool   // a namespace that is made only if nobody has it
	// described is an optional namespace with metadata that one without an owner gets
	// too, besides what people put there.
	described bool
	once      bool // it is created, and then left as it is
	entry     change.Entry
	live      *unstructured.Unstructured // as last seen in this run, for as long as it matters
	baseline  *Baseline
}

// ok reports whether the object is as it should be.
func (it *item) ok() bool { return it.baseline != nil }

// namespaceKind and definitionKind are the kinds that others depend on.
var (
	namespaceKind  = schema.GroupKind{Kind: "Namespace"}
	definitionKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
)

// begin reads a target into a run.
func (c *Client) begin(ctx context.Context, t Target, m mode) (*run, error) {
	r := &run{client: c, target: t, mode: m, owner: c.owner(t.App), definitions: map[schema.GroupKind]*item{}, namespaces: map[string]*item{}}
	r.result.Baselines = map[object.ID]Baseline{}
	var err error
	if r.user, err = userOf(t.Options.ServiceAccount); err != nil {
		return nil, fmt.Errorf("reading the service account of the app %q: %w", t.App, err)
	}
	switch t.Options.Propagation {
	case "":
	case "foreground":
		r.propagation = metav1.DeletePropagationForeground
	case "background":
		r.propagation = metav1.DeletePropagationBackground
	case "orphan":
		r.propagation = metav1.DeletePropagationOrphan
	default:
		return nil, fmt.Errorf("reading the propagation policy %q of the app %q: want foreground, background or orphan", t.Options.Propagation, t.App)
	}
	for _, rule := range t.Options.IgnoreFields {
		read := fieldRule{group: rule.Group, kind: rule.Kind, name: rule.Name, paths: rule.Paths}
		for _, text := range rule.Paths {
			pattern, err := ownership.ParsePattern(text)
			if err != nil {
				return nil, fmt.Errorf("reading ignoreFields of the app %q: %w", t.App, err)
			}
			read.patterns = append(read.patterns, pattern)
		}
		r.rules = append(r.rules, read)
	}
	if r.differences, err = difference.Read(t.Options.Differences); err != nil {
		return nil, fmt.Errorf("reading the differences that the app %q ignores: %w", t.App, err)
	}
	if r.hooks, err = r.runner(); err != nil {
		return nil, err
	}
	objects := t.Bundle.Objects
	if t.Removal {
		objects = nil
	}
	if err := r.fill(ctx, objects); err != nil {
		return nil, err
	}
	if t.Options.CreateNamespace && !t.Removal {
		r.addNamespaces()
	}
	for _, it := range r.items {
		switch it.id.GroupKind() {
		case namespaceKind:
			r.namespaces[it.id.Name] = it
		case definitionKind:
			group, _, _ := unstructured.NestedString(it.source.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(it.source.Object, "spec", "names", "kind")
			r.definitions[schema.GroupKind{Group: group, Kind: kind}] = it
		}
	}
	r.paced = len(t.Bundle.Hooks) > 0 || slices.ContainsFunc(r.items, func(it *item) bool { return it.wave != 0 })
	r.gateAll()
	return r, nil
}

// addNamespaces adds the namespaces of the app's objects and hooks that no app has
// in Git.
func (r *run) addNamespaces() {
	seen := map[string]bool{"": true}
	for _, it := range r.items {
		if it.id.GroupKind() == namespaceKind {
			seen[it.id.Name] = true
		}
	}
	var names []string
	for _, it := range r.items {
		names = append(names, it.id.Namespace)
	}
	for _, name := range append(names, r.hooks.Namespaces()...) {
		if seen[name] {
			continue
		}
		seen[name] = true
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
		}}
		described := r.target.Options.NamespaceMetadata
		u.SetLabels(described.Labels)
		u.SetAnnotations(described.Annotations)
		if _, claimed := r.claimant(object.Of(u)); !claimed {
			r.items = append(r.items, &item{
				source: u, id: object.Of(u), optional: true,
				described: len(described.Labels)+len(described.Annotations) > 0,
			})
		}
	}
}

// prepare resolves an item's identity and makes what is to be applied, as far as
// that can be told without the live object.
func (r *run) prepare(ctx context.Context, it *item) {
	it.err = nil
	it.resource, it.err = r.client.cluster.Find(ctx, it.source.GroupVersionKind())
	if it.err != nil {
		return
	}
	body := it.source.DeepCopy()
	switch {
	case !it.resource.Namespaced:
		body.SetNamespace("")
	case body.GetNamespace() == "":
		it.err = fmt.Errorf("it states no namespace, and %s needs one", it.id.Kind)
		return
	}
	it.id = object.Of(body)
	if it.err = it.refused; it.err != nil {
		return
	}
	it.rules = ownership.Rules{Former: r.client.options.FormerManagers}
	if it.optional || object.MergeAsked(it.source) {
		it.rules.Former = nil // what people put on a namespace is not for Git to say, or its author says so
	}
	for _, rule := range r.rules {
		if rule.applies(it.id) {
			it.rules.Left = append(it.rules.Left, rule.patterns...)
		}
	}
	it.ignored = r.differences.Of(ctx, it.id)
	if known, ok := r.target.Known[it.id]; ok {
		it.known = &known
	}
	if it.once = r.target.Options.CreateOnly.Match(it.id) || object.OnceAsked(it.source); it.once {
		// Its content may be another at each render and is not looked at again.
		it.digest = object.Digest([]byte("create only"), []byte(r.owner.Fleet), []byte(r.owner.App))
	}
	sealed := object.Encrypted(body)
	if sealed {
		if !it.once {
			it.digest, it.err = r.sealedDigest(it, body)
		}
		if it.err != nil || r.mode == syncing && !it.pending() {
			return
		}
		if body, it.err = r.decrypt(body); it.err != nil {
			return
		}
	}
	if err := object.PlainData(body); err != nil {
		it.err = err
		return
	}
	if _, aggregated := body.Object["aggregationRule"]; aggregated && it.id.Kind == "ClusterRole" {
		delete(body.Object, "rules") // a controller fills them in
	}
	for _, pattern := range it.rules.Left {
		pattern.Remove(body.Object)
	}
	if _, ok, _ := unstructured.NestedFieldNoCopy(body.Object, "spec", "replicas"); ok {
		scaler, err := r.scaler(ctx, it.id)
		if err != nil {
			it.err = err
			return
		}
		if scaler != "" {
			unstructured.RemoveNestedField(body.Object, "spec", "replicas")
		}
	}
	object.Mark(body, r.owner, it.id, false)
	data, err := object.Canonical(body)
	if err != nil {
		it.err = err
		return
	}
	it.body, it.encoded = body, data
	if !sealed && !it.once {
		if data, it.err = it.counted(body); it.err != nil {
			return
		}
		if it.secret { // or the value could be guessed from it
			data = append(slices.Clone(r.client.options.DigestKey), data...)
		}
		it.digest = object.Digest(data)
	}
}

// scaler names the autoscaler that targets a workload, in the bundle or in the
// cluster, or nothing.
func (r *run) scaler(ctx context.Context, workload object.ID) (string, error) {
	if scaler, ok := r.scaled[workload]; ok {
		return scaler, nil
	}
	targets, err := r.client.autoscalers.Targets(ctx)
	return targets[workload], err
}

// applies reports whether a rule is about an object.
func (f fieldRule) applies(id object.ID) bool {
	return (f.kind == "*" || f.kind == id.Kind) && (f.group == "" || f.group == id.Group) && (f.name == "" || f.name == id.Name)
}

// claimant names another app that has the object in Git.
func (r *run) claimant(id object.ID) (string, bool) {
	if r.target.ClaimedBy == nil {
		return "", false
	}
	return r.target.ClaimedBy(id)
}

// each runs a function for the items at once, as many as the client allows,
// until something happens that would befall the others too.
func (r *run) each(items []*item, work func(*item)) {
	var group sync.WaitGroup
	places := make(chan struct{}, r.client.options.Concurrency)
	for _, it := range items {
		if r.stopped() {
			break
		}
		places <- struct{}{}
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() { <-places }()
			if !r.stopped() {
				work(it)
			}
		}()
	}
	group.Wait()
}

func (r *run) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fatal != nil
}

// stop ends the run if an error concerns the cluster and not one object.
func (r *run) stop(ctx context.Context, err error) bool {
	var unreachable *cluster.UnreachableError
	if ctx.Err() == nil && !errors.As(err, &unreachable) && !apierrors.IsUnauthorized(err) {
		return false
	}
	r.halt(err)
	return true
}

// halt has nothing more be done.
func (r *run) halt(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatal == nil {
		r.fatal = err
	}
}

// wait notes what must happen before the rest can be done.
func (r *run) wait(format string, values ...any) string {
	text := fmt.Sprintf(format, values...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.waits, text) {
		r.waits = append(r.waits, text)
	}
	return text
}

// finish collects what became of the items.
func (r *run) finish() (Result, error) {
	kinds := map[schema.GroupKind]bool{}
	for _, it := range r.items {
		if it.entry.Action != "" {
			it.entry.Object = it.id
			r.result.Changes = append(r.result.Changes, it.entry)
		}
		if it.baseline != nil {
			r.result.Baselines[it.id] = *it.baseline
		}
		if !it.optional || it.baseline != nil {
			kinds[it.id.GroupKind()] = true
		}
	}
	for _, entry := range r.result.Changes {
		if entry.Action != change.Deleted {
			kinds[entry.Object.GroupKind()] = true
		}
	}
	for kind := range kinds {
		r.result.Kinds = append(r.result.Kinds, kind)
	}
	slices.SortFunc(r.result.Kinds, func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) })
	r.result.Changes.Sort()
	slices.Sort(r.waits)
	r.result.WaitsFor = strings.Join(r.waits, "; ")
	if r.fatal != nil {
		return r.result, fmt.Errorf("applying the app %q: %w", r.target.App, r.fatal)
	}
	return r.result, nil
}
