// Package offline tells what releases of Helm come to without their clusters, for plans. The main type is Releases:
// releases are named with Want, rendered together, and then asked for. It installs nothing and asks no cluster; what
// only a cluster can tell, it says.
package offline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"runtime"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/chartsource/archive"
	"nave.dev/internal/render"
	"nave.dev/internal/render/manifest"
)

// Releases are those of a plan, each rendered once for all clusters of one version of Kubernetes. It is not safe for
// concurrent use.
type Releases struct {
	renderer *render.Renderer
	found    map[wanted]*Objects
}

// wanted is what decides a render.
type wanted struct{ digest, version string }

// Objects are what a release comes to.
type Objects struct {
	Bundle *app.Bundle
	// Err says why that cannot be told, or that the templates fail.
	Err error
	// Doubts say what may be otherwise on the cluster, each of the form "lookup of …".
	Doubts []string

	release *app.Release
}

// New returns Releases that a renderer renders.
func New(renderer *render.Renderer) *Releases {
	return &Releases{renderer: renderer, found: map[wanted]*Objects{}}
}

// Want names a release that is to be rendered for a version of Kubernetes. Any other bundle, or none, is passed over.
func (r *Releases) Want(bundle *app.Bundle, version string) {
	if bundle == nil || bundle.Release == nil {
		return
	}
	key := wanted{bundle.Digest, version}
	if r.found[key] == nil {
		r.found[key] = &Objects{release: bundle.Release}
	}
}

// Render renders what was named. The only error is that of ctx.
func (r *Releases) Render(ctx context.Context) error {
	var group sync.WaitGroup
	turn := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	for key, objects := range r.found {
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			objects.Bundle, objects.Doubts, objects.Err = r.render(ctx, objects.release, key.version)
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// Of returns what a release that was named came to, and nil for anything else.
func (r *Releases) Of(bundle *app.Bundle, version string) *Objects {
	if r == nil || bundle == nil {
		return nil
	}
	return r.found[wanted{bundle.Digest, version}]
}

// Where a release's chart is shown to the renderer, and what Helm takes for values of lower rank than its own.
const (
	chartDir = "chart"
	defaults = "defaults.json"
)

// render renders the chart of a release as that of any other app is, so that what comes out differently each time is
// the same here.
func (r *Releases) render(ctx context.Context, release *app.Release, version string) (bundle *app.Bundle, doubts []string, err error) {
	if err := unknown(release); err != nil {
		return nil, nil, err
	}
	files := map[string][]byte{}
	for _, file := range release.Chart.Files {
		files[path.Join(chartDir, file.Name)] = file.Data
	}
	if files[defaults], err = json.Marshal(release.Defaults); err != nil {
		return nil, nil, fmt.Errorf("encoding the values of the release: %w", err)
	}
	tree, err := archive.New(files)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the chart: %w", err)
	}
	options := app.HelmOptions{
		ReleaseName: release.Name, Values: release.Values,
		SkipCRDs: true, SkipTests: true, SkipSchemaValidation: release.Upgrade.NoSchema,
	}
	if len(release.Defaults) > 0 {
		options.ValueFiles = []string{"/" + defaults}
	}
	result, err := r.renderer.Render(ctx, render.Request{
		Files: tree, Path: chartDir, Facts: app.Facts{KubernetesVersion: version},
		Params: app.Render{Kind: app.Helm, Namespace: release.Namespace, Helm: options},
	})
	if err != nil {
		return nil, nil, err
	}
	bundle, err = r.postRender(ctx, release, result.Bundle)
	return bundle, result.Warnings, err
}

// unknown says what of a release only its cluster knows, if it decides all of it.
func unknown(release *app.Release) error {
	switch {
	case len(release.ValuesFrom) > 0:
		from := release.ValuesFrom[0]
		return fmt.Errorf("it has values of the %s %s/%s, which its cluster reads", from.Kind, from.Namespace, from.Name)
	case release.Upgrade.ReuseValues:
		return errors.New("it reuses the values of the revision before, which its cluster has")
	}
	return nil
}

// postRender applies the release's post-renderers. Its hooks are not among what is changed, since none is shown.
func (r *Releases) postRender(ctx context.Context, release *app.Release, bundle *app.Bundle) (*app.Bundle, error) {
	var all bytes.Buffer
	for _, u := range bundle.Objects {
		data, err := u.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("encoding what the chart renders to: %w", err)
		}
		fmt.Fprintf(&all, "---\n%s\n", bytes.TrimSpace(data))
	}
	changed, err := r.renderer.PostRender(ctx, release, all.Bytes())
	if err != nil || bytes.Equal(changed, all.Bytes()) {
		return bundle, err
	}
	found, problems := (&manifest.Decoder{}).Decode("post-renderers", changed)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, o := range found {
		objects = append(objects, o.Unstructured)
	}
	return app.NewBundle(objects, nil)
}
