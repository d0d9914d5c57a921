package flux

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/object"
)

// reading is the reading of one object.
type reading struct {
	*wanted
	*question
	problems []error
}

// refuse notes that a field cannot be done; hint may be empty.
func (r *reading) refuse(field, hint, format string, args ...any) {
	text := field + ": " + fmt.Sprintf(format, args...)
	if hint != "" {
		text += "\nhint: " + hint
	}
	r.problems = append(r.problems, errors.New(text))
}

func (r *reading) note(field, format string, args ...any) {
	r.warnings = append(r.warnings, field+": "+fmt.Sprintf(format, args...))
}

// impersonate narrows the options to a service account that the object names. Below one
// there is no other.
func (w *wanted) impersonate() error {
	name := w.spec.ServiceAccountName
	if name == "" {
		return nil
	}
	account := w.id.Namespace + "/" + name
	if above := w.options.ServiceAccount; above != "" && above != account {
		return fmt.Errorf("spec.serviceAccountName: %q is another service account than %s, which counts for all that comes of app %q", account, above, w.App)
	}
	w.options.ServiceAccount = account
	return nil
}

// read reads a Kustomization, or a HelmRelease, as an app.
func (q *question) read(w *wanted) error {
	r := &reading{wanted: w, question: q}
	w.cluster = r.target()
	w.child = app.Child{Name: w.name, Cluster: w.cluster, Options: r.keeping()}
	w.child.Options.Lineage.Delivery, w.child.Options.Lineage.Parent = q.Delivery, w.App
	if w.release != nil {
		r.releaseOrigin()
	} else {
		r.origin()
		r.checks()
	}
	r.expressions()
	r.refused()
	if key := q.key(w.name); key != w.name && !q.selves[key] {
		r.refuse("metadata.name", "give one of them another name", "Delivery %q, or an app of it, has the same", q.Delivery)
	}
	return errors.Join(r.problems...)
}

// target returns the member that the app goes to.
func (r *reading) target() string {
	k := r.spec.KubeConfig
	if k == nil {
		if r.Cluster != "" {
			return r.Cluster
		}
		if above := r.question.wanted[r.App]; above != nil {
			return above.cluster // where its object would be
		}
		if m := r.member("in-cluster"); m != nil {
			return r.selected("spec.kubeConfig", m)
		}
		r.refuse("spec.kubeConfig", "let the Delivery read these objects in the context of each cluster, or let one of its clusters have the alias in-cluster", "the cluster of Flux is meant, and there is none")
		return ""
	}
	ref, field := k.SecretRef, "spec.kubeConfig.secretRef.name"
	if ref == nil {
		ref, field = k.ConfigMapRef, "spec.kubeConfig.configMapRef.name"
	}
	if ref == nil || ref.Name == "" {
		r.refuse("spec.kubeConfig", "", "it names no cluster")
		return ""
	}
	m := r.member(ref.Name)
	if m == nil {
		r.refuse(field, "make it an alias of the cluster that is meant", "no cluster of the fleet is called %q", ref.Name)
		return ""
	}
	return r.selected(field, m)
}

// selected returns a member's name, if the Delivery is for it.
func (r *reading) selected(field string, m *asking.Member) string {
	switch {
	case r.Cluster != "" && m.Name != r.Cluster:
		r.refuse(field, "let the Delivery read these objects in the context of the fleet", "%q is another cluster than the one whose objects these are", m.Name)
	case !m.Selected:
		r.refuse(field, "only clusters that it selects get anything of it", "Delivery %q is not for cluster %q", r.Delivery, m.Name)
	}
	return m.Name
}

// member finds a cluster by its name, or else by an alias.
func (q *question) member(name string) *asking.Member {
	for i := range q.Members {
		if q.Members[i].Name == name {
			return &q.Members[i]
		}
	}
	i := slices.IndexFunc(q.Members, func(m asking.Member) bool { return slices.Contains(m.Aliases, name) })
	if i < 0 {
		return nil
	}
	return &q.Members[i]
}

