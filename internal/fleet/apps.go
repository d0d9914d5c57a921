package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/strictyaml"
)

// Resolve returns the commit that a revision of a source stands for. The source is empty for the fleet repository; the
// revision is as v1alpha1.Revision prints it, such as "branch:main", and empty for the commit of the fleet repository
// that the documents are from.
type Resolve func(source, revision string) (commit string, err error)

// Placement is what the documents say should be on one cluster.
type Placement struct {
	// Apps that can be told, by name.
	Apps []app.Spec
	// Failed are the apps that are or may be on the cluster and cannot be told, and why. What was last accepted of them
	// stays in force.
	Failed map[string]error
	// Incomplete says why there may be other apps on the cluster, if so. Then no app may be taken for removed.
	Incomplete error
}

// Apps returns what should be on a cluster. An app has the name of its Delivery. A cluster that is suspended, or whose
// time is over, has its apps all the same: whether to write is for the caller to see. A cluster that is not a member is
// an error.
func (f *Fleet) Apps(cluster string, resolve Resolve) (Placement, error) {
	placement := Placement{Failed: map[string]error{}, Incomplete: f.Incomplete}
	c, err := f.member(cluster)
	if err != nil {
		return Placement{Incomplete: f.Incomplete}, err
	}
	if err := c.problems.Err(); err != nil {
		placement.Incomplete = errors.Join(f.Incomplete, fmt.Errorf("cluster %q is in error: %w", cluster, err))
	}
	if !f.usable || len(c.problems) > 0 {
		return placement, nil
	}
	for _, name := range f.names {
		d := f.deliveries[name]
		if !d.isOn(cluster) {
			continue
		}
		spec, err := f.spec(d, c, resolve)
		if err != nil {
			placement.Failed[name] = err
			continue
		}
		placement.Apps = append(placement.Apps, spec)
	}
	return placement, nil
}

// spec returns a Delivery's app for a cluster.
func (f *Fleet) spec(d *delivery, c *cluster, resolve Resolve) (app.Spec, error) {
	if err := d.failure(c.Metadata.Name); err != nil {
		return app.Spec{}, err
	}
	filled, _ := d.fill(c.context()) // Load has kept what there was to say
	s := d.Spec
	revision := filled.revision
	if s.Source.Name != "" && s.Source.Revision == nil && s.Source.Chart == "" {
		revision = f.sources[s.Source.Name].Revision.String()
	}
	commit, err := resolve(s.Source.Name, revision)
	if err != nil {
		return app.Spec{}, fmt.Errorf("resolving %s: %w", describe(s.Source.Name, revision), err)
	}
	spec := app.Spec{
		Name:     d.Metadata.Name,
		Delivery: d.Metadata.Name,
		Options:  d.options(c),
		Dialect:  f.dialect(d, c),
	}
	spec.Options.Dialects = spec.Dialect.Applied
	render := app.Render{Namespace: s.Namespace, Substitute: s.Substitute, Helm: filled.helm}
	if len(spec.Options.CreateOnly) > 0 {
		render.CreateOnly, render.Cluster = spec.Options.CreateOnly, c.Metadata.Name
	}
	if s.Kind != v1alpha1.RenderAuto {
		render.Kind = app.Kind(s.Kind)
	}
	if s.Helm != nil && s.Helm.Release != nil {
		render.Release = release(*s.Helm.Release, spec.Options)
	}
	if s.Substitute {
		render.Variables = map[string]string{}
		maps.Copy(render.Variables, c.Spec.Variables)
		maps.Copy(render.Variables, filled.variables)
	}
	spec.Parts = []app.Part{{Source: app.Source{Repository: s.Source.Name, Commit: commit, Path: filled.path, Chart: filled.chart}, Render: render}}
	return spec, nil
}

// dialect says what becomes of the Delivery's objects that ask for apps.
func (f *Fleet) dialect(d *delivery, c *cluster) app.Dialect {
	said := f.dialectOn(d, c)
	if said.Mode == v1alpha1.DialectApply {
		return app.Dialect{Applied: true}
	}
	if said.Context != v1alpha1.DialectFleet {
		return app.Dialect{}
	}
	dialect := app.Dialect{Fleet: true}
	for _, name := range f.Readers(d.Metadata.Name) {
		if slices.ContainsFunc(f.clusters[name].Spec.Aliases, isInCluster) {
			dialect.InCluster = name
		}
	}
	return dialect
}

func (f *Fleet) dialectOn(d *delivery, c *cluster) v1alpha1.Dialect {
	return d.Spec.Dialect.Or(c.Spec.Dialect).Or(f.defaultDialect)
}

// isInCluster reports whether an alias is what Argo CD calls the cluster that it is on.
func isInCluster(alias string) bool {
	return alias == "in-cluster" || strings.TrimRight(alias, "/") == "https://kubernetes.default.svc"
}

