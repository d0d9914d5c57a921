package chart

import (
	"cmp"
	"fmt"
	"maps"
	"text/template"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
)

// Templates runs the templates of a release's chart, with whatever functions Helm has
// for them, and returns what each file came to, notes among them, by the file's name
// below that of the chart. A schema of the values that refers to files or to the
// network is refused.
func Templates(in app.Templates, lookup app.Lookup) (map[string]string, error) {
	l := &loaded{origins: map[string]string{"": ""}}
	for _, file := range in.Chart.Files {
		l.files = append(l.files, &archive.BufferedFile{Name: file.Name, Data: file.Data})
	}
	var err error
	if l.Chart, err = loader.LoadFiles(l.files); err != nil {
		return nil, fmt.Errorf("reading the chart: %w", err)
	}
	values := map[string]any{}
	maps.Copy(values, in.Values)
	if in.Reused != nil {
		l.Values = in.Reused
	}
	if err := chartutil.ProcessDependencies(l.Chart, values); err != nil {
		return nil, l.problem(err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	version, err := common.ParseKubeVersion(cmp.Or(in.Facts.KubernetesVersion, DefaultKubernetesVersion))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's version %q: %w", in.Facts.KubernetesVersion, err)
	}
	capabilities.KubeVersion, capabilities.APIVersions = *version, in.Facts.APIVersions
	if want := l.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, version.String()) {
		return nil, manifest.Problem{File: chartutil.ChartfileName, Message: fmt.Sprintf("the chart wants Kubernetes %s, the cluster has %s", want, version.Version)}
	}
	top, err := util.ToRenderValuesWithSchemaValidation(l.Chart, values, common.ReleaseOptions{
		Name: in.Name, Namespace: in.Namespace, Revision: in.Revision, IsInstall: !in.Upgrade, IsUpgrade: in.Upgrade,
	}, capabilities, true)
	if err != nil {
		return nil, l.problem(err)
	}
	if err := l.conform(app.HelmOptions{SkipSchemaValidation: in.NoSchema}, top["Values"]); err != nil {
		return nil, err
	}
	run := engine.Engine{CustomTemplateFuncs: template.FuncMap{"lookup": func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		return lookup(apiVersion, kind, namespace, name)
	}}}
	files, err := run.Render(l.Chart, top)
	if err != nil {
		return nil, l.problem(err)
	}
	return files, nil
}
