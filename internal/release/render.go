package release

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/template"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	helm "helm.sh/helm/v4/pkg/release/v1"

	"nave.dev/internal/app"
)

// reuse has the values of a revision fill in those that are stated, and returns what
// stands in the place of the chart's own, as with helm upgrade --reuse-values.
func (h *driven) reuse(from *helm.Release) (map[string]any, error) {
	values, err := util.CoalesceValues(from.Chart, from.Config)
	if err != nil {
		return nil, fmt.Errorf("reading the values of revision %d: %w", from.Version, err)
	}
	h.values = util.CoalesceTables(h.values, from.Config)
	h.chart.Values = values
	return values, nil
}

// render has the chart's templates run, and returns a chart for Helm that shows what
// they came to. Its own templates do nothing else, so that Helm, in this process, runs
// none of the chart's; what Helm records is the chart itself.
func (h *driven) render(templates app.Templates) (*chart.Chart, error) {
	if h.client.renderer == nil {
		return nil, errors.New("there is nothing that runs the templates of releases")
	}
	release := h.target.Release
	templates.Chart, templates.Name, templates.Values = release.Chart, release.Name, h.values
	capabilities := h.config.Capabilities
	templates.Facts = app.Facts{KubernetesVersion: capabilities.KubeVersion.Version, APIVersions: capabilities.APIVersions}
	files, err := h.client.renderer.Templates(h.ctx, templates, h.lookups())
	if err != nil {
		return nil, h.veil(err)
	}
	if err := chartutil.ProcessDependencies(h.chart, h.values); err != nil { // which show in the record
		return nil, fmt.Errorf("reading the chart's dependencies: %w", err)
	}
	metadata := *h.chart.Metadata
	metadata.Dependencies = nil
	shown := &chart.Chart{Metadata: &metadata}
	const show = "rendered"
	for name := range files {
		below := strings.TrimPrefix(name, h.chart.Name()+"/")
		shown.Templates = append(shown.Templates, &common.File{Name: below, Data: []byte("{{ " + show + " .Template.Name }}")})
	}
	h.config.CustomTemplateFuncs = template.FuncMap{show: func(name string) string { return files[name] }}
	h.records.chart, h.records.shown = h.chart, shown
	return shown, nil
}

// Bounds of what the templates of one step may look up.
const (
	maxLookups    = 1000
	maxLookedUp   = 64 << 20 // bytes of answers
	lookupTimeout = 10 * time.Second
)

// lookups returns what answers lookups, with the rights of the release. It is not safe
// for concurrent use.
func (h *driven) lookups() app.Lookup {
	config, _ := h.own.ToRESTConfig() // which is at hand
	config.Timeout = lookupTimeout
	left := &allowance{bytes: maxLookedUp}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next, left} })
	ask := engine.NewLookupFunction(config)
	asked := 0
	return func(apiVersion, kind, namespace, name string) (map[string]any, error) {
		if asked++; asked > maxLookups {
			return nil, fmt.Errorf("the templates look up more than %d objects", maxLookups)
		}
		return ask(apiVersion, kind, namespace, name)
	}
}

// allowance is how much of answers may still be read.
type allowance struct{ bytes int64 }

// bounded reads no more of answers than an allowance has.
type bounded struct {
	next http.RoundTripper
	left *allowance
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(request)
	if err == nil {
		response.Body = &boundedBody{response.Body, b.left}
	}
	return response, err
}

type boundedBody struct {
	io.ReadCloser
	left *allowance
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left.bytes -= int64(n); b.left.bytes < 0 {
		return 0, fmt.Errorf("the templates look up more than %d MiB", maxLookedUp>>20)
	}
	return n, err
}
