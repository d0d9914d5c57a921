package v1alpha1

import (
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Default fills in what the document leaves open, with the Fleet's defaults, which are complete (see Fleet.Default).
func (d *Delivery) Default(defaults Defaults) {
	s := &d.Spec
	if s.Kind == "" {
		s.Kind = RenderAuto
	}
	if s.Prune == nil {
		s.Prune = new(*defaults.Prune)
	}
	if s.Drift.Mode == "" {
		s.Drift.Mode = defaults.Drift.Mode
	}
	s.Drift.Ignore = slices.Concat(defaults.Drift.Ignore, s.Drift.Ignore)
	if s.Deadline == nil {
		s.Deadline = new(*defaults.Deadline)
	}
	if s.Limits.NamespacedOnly == nil {
		s.Limits.NamespacedOnly = new(s.Source.Name != "")
	}
}

// Validate returns all that is wrong with the document.
func (d *Delivery) Validate() []Finding {
	var fs findings
	s := d.Spec
	fs.header(d.APIVersion, d.Kind, DeliveryKind, d.Metadata)
	s.Clusters.validate(&fs, "spec.clusters")
	s.Source.validate(&fs)
	d.validateRender(&fs)
	fs.matches("spec.namespace", s.Namespace, namespaceName, "the name of a namespace", `lower-case letters, digits and "-"`)
	fs.variables("spec.variables", s.Variables, true)
	fs.list("spec.dependsOn", s.DependsOn, documentName, "the name of a Delivery", nameHint)
	if i := slices.Index(s.DependsOn, d.Metadata.Name); i >= 0 && d.Metadata.Name != "" {
		fs.add(index("spec.dependsOn", i), "remove it", "a Delivery cannot wait for itself")
	}
	fs.matches("spec.confirmPrune", s.ConfirmPrune, heldDigest, "a digest", "nave plan prints the digest of what is held")
	for i, rule := range s.CreateOnly {
		item := index("spec.createOnly", i)
		fs.matches(item+".group", rule.Group, groupName, "the name of an API group", "such as apps")
		if rule.Kind == "" {
			fs.add(item+".kind", "such as Secret", "is missing")
		}
		fs.matches(item+".kind", rule.Kind, kindName, "a kind", "such as Secret")
		if strings.ContainsAny(rule.Name, "$*?[ ") {
			fs.add(item+".name", "leave it out for every object of the kind", "%q is not the name of one object", rule.Name)
		}
	}
	fs.drift("spec.drift", s.Drift)
	s.Dialect.validate(&fs, "spec.dialect")
	s.Limits.validate(&fs)
	if s.Source.Name != "" && len(s.Limits.Namespaces) == 0 {
		fs.add("spec.limits.namespaces", "list the namespaces that it may write to",
			"is missing: source %q is not the fleet repository", s.Source.Name)
	}
	fs.matches("spec.serviceAccount", s.ServiceAccount, serviceAccount, "a service account", "write NAMESPACE/NAME")
	fs.duration("spec.deadline", s.Deadline, metav1.Duration{Duration: time.Second})
	return fs
}

func (c ClusterSelection) validate(fs *findings, at string) {
	labels := c.Selector != nil && len(c.Selector.MatchLabels)+len(c.Selector.MatchExpressions) > 0
	switch {
	case c.All && (len(c.Names) > 0 || c.Selector != nil):
		fs.add(at, "remove all, or the rest", "all leaves nothing for names and selector to add")
	case c.All:
	case c.Selector != nil && !labels:
		fs.add(at+".selector", "write all: true in its place to select all clusters", "an empty selector selects nothing")
	case len(c.Names) == 0 && !labels:
		fs.add(at, "write all: true, names or a selector", "selects no cluster")
	}
	fs.list(at+".names", c.Names, documentName, "the name of a cluster", nameHint)
	if c.Selector != nil {
		fs.selector(at+".selector", c.Selector)
	}
}

func (s DeliverySource) validate(fs *findings) {
	const at = "spec.source"
	fs.matches(at+".name", s.Name, documentName, "the name of a source", nameHint)
	if s.Chart != "" || s.Version != "" {
		s.validateChart(fs, at)
		return
	}
	switch message := wrongPath(s.Path); {
	case s.Path == "":
		fs.add(at+".path", `write the path of a directory, "." for the top of the repository, or chart and version`, "is missing")
	case CheckTemplate(s.Path) != nil:
		fs.template(at+".path", s.Path)
	case message != "":
		fs.add(at+".path", "write a path relative to the top of the repository", "%s", message)
	}
	if s.Revision != nil {
		fs.revision(at+".revision", *s.Revision, true)
	}
}

// validateChart checks a chart of a source of charts.
func (s DeliverySource) validateChart(fs *findings, at string) {
	switch {
	case s.Chart == "":
		fs.add(at+".chart", "write the name of a chart of the source", "is missing beside version")
	case CheckTemplate(s.Chart) != nil:
		fs.template(at+".chart", s.Chart)
	case !strings.Contains(s.Chart, "${"):
		fs.matches(at+".chart", s.Chart, chartName, "the name of a chart", "such as redis")
	}
	switch {
	case s.Version == "":
		fs.add(at+".version", `such as 18.1.2 or ~18.1; "*" follows the newest`, "is missing beside chart")
	default:
		fs.template(at+".version", s.Version)
	}
	if s.Name == "" {
		fs.add(at+".name", "write a path to deliver a chart that is in the fleet repository", "is missing: chart names one of a source of the Fleet")
	}
	if s.Path != "" {
		fs.add(at+".path", "remove path, or chart and version", "does not go with chart")
	}
	if s.Revision != nil {
		fs.add(at+".revision", "use version", "does not go with chart")
	}
}

// validateRender checks how files become objects.
func (d *Delivery) validateRender(fs *findings) {
	s := d.Spec
	fs.enum("spec.kind", string(s.Kind), string(RenderAuto), string(RenderPlain), string(RenderKustomize), string(RenderHelm), string(RenderFlux))
	chart := s.Kind == RenderHelm || s.Kind == RenderAuto || s.Kind == ""
	if s.Source.Chart != "" && !chart {
		fs.add("spec.kind", "remove it, or write kind: helm", "a chart cannot be rendered as %s", s.Kind)
	}
	if s.Helm != nil && !chart {
		fs.add("spec.helm", "remove it, or write kind: helm", "is only for charts, and kind is %s", s.Kind)
	}
	release := ""
	if s.Helm != nil {
		release = s.Helm.ReleaseName
		fs.matches("spec.helm.releaseName", release, releaseName, "the name of a release", `lower-case letters, digits and "-", at most 53 characters`)
		for i, file := range s.Helm.ValueFiles {
			at := index("spec.helm.valueFiles", i)
			if file == "" {
				fs.add(at, "write a path", "is empty")
			}
			fs.template(at, file)
		}
		fs.templates("spec.helm.values", s.Helm.Values)
		s.validateRelease(fs)
	}
	if s.Kind == RenderHelm && release == "" && documentName.MatchString(d.Metadata.Name) && !releaseName.MatchString(d.Metadata.Name) {
		fs.add("spec.helm.releaseName", `lower-case letters, digits and "-", at most 53 characters`,
			"is needed: %q cannot be the name of a release", d.Metadata.Name)
	}
	if len(s.Variables) > 0 && !s.Substitute {
		fs.add("spec.variables", "write substitute: true", "variables have no effect without substitute")
	}
}

// validateRelease checks how a release is kept, and that nothing is said which has no effect on one.
func (s DeliverySpec) validateRelease(fs *findings) {
	const at = "spec.helm.release"
	r := s.Helm.Release
	if r == nil {
		return
	}
	fs.enum(at+".crds", string(r.CRDs), string(CRDsCreate), string(CRDsReplace), string(CRDsSkip))
	fs.duration(at+".timeout", r.Timeout, metav1.Duration{Duration: time.Second})
	if r.Retries < 0 {
		fs.add(at+".retries", "write how often, or remove it", "is %d, less than none", r.Retries)
	}
	if r.History < 0 {
		fs.add(at+".history", "write how many, or remove it", "is %d, less than none", r.History)
	}
	if s.Helm.SkipCRDs && r.CRDs != "" && r.CRDs != CRDsSkip {
		fs.add(at+".crds", "remove it, or skipCRDs", "does not go with skipCRDs")
	}
	if s.Substitute {
		fs.add("spec.substitute", "write variables into helm.values", "does not go with a release, which is rendered on its cluster")
	}
	if len(s.CreateOnly) > 0 {
		fs.add("spec.createOnly", "remove it: a release is rendered when it changes, and not again", "does not go with a release")
	}
}

// templates checks all texts of free-form values.
func (fs *findings) templates(at string, value any) {
	switch value := value.(type) {
	case string:
		fs.template(at, value)
	case []any:
		for i, item := range value {
			fs.templates(index(at, i), item)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			fs.templates(Entry(at, key), value[key])
		}
	}
}

func (l Limits) validate(fs *findings) {
	const at = "spec.limits"
	fs.list(at+".namespaces", l.Namespaces, namespaceGlob, "the name of a namespace", globHint)
	fs.list(at+".clusters", l.Clusters, documentGlob, "the name of a cluster", globHint)
	for i, kind := range l.Kinds {
		item := index(at+".kinds", i)
		switch {
		case !kindPattern.MatchString(kind):
			fs.add(item, "write KIND or KIND.GROUP, such as Deployment.apps", "%q is not a kind", kind)
		case slices.Index(l.Kinds, kind) < i:
			fs.add(item, "remove one of them", "%q is listed twice", kind)
		}
	}
}
