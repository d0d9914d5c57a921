package build

import (
	"cmp"
	"fmt"

	"nave.dev/internal/app"
	"nave.dev/internal/render/chart"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// templates runs those of a release. The tree looks up what they ask for.
func (job Job) templates(t tree.Tree) (*Output, error) {
	cluster, ok := t.(Cluster)
	if !ok {
		return nil, fmt.Errorf("running templates of the release %q: there is no cluster", job.Templates.Name)
	}
	files, err := chart.Templates(*job.Templates, cluster.Lookup)
	if err != nil {
		return nil, err
	}
	var size int64
	for _, content := range files {
		size += int64(len(content))
	}
	if job.MaxBytes > 0 && size > job.MaxBytes {
		return nil, manifest.Problem{File: job.Path, Message: fmt.Sprintf("the templates render to more than %d MiB", job.MaxBytes>>20)}
	}
	return &Output{Templates: files}, nil
}

// pack makes a release of a chart, which is rendered where its cluster is. No fact of the cluster counts before.
func (f *finisher) pack(t tree.Tree) (*Output, []Fact, error) {
	job := f.job
	kind, err := KindOf(t, job)
	if err == nil && kind != app.Helm {
		err = manifest.Problem{File: job.Path, Message: fmt.Sprintf("is to be a release, and is rendered as %s, not as a chart", kind), Hint: "name the directory of a chart"}
	}
	if err != nil {
		return nil, nil, err
	}
	asked := *job.Params.Release
	asked.Name = cmp.Or(asked.Name, job.Params.Helm.ReleaseName)
	asked.Namespace = cmp.Or(asked.Namespace, job.Params.Helm.Namespace, job.Params.Namespace, "default")
	if job.Params.Helm.SkipCRDs {
		asked.Install.CRDs, asked.Upgrade.CRDs = app.CRDsSkip, app.CRDsSkip
	}
	f.out.Release, err = chart.Pack(t, chart.Input{Dir: job.Path, Options: job.Params.Helm, Refs: job.Params.Refs}, asked)
	if err != nil {
		return nil, nil, err
	}
	f.out.Chart = &f.out.Release.Chart
	var size int64
	for _, file := range f.out.Chart.Files {
		size += int64(len(file.Data))
	}
	if job.MaxBytes > 0 && size > job.MaxBytes {
		return nil, nil, manifest.Problem{File: job.Path, Message: fmt.Sprintf("the chart's files are larger than %d MiB together", job.MaxBytes>>20), Hint: "leave out by .helmignore what it does not need"}
	}
	return f.out, nil, nil
}
