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
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

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
	doubts = result.Warnings
	if asksForHistory(release.Chart) {
		doubts = append(slices.Clip(doubts), "its templates ask whether it is installed or upgraded, or for the revision")
	}
	bundle, err = r.postRender(ctx, release, result.Bundle)
	return bundle, doubts, err
}

// asked is what templates read of the release: a field of it, or all.
var asked = regexp.MustCompile(`\.Release\b(\.\w+)?`)

// asksForHistory reports whether templates of a chart, or of one that it depends on,
// may come out otherwise when the release is not new.
func asksForHistory(chart app.Chart) bool {
	return slices.ContainsFunc(chart.Files, func(f app.ChartFile) bool {
		template := strings.HasPrefix(f.Name, "templates/") || strings.Contains(f.Name, "/templates/")
		if path.Base(f.Name) == "NOTES.txt" {
			return false
		}
		if bytes.Contains(f.Data, []byte("IsUpgrade")) || bytes.Contains(f.Data, []byte("IsInstall")) {
			return true
		}
		return template && slices.ContainsFunc(asked.FindAllSubmatch(f.Data, -1), func(found [][]byte) bool {
			return !slices.Contains([]string{".Name", ".Namespace", ".Service"}, string(found[1]))
		})
	})
}

// Became says what becomes of an app that is a release of Helm now, or was one; of
// that neither is, nothing. Of one that is another release than before, or starts
// anew, elsewhere is set: its objects are not those of before.
func Became(was, now *app.Bundle) (text string, elsewhere bool) {
	var before *app.Release
	if was != nil {
		before = was.Release
	}
	after := now.Release
	switch {
	case after == nil && before == nil:
		return "", false
	case after == nil:
		return "is no release of Helm any more: its objects are taken over, and Helm's records stay", false
	case was == nil:
		return "is installed as a release of Helm", false
	case before == nil:
		return "becomes a release of Helm: nothing is deleted, and what exists is taken over if it says adopt", false
	case before.ID() != after.ID() || before.Namespace != after.Namespace:
		return fmt.Sprintf("is installed as another release of Helm: the one before, %s/%s, stays with its objects", before.Namespace, before.Name), true
	case after.Reinstall && chartName(before.Chart) != chartName(after.Chart):
		return "its release is uninstalled and installed anew, as its chart has another name", true
	case before.Wanted() == after.Wanted():
		return "how its release is brought about changes, and no revision follows", false
	}
	return "its release gets another revision", false
}

// chartName is the name of a chart, empty if it cannot be read.
func chartName(chart app.Chart) string {
	var about struct {
		Name string `json:"name"`
	}
	for _, file := range chart.Files {
		if file.Name == "Chart.yaml" {
			_ = yaml.Unmarshal(file.Data, &about) // the render says what is wrong with it
		}
	}
	return about.Name
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
