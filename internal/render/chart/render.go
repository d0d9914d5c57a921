// Package chart renders Helm charts of a tree. The main function is Render. It reads a chart with its dependencies and
// values as Helm does, finds out which facts of the cluster the chart can see, and refuses a chart whose result is
// another one each time. It installs nothing, talks to no cluster and no chart repository, and keeps no releases.
package chart

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Input is what a render depends on besides the tree.
type Input struct {
	Dir       string // of the chart
	Options   app.HelmOptions
	Namespace string // of the release, where Options has none; empty means "default"
	// Refs are other trees of which "$NAME/…" in the path of a file is one, as in app.Render.
	Refs   map[string]string
	Facts  app.Facts
	Limits manifest.Limits
	// CreateOnly are objects that may come out differently at each render.
	CreateOnly app.ObjectRules
}

// Output is what came of a chart.
type Output struct {
	Objects  []manifest.Object // hooks among them, in the order of files
	Warnings []string
	// Version and APIs say which of the Facts the result depends on.
	Version, APIs bool
}

// DefaultKubernetesVersion stands for a cluster of which nothing is known.
const DefaultKubernetesVersion = "v1.36.0"

// Render renders the chart in a directory of the tree. What the output says of Version and APIs holds for an error too.
func Render(t tree.Tree, in Input) (out Output, err error) {
	values, err := readValues(t, in)
	if err != nil {
		return out, err
	}
	l, err := load(t, in.Dir)
	if err != nil {
		return out, err
	}
	version, apis := l.factsSeen(values.text)
	out.Version, out.APIs = version && in.Options.KubeVersion == "", apis && len(in.Options.APIVersions) == 0
	capabilities, warnings, err := in.capabilities(out.Version, out.APIs)
	if err != nil {
		return out, err
	}
	out.Warnings = warnings
	if err := l.compatible(capabilities); err != nil {
		return out, err
	}
	first, err := l.once(in, values, capabilities, time.Now())
	if err != nil {
		return out, err
	}
	out.Objects = first.objects
	out.Warnings = append(out.Warnings, first.monitor.warnings()...)
	if len(first.monitor.unsure) == 0 {
		return out, nil
	}
	// Another day, another hour: what shows the clock in any form comes out differently.
	again, err := load(t, in.Dir)
	if err != nil {
		return out, err
	}
	second, err := again.once(in, values, capabilities, time.Now().Add(401*24*time.Hour+7*time.Hour+13*time.Minute+17*time.Second))
	if err != nil {
		return out, err
	}
	used := slices.Sorted(maps.Keys(first.monitor.unsure))
	if err := (comparison{in.Dir, used, in.CreateOnly}).check(first.objects, second.objects); err != nil {
		return out, err
	}
	return out, nil
}

// result is one run of the templates.
type result struct {
	objects []manifest.Object
	monitor *monitor
}

// once runs the templates. It changes the chart, whose dependencies are resolved against the values.
func (l *loaded) once(in Input, stated *given, capabilities *common.Capabilities, now time.Time) (*result, error) {
	values, _, err := asHelm(stated.values) // Helm writes into what it is given
	if err != nil {
		return nil, err
	}
	if err := stated.setParameters(in.Dir, values); err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(l.Chart, values); err != nil {
		return nil, l.problem(err)
	}
	if err := l.complete(); err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{
		Name: cmp.Or(in.Options.ReleaseName, l.Name()), Namespace: cmp.Or(in.Options.Namespace, in.Namespace, "default"), Revision: 1, IsInstall: true,
	}
	top, err := util.ToRenderValuesWithSchemaValidation(l.Chart, values, release, capabilities, true)
	if err != nil {
		return nil, l.problem(err)
	}
	if err := l.conform(in.Options, top["Values"]); err != nil {
		return nil, err
	}
	dropNotes(l.Chart)
	r := &result{monitor: newMonitor(now)}
	templates, err := engine.Engine{CustomTemplateFuncs: r.monitor.functions()}.Render(l.Chart, top)
	if err != nil {
		return nil, l.problem(err)
	}
	r.objects, err = l.decode(in, templates)
	return r, err
}