// keeping reads how the app is kept: what its Delivery says, narrowed.
func (r *reading) keeping() app.Options {
	of, spec := r.options, r.spec
	o := app.Options{
		Prune: of.Prune && spec.Prune, CorrectDrift: of.CorrectDrift,
		IgnoreFields: of.IgnoreFields, CreateOnly: of.CreateOnly, ConfirmPrune: of.ConfirmPrune, PruneFirst: of.PruneFirst,
		ServiceAccount: of.ServiceAccount, Limits: of.Limits, Project: of.Project, HoldPrunes: of.HoldPrunes,
		Replace: of.Replace || spec.Force, Suspend: of.Suspend || spec.Suspend,
		Deadline: r.duration("spec.timeout", spec.Timeout),
	}
	o.Deadline = cmp.Or(o.Deadline, of.Deadline)
	if r.Manifest.GetAnnotations()[kustomizeGroup+"/reconcile"] == "disabled" {
		o.Suspend = true
	}
	if most := r.duration("spec.retryInterval", spec.RetryInterval); most > 0 {
		o.Retry = &app.Retry{Limit: -1, Most: most}
	}
	switch spec.DeletionPolicy {
	case "", "MirrorPrune":
		o.Lineage.Cascade = spec.Prune && !spec.Suspend
	case "Delete", "WaitForTermination":
		o.Lineage.Cascade = !spec.Suspend
	case "Orphan":
	default:
		r.refuse("spec.deletionPolicy", "MirrorPrune, Delete, WaitForTermination or Orphan", "%q is no policy", spec.DeletionPolicy)
	}
	for i, rule := range spec.Ignore {
		o.Differences = append(o.Differences, r.difference(rule, fmt.Sprintf("spec.ignore[%d]", i)))
		o.LeaveDifferences = true
	}
	return o
}

// duration reads one; empty is none.
func (r *reading) duration(field, text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 365*24*time.Hour {
		r.refuse(field, "such as 30s, 5m or 1h30m", "%q is no duration", text)
	}
	return d
}

// plainText is what a pattern may consist of that stands for itself.
var plainText = regexp.MustCompile(`^[A-Za-z0-9_/:-]*(\.[A-Za-z0-9_/:-]+)*$`)

// difference reads what is left to others.
func (r *reading) difference(rule ignoreRule, at string) app.Difference {
	d := app.Difference{Group: "*", Kind: "*", Pointers: rule.Paths}
	if len(rule.Paths) == 0 {
		r.refuse(at+".paths", "", "it names no fields")
	}
	for i, pointer := range rule.Paths {
		if !strings.HasPrefix(pointer, "/") {
			r.refuse(fmt.Sprintf("%s.paths[%d]", at, i), "it begins with a slash, such as /spec/replicas", "%q is no JSON pointer", pointer)
		}
	}
	t := rule.Target
	if t == nil {
		return d
	}
	if t.LabelSelector != "" || t.AnnotationSelector != "" {
		r.refuse(at+".target", "name kinds and names", "objects are not selected by labels or annotations here")
	}
	for _, part := range []struct{ field, text string }{{"group", t.Group}, {"kind", t.Kind}, {"name", t.Name}, {"namespace", t.Namespace}} {
		if !plainText.MatchString(part.text) {
			r.refuse(at+".target."+part.field, "use several entries", "patterns are not read here, such as %q", part.text)
		}
	}
	d.Group, d.Kind = cmp.Or(t.Group, "*"), cmp.Or(t.Kind, "*")
	d.Name, d.Namespace = t.Name, t.Namespace
	return d
}

// origin reads where the files are, and what is made of them.
func (r *reading) origin() {
	from, err := r.filesOf(r.spec.SourceRef, r.id.Namespace)
	if err != nil {
		r.problems = append(r.problems, fmt.Errorf("spec.sourceRef: %w", err))
		return
	}
	if from.suspend {
		r.note("spec.sourceRef", "its source is suspended, and so is this")
		r.child.Options.Suspend = true
	}
	if leads(r.spec.Path) && !strings.HasPrefix(r.spec.Path, "/") {
		r.refuse("spec.path", "", "%q leads out of the source", r.spec.Path)
	}
	from.Path = cmp.Or(strings.TrimPrefix(path.Clean("/"+r.spec.Path), "/"), ".")
	from.Render = r.render()
	from.Render.Ignore = from.ignore
	r.child.Origins = []app.Origin{from.Origin}
	if len(from.Layers) == 0 && from.Artifact == nil && from.Path == path.Clean(r.Request.Path) && (from.Origin.Own || r.Request.Own != nil && r.Request.Own(from.Repository, from.Revision)) {
		r.self()
	}
}

// self notes that the Kustomization is the Delivery itself, seen from inside.
func (r *reading) self() {
	if r.selves[r.key(r.name)] = true; r.name != r.Delivery {
		r.result.Selves[r.cluster] = append(r.result.Selves[r.cluster], r.name)
	}
	plain := app.Render{Kind: app.Flux, Ignore: r.child.Origins[0].Render.Ignore}
	if got := r.child.Origins[0].Render; fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", plain) {
		r.refuse("spec", "write these options into a kustomization.yaml, or give the Delivery another path",
			"it is what Delivery %q is, which does not have its patches, images, components, names, metadata or variables", r.Delivery)
	}
}