// Readers returns the clusters that a Delivery selects and on which its objects that ask for apps are read in the
// context of the fleet, sorted: those may be destinations.
func (f *Fleet) Readers(delivery string) []string {
	d := f.deliveries[delivery]
	if d == nil {
		return nil
	}
	var names []string
	for name, c := range f.clusters {
		said := f.dialectOn(d, c)
		if d.isOn(name) && said.Mode == v1alpha1.DialectInterpret && said.Context == v1alpha1.DialectFleet {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// describe names a revision of a source for people.
func describe(source, revision string) string {
	if source == "" {
		source = "the fleet repository"
	} else {
		source = strconv.Quote(source)
	}
	if revision == "" {
		return source
	}
	return revision + " of " + source
}

// options says how the app is kept on the cluster.
func (d *delivery) options(c *cluster) app.Options {
	s := d.Spec
	options := app.Options{
		Prune:           *s.Prune,
		CorrectDrift:    s.Drift.Mode == v1alpha1.DriftCorrect,
		ConfirmPrune:    s.ConfirmPrune,
		Replace:         s.Replace,
		PruneFirst:      s.PruneFirst,
		ServiceAccount:  s.ServiceAccount,
		DependsOn:       slices.Sorted(slices.Values(s.DependsOn)),
		Deadline:        s.Deadline.Duration,
		Suspend:         s.Suspend || c.Spec.Suspend,
		CreateNamespace: s.CreateNamespace,
		Limits: app.Limits{
			Namespaces:     slices.Clone(s.Limits.Namespaces),
			Kinds:          slices.Clone(s.Limits.Kinds),
			NamespacedOnly: *s.Limits.NamespacedOnly,
		},
	}
	for _, rule := range s.CreateOnly {
		options.CreateOnly = append(options.CreateOnly, app.ObjectRule(rule))
	}
	for _, rule := range s.Drift.Ignore {
		options.IgnoreFields = append(options.IgnoreFields,
			app.FieldRule{Group: rule.Group, Kind: rule.Kind, Name: rule.Name, Paths: slices.Clone(rule.Paths)})
	}
	return options
}

// filled is what the templates of a Delivery become for one cluster.
type filled struct {
	path      string
	chart     string
	revision  string
	variables map[string]string
	helm      app.HelmOptions
}

// fill fills in the templates of a Delivery, or says what is in the way.
func (d *delivery) fill(context v1alpha1.Context) (filled, []obstacle) {
	var out filled
	var found []obstacle
	check := func(field string, err error) {
		if err == nil {
			return
		}
		o := obstacle{field: field, message: err.Error()}
		if missing, ok := errors.AsType[*v1alpha1.MissingError](err); ok {
			o.hint = "add it to the cluster, or select only clusters that have it"
			if near := strictyaml.Nearest(missing.Name, missing.Have); near != "" {
				o.hint = fmt.Sprintf("did you mean %q?", near)
			}
		}
		found = append(found, o)
	}
	s := d.Spec
	var err error
	if s.Source.Chart != "" {
		chart, err := s.Source.FillChart(context)
		check("spec.source.chart", err)
		if err == nil {
			check("spec.source.version", checkRange(chart.Version))
		}
		out.path, out.chart, out.revision = ".", chart.Chart, chart.String()
	} else {
		out.path, err = v1alpha1.FillPath(s.Source.Path, context)
		check("spec.source.path", err)
	}
	if s.Source.Revision != nil {
		revision, err := s.Source.Revision.Fill(context)
		if err == nil && revision.Semver != "" {
			err = checkRange(revision.Semver)
		}
		check("spec.source.revision", err)
		out.revision = revision.String()
	}
	out.variables = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Variables)) {
		out.variables[name], err = v1alpha1.Fill(s.Variables[name], context)
		check("spec.variables."+name, err)
	}
	if chart := s.Kind == v1alpha1.RenderHelm || s.Kind == v1alpha1.RenderAuto; chart {
		out.helm.ReleaseName = d.Metadata.Name
	}
	if s.Helm == nil {
		return out, found
	}
	out.helm.SkipCRDs = s.Helm.SkipCRDs
	if s.Helm.ReleaseName != "" {
		out.helm.ReleaseName = s.Helm.ReleaseName
	}
	for i, file := range s.Helm.ValueFiles {
		name, err := v1alpha1.Fill(file, context)
		check(fmt.Sprintf("spec.helm.valueFiles[%d]", i), err)
		out.helm.ValueFiles = append(out.helm.ValueFiles, name)
	}
	if s.Helm.Values != nil {
		values := fillValues("spec.helm.values", s.Helm.Values, func(at, text string) string {
			text, err := v1alpha1.Fill(text, context)
			check(at, err)
			return text
		})
		out.helm.Values, _ = values.(map[string]any)
	}
	return out, found
}

// fillValues returns a copy of free-form values, which are at a field, with fill applied to all texts in them.
func fillValues(at string, value any, fill func(at, text string) string) any {
	switch value := value.(type) {
	case string:
		return fill(at, value)
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = fillValues(fmt.Sprintf("%s[%d]", at, i), item, fill)
		}
		return list
	case map[string]any:
		entries := make(map[string]any, len(value))
		for _, key := range slices.Sorted(maps.Keys(value)) {
			entries[key] = fillValues(v1alpha1.Entry(at, key), value[key], fill)
		}
		return entries
	}
	return value
}