// decode reads what the templates rendered, and the chart's CRDs.
func (l *loaded) decode(in Input, templates map[string]string) ([]manifest.Object, error) {
	decoder := &manifest.Decoder{Limits: in.Limits}
	var objects []manifest.Object
	var problems manifest.Problems
	if !in.Options.SkipCRDs {
		for _, crd := range l.CRDObjects() {
			found, bad := decoder.Decode(l.placeOf(crd.Filename), crd.File.Data)
			objects, problems = append(objects, found...), append(problems, bad...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		found, bad := decoder.Decode(l.placeOf(name), []byte(templates[name]))
		for i := range found {
			found[i].Line = 0 // of the output, which is no file
		}
		objects, problems = append(objects, found...), append(problems, rendered(bad, templates[name])...)
	}
	if in.Options.SkipTests {
		objects = slices.DeleteFunc(objects, isTest)
	}
	return objects, problems.Err()
}

// isTest reports whether an object is a hook of `helm test`, be it a hook of more than that.
func isTest(o manifest.Object) bool {
	for event := range strings.SplitSeq(o.GetAnnotations()["helm.sh/hook"], ",") {
		if event = strings.ToLower(strings.TrimSpace(event)); event == "test" || event == "test-success" {
			return true
		}
	}
	return false
}

// placeOf returns the path in the tree of a file as Helm names it, below the chart's name.
func (l *loaded) placeOf(name string) string {
	if rest, ok := strings.CutPrefix(name, l.Name()+"/"); ok {
		return l.place(rest)
	}
	return path.Join(l.dir, name)
}

// dropNotes takes out the templates of what Helm prints after an installation.
func dropNotes(c *chart.Chart) {
	c.Templates = slices.DeleteFunc(c.Templates, func(f *common.File) bool { return path.Base(f.Name) == "NOTES.txt" })
	for _, dependency := range c.Dependencies() {
		dropNotes(dependency)
	}
}

// compatible holds the chart's kubeVersion against the cluster's.
func (l *loaded) compatible(capabilities *common.Capabilities) error {
	if want := l.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, capabilities.KubeVersion.String()) {
		return manifest.Problem{File: path.Join(l.dir, "Chart.yaml"), Message: fmt.Sprintf("the chart wants Kubernetes %s, the cluster has %s", want, capabilities.KubeVersion.Version)}
	}
	return l.installable()
}

// installable refuses a chart that renders nothing by itself.
func (l *loaded) installable() error {
	if l.Metadata.Type == "library" {
		return manifest.Problem{File: path.Join(l.dir, "Chart.yaml"), Message: "is a library chart, which is only there for other charts", Hint: "name the chart that depends on it"}
	}
	return nil
}

var (
	mentions    = regexp.MustCompile(`Capabilities`)
	versionOnly = regexp.MustCompile(`Capabilities\.(KubeVersion|HelmVersion)`)
)

// factsSeen finds out whether the chart, a dependency or the values can see the cluster's Kubernetes version or its
// APIs. A chart that does not mention them is given the same ones for every cluster.
func (l *loaded) factsSeen(values []byte) (version, apis bool) {
	look := func(data []byte) {
		all, some := len(mentions.FindAllIndex(data, -1)), len(versionOnly.FindAllIndex(data, -1))
		version = version || all > 0
		apis = apis || all > some
	}
	look(values)
	var search func(*chart.Chart)
	search = func(c *chart.Chart) {
		version = version || c.Metadata.KubeVersion != ""
		for _, f := range c.Raw {
			if base := path.Base(f.Name); path.Ext(base) != ".md" && base != "NOTES.txt" {
				look(f.Data)
			}
		}
		for _, dependency := range c.Dependencies() {
			search(dependency)
		}
	}
	search(l.Chart)
	return version, apis
}

// capabilities are what the templates see of the cluster. version and apis say what of it is the cluster's.
func (in Input) capabilities(version, apis bool) (*common.Capabilities, []string, error) {
	var warnings []string
	capabilities := common.DefaultCapabilities.Copy()
	kubernetes := cmp.Or(in.Options.KubeVersion, DefaultKubernetesVersion)
	switch {
	case version && in.Facts.KubernetesVersion != "":
		kubernetes = in.Facts.KubernetesVersion
	case version:
		warnings = append(warnings, "the chart asks for the cluster's Kubernetes version, which is not known: "+kubernetes+" is assumed")
	}
	parsed, err := common.ParseKubeVersion(kubernetes)
	switch {
	case err != nil && in.Options.KubeVersion != "":
		return nil, nil, manifest.Problem{File: in.Dir, Message: fmt.Sprintf("helm.kubeVersion is %q: %v", kubernetes, err), Hint: "write a version such as 1.36.0"}
	case err != nil:
		return nil, nil, fmt.Errorf("reading the cluster's Kubernetes version %q: %w", kubernetes, err)
	}
	capabilities.KubeVersion = *parsed
	switch {
	case len(in.Options.APIVersions) > 0: // as `helm template --api-versions`: besides those of Kubernetes itself
		capabilities.APIVersions = slices.Concat(capabilities.APIVersions, common.VersionSet(in.Options.APIVersions))
	case apis && len(in.Facts.APIVersions) > 0:
		capabilities.APIVersions = common.VersionSet(in.Facts.APIVersions)
	case apis:
		warnings = append(warnings, "the chart asks for the cluster's APIs, which are not known: those of Kubernetes itself are assumed")
	}
	return capabilities, warnings, nil
}
