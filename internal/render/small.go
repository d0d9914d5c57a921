package render

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/konfig"

	"nave.dev/internal/app"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// maxSmall is how long the files of an app may be together, in bytes, that is rendered without a worker.
const maxSmall = 256 << 10

// small is a tree for renders that are not worth a worker, and cannot need to be stopped: little is read of it, and
// nothing that could come to more than it is long. Its files hold neither programs nor what could be an anchor of YAML.
type small struct {
	tree.Tree
	left    int
	refused bool
}

// ReadFile implements tree.Tree.
func (s *small) ReadFile(name string) ([]byte, error) {
	if s.refused = s.refused || path.Ext(name) == ".jsonnet" || slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)); s.refused {
		return nil, errRefused
	}
	data, err := s.Tree.ReadFile(name)
	s.left -= len(data)
	if s.refused = s.left < 0 || bytes.IndexByte(data, '&') >= 0; s.refused {
		return nil, errRefused
	}
	return data, err
}

// errRefused ends a render that is for a worker.
var errRefused = errors.New("this needs a worker")

// here renders a job in this process if it is of manifests alone, and small. Otherwise done is false, and whatever else
// it returns counts for nothing.
func (r *Renderer) here(ctx context.Context, t tree.Tree, job build.Job) (out *build.Output, facts []build.Fact, err error, done bool) {
	if r.small == nil || job.Params.Substitute {
		return nil, nil, nil, false
	}
	if kind, err := build.KindOf(t, job); err != nil || kind != app.Plain && (kind != app.Flux || job.Params.Kustomize != nil && !job.Params.Kustomize.OnlyNamespace()) {
		return nil, nil, nil, false
	}
	files := &small{Tree: t, left: maxSmall}
	out, facts, err = r.small.Run(ctx, files, job)
	return out, facts, err, !files.refused
}