// render reads what is made of the files.
func (r *reading) render() app.Render {
	spec := r.spec
	out := app.Render{Kind: app.Flux}
	if m := spec.CommonMetadata; m != nil {
		out.CommonMetadata = app.Metadata{Labels: m.Labels, Annotations: m.Annotations}
	}
	k := &app.KustomizeOptions{
		NamePrefix: spec.NamePrefix, NameSuffix: spec.NameSuffix, Namespace: spec.TargetNamespace,
		Components: spec.Components, IgnoreMissingComponents: spec.IgnoreMissingComponents,
	}
	for i, name := range spec.Components {
		if strings.Contains(name, "://") || strings.HasPrefix(name, "/") {
			r.refuse(fmt.Sprintf("spec.components[%d]", i), "", "%q is no path in the source", name)
		}
	}
	for i, option := range spec.BuildMetadata {
		if option != "originAnnotations" && option != "transformerAnnotations" {
			r.refuse(fmt.Sprintf("spec.buildMetadata[%d]", i), "originAnnotations or transformerAnnotations", "%q is not known", option)
		}
		k.BuildMetadata = append(k.BuildMetadata, option)
	}
	for _, p := range spec.Patches {
		k.Patches = append(k.Patches, p.read())
	}
	for _, i := range spec.Images {
		k.Images = append(k.Images, i.text())
	}
	if fmt.Sprintf("%v", *k) != fmt.Sprintf("%v", app.KustomizeOptions{IgnoreMissingComponents: k.IgnoreMissingComponents}) {
		out.Kustomize = k
	}
	if spec.PostBuild != nil {
		r.substitution(*spec.PostBuild, &out)
	}
	return out
}

// read is a patch as the options of a kustomization have it.
func (p patch) read() app.KustomizePatch {
	out := app.KustomizePatch{Patch: p.Patch}
	if p.Target != nil {
		out.Target = p.Target.read()
	}
	return out
}

func (s selector) read() *app.Selector {
	return &app.Selector{
		Group: s.Group, Version: s.Version, Kind: s.Kind, Name: s.Name, Namespace: s.Namespace,
		LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector,
	}
}

// text is an image as the options of a kustomization have it: what is not stated stays.
func (i image) text() string {
	version := ""
	switch {
	case i.Digest != "":
		version = "@" + i.Digest
	case i.NewTag != "":
		version = ":" + i.NewTag
	default:
		version = ":*@*"
	}
	return i.Name + "=" + cmp.Or(i.NewName, "*") + version
}

// checks reads what health is looked at.
func (r *reading) checks() {
	if r.spec.Wait {
		return // all that it has, as always here
	}
	for _, c := range r.spec.HealthChecks {
		gv, err := schema.ParseGroupVersion(c.APIVersion)
		if err != nil {
			r.refuse("spec.healthChecks", "", "%q is no apiVersion", c.APIVersion)
			continue
		}
		id := object.ID{Group: gv.Group, Kind: c.Kind, Namespace: cmp.Or(c.Namespace, r.id.Namespace), Name: c.Name}
		if id.Group == kustomizeGroup || id.Group == helmGroup {
			continue // which other apps wait for with this one
		}
		if clusterWide[id.GroupKind()] {
			id.Namespace = ""
		}
		r.child.Expects = append(r.child.Expects, id)
	}
}

// clusterWide are kinds without namespaces that a health check is likely to name.
var clusterWide = map[schema.GroupKind]bool{
	{Kind: "Namespace"}: true, {Kind: "Node"}: true, {Kind: "PersistentVolume"}: true,
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: true,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}:             true,
	{Group: "cert-manager.io", Kind: "ClusterIssuer"}:                 true,
}

// refused says what else cannot be done.
func (r *reading) refused() {
	spec := r.spec
	if len(spec.PatchesStrategicMerge)+len(spec.PatchesJSON6902) > 0 {
		r.refuse("spec.patchesStrategicMerge", "use spec.patches, as v1 of the kind wants", "patches of former versions are not read")
	}
	if d := spec.Decryption; d != nil {
		switch {
		case d.Provider != "sops":
			r.refuse("spec.decryption.provider", "sops", "%q is not known", d.Provider)
		case d.ServiceAccountName != "":
			r.refuse("spec.decryption.serviceAccountName", "encrypt for age keys: docs/secrets.md", "key services of clouds are not used")
		}
	}
}
