package chartsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"
)

// index is what counts of a repository's index.yaml, and how to ask whether it is still the same.
type index struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
	// Charts has the releases of each chart, in the order of the index.
	Charts map[string][]release `json:"charts"`
}

// parseIndex reads an index.yaml. An entry that cannot be used is left out: it is one of thousands, and others are not
// to wait for its repair.
func parseIndex(data []byte) (map[string][]release, error) {
	var document struct {
		Entries map[string][]struct {
			Version string   `yaml:"version"`
			Digest  string   `yaml:"digest"`
			URLs    []string `yaml:"urls"`
		} `yaml:"entries"`
	}
	if err := yaml.Unmarshal(data, &document); err != nil {
		if mistyped := (*yaml.TypeError)(nil); !errors.As(err, &mistyped) {
			return nil, fmt.Errorf("reading the index: %w", err)
		}
	}
	if document.Entries == nil {
		return nil, errors.New("reading the index: it has no entries, so it is none of a chart repository")
	}
	charts := make(map[string][]release, len(document.Entries))
	for name, versions := range document.Entries {
		for _, v := range versions {
			hex, err := digits(v.Digest)
			if err != nil || v.Version == "" || len(v.URLs) == 0 {
				continue
			}
			charts[name] = append(charts[name], release{Version: v.Version, Digest: hex, Location: v.URLs[0]})
		}
	}
	return charts, nil
}

// helmRepository is a remote with an index.
type helmRepository struct {
	base        *url.URL // ends in a slash
	client      *http.Client
	credentials credentials
	limits      Options
	index       *index
}

// newHelmRepository asks a repository for its index, unless the known one is still what it has. The index is nil the
// first time.
func newHelmRepository(ctx context.Context, remote Remote, access credentials, limits Options, known *index) (*helmRepository, error) {
	base, err := url.Parse(strings.TrimSuffix(remote.URL, "/") + "/")
	if err != nil {
		return nil, err
	}
	h := &helmRepository{base: base, client: newClient(base), credentials: access, limits: limits, index: known}
	headers := map[string]string{"Accept": "application/yaml, */*"}
	if known != nil {
		headers["If-None-Match"], headers["If-Modified-Since"] = known.ETag, known.Modified
	}
	response, data, err := get(ctx, h.client, getting{
		origin: base, url: base.JoinPath("index.yaml"), credentials: access, headers: headers, limit: limits.MaxIndex,
	})
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusNotModified {
		if known == nil {
			return nil, errors.New("the server says that its index is as it was, and was not asked that")
		}
		return h, nil
	}
	charts, err := parseIndex(data)
	if err != nil {
		return nil, err
	}
	h.index = &index{ETag: response.Header.Get("ETag"), Modified: response.Header.Get("Last-Modified"), Charts: charts}
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
		return pullReference(ctx, at, h.limits)
	case "http", "https":
		_, data, err := get(ctx, h.client, getting{origin: h.base, url: at, credentials: h.credentials, limit: h.limits.MaxArchive})
		return data, err
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
	_, data, err := get(ctx, h.client, getting{origin: h.base, url: at, credentials: h.credentials, limit: maxProvenance})
	if missing := (*statusError)(nil); errors.As(err, &missing) && missing.status == http.StatusNotFound {
		return nil, nil
	}
	return data, err
}

// maxProvenance is the size of the largest signed statement in bytes.
const maxProvenance = 1 << 20
