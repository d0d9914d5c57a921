package chart

import (
	"encoding/json"
	"fmt"
	"slices"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Pack makes the release that is asked for of a chart and the values that are stated, without running a template: the
// chart comes with what it depends on. Dependencies that cannot be had are refused as in Render, unless the values that
// are known here turn them off.
func Pack(t tree.Tree, in Input, asked app.Release) (*app.Release, error) {
	if len(in.Options.Parameters)+len(in.Options.FileParameters) > 0 {
		return nil, manifest.Problem{File: in.Dir, Message: "is to be a release, and has parameters", Hint: "write them as values"}
	}
	defaults, _, err := readFiles(t, in)
	if err != nil {
		return nil, err
	}
	values, _, err := asHelm(in.Options.Values)
	if err != nil {
		return nil, err
	}
	l, err := load(t, in.Dir)
	if err != nil {
		return nil, err
	}
	if err := l.installable(); err != nil {
		return nil, err
	}
	release := asked
	release.Values, release.Defaults = values, defaults
	if asked.ReplaceDefaults && len(in.Options.ValueFiles) > 0 {
		if err := l.replaceValues(defaults); err != nil {
			return nil, err
		}
		release.Defaults = nil
	}
	if err := l.checkDependencies(release); err != nil {
		return nil, err
	}
	for _, file := range l.files {
		release.Chart.Files = append(release.Chart.Files, app.ChartFile{Name: file.Name, Data: file.Data})
	}
	return &release, nil
}

// replaceValues writes values in the place of the chart's own.
func (l *loaded) replaceValues(values map[string]any) error {
	data, err := json.Marshal(values)
	if err != nil {
		return fmt.Errorf("encoding the values of %q: %w", l.dir, err)
	}
	l.Values = values
	l.files = slices.DeleteFunc(l.files, func(f *archive.BufferedFile) bool { return f.Name == chartutil.ValuesfileName })
	l.files = append(l.files, &archive.BufferedFile{Name: chartutil.ValuesfileName, Data: data})
	return nil
}

// checkDependencies refuses a chart of which a dependency that cannot be had is turned on.
func (l *loaded) checkDependencies(release app.Release) error {
	values, _, err := asHelm(loader.MergeMaps(release.Defaults, release.Values)) // Helm writes into what it is given
	if err != nil {
		return err
	}
	if err := chartutil.ProcessDependencies(l.Chart, values); err != nil {
		return l.problem(err)
	}
	return l.complete()
}
