package chartsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// index is what counts of a repository's index.yaml, and how to ask whether it is still the same.
type index struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	// Wanted are the charts that were looked for, in order.
	Wanted []string `json:"wanted"`
	// Charts has the releases of those that it names, in the order of the index.
	Charts map[string][]release `json:"charts"`
}

// helmRepository is a remote with an index.
type helmRepository struct {
	base        *url.URL // ends in a slash
	client      *http.Client
	credentials credentials
	limits      Options
	index       *index
}

// covers reports whether some charts were looked for in an index.
func (i *index) covers(charts []string) bool {
	return i != nil && !slices.ContainsFunc(charts, func(name string) bool { return !slices.Contains(i.Wanted, name) })
}

// newHelmRepository asks a repository for the index of some charts, unless the known one is still what it has of them.
// The index is nil the first time.
func newHelmRepository(ctx context.Context, remote Remote, access credentials, limits Options, charts []string, known *index) (*helmRepository, error) {
	base, err := url.Parse(strings.TrimSuffix(remote.URL, "/") + "/")
	if err != nil {
		return nil, err
	}
	h := &helmRepository{base: base, client: newClient(base, base.Hostname()), credentials: access, limits: limits, index: known}
	headers := map[string]string{"Accept": "application/yaml, */*"}
	if known.covers(charts) {
		headers["If-None-Match"], headers["If-Modified-Since"] = known.ETag, known.Modified
	}
	wanted := make(map[string]bool, len(charts))
	for _, name := range charts {
		wanted[name] = true
	}
	var found map[string][]release
	response, err := read(ctx, h.client, getting{
		origin: base, url: base.JoinPath("index.yaml"), credentials: access, headers: headers, limit: limits.MaxIndex,
	}, func(body io.Reader) (err error) {
		found, err = readIndex(body, wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusNotModified {
		if !known.covers(charts) {
			return nil, errors.New("the server says that its index is as it was, and was not asked that")
		}
		return h, nil
	}
	h.index = &index{ETag: response.Header.Get("ETag"), Modified: response.Header.Get("Last-Modified"), Wanted: charts, Charts: found}
	return h, nil
}

// find implements upstream.
func (h *helmRepository) find(_ context.Context, request Request, _ release) (release, error) {
	releases := h.index.Charts[request.Chart]
	if len(releases) == 0 {
		return release{}, fmt.Errorf("%w: its index does not name %q", ErrNoChart, request.Chart)
	}
	versions := make([]string, len(releases))
	for i, r := range releases {
		versions[i] = r.Version
	}
	chosen, err := request.choose(versions)
	if err != nil {
		return release{}, err
	}
	found := releases[chosen]
	at, err := h.base.Parse(found.Location)
	if err != nil {
		return release{}, fmt.Errorf("the index has no usable URL for version %s of %q", found.Version, request.Chart)
	}
	found.Location = at.String()
	return found, nil
}

// archive implements upstream.
func (h *helmRepository) archive(ctx context.Context, _ Request, r release) ([]byte, error) {
	at, err := url.Parse(r.Location)
	if err != nil {
		return nil, err
	}
	switch at.Scheme {
	case "oci": // an index may name charts of a registry; the credential is not for that
		return pullReference(ctx, h.base, at, h.limits)
	case "http", "https":
		return get(ctx, h.client, getting{origin: h.base, url: at, credentials: h.credentials, limit: h.limits.MaxArchive})
	}
	return nil, fmt.Errorf("the index names %q, and charts are fetched by https alone", at.Redacted())
}

// provenance implements upstream.
func (h *helmRepository) provenance(ctx context.Context, _ Request, r release) ([]byte, error) {
	at, err := url.Parse(r.Location)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "oci" {
		return nil, nil
	}
	at.Path, at.RawPath = at.Path+".prov", ""
	data, err := get(ctx, h.client, getting{origin: h.base, url: at, credentials: h.credentials, limit: maxProvenance})
	if missing := (*statusError)(nil); errors.As(err, &missing) && missing.status == http.StatusNotFound {
		return nil, nil
	}
	return data, err
}

// maxProvenance is the size of the largest signed statement in bytes.
const maxProvenance = 1 << 20

// signatures implements upstream: Cosign signs what is in registries.
func (*helmRepository) signatures(context.Context, Request, release, signed) (*signed, error) {
	return nil, nil
}
