package chartsource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"nave.dev/internal/app"
)

// The media types of a chart in a registry, as Helm writes them. Old charts have the second for the archive.
const (
	chartLayer      = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	oldChartLayer   = "application/tar+gzip"
	provenanceLayer = "application/vnd.cncf.helm.chart.provenance.v1.prov"
)

const (
	maxManifest = 1 << 20 // bytes
	maxTags     = 100_000 // of one chart
)

// ociRegistry is a remote whose charts are artifacts below a place in a registry, beside others with files. Versions of
// charts are tags, with "_" for "+".
type ociRegistry struct {
	place       string // host and path, without a protocol
	home        string // the host of the repository that names it; empty for itself
	credentials credentials
	limits      Options
	cache       auth.Cache
}

func newRegistry(from Remote, access credentials, limits Options) *ociRegistry {
	return &ociRegistry{place: strings.Trim(strings.TrimPrefix(from.URL, ociScheme), "/"), credentials: access, limits: limits, cache: auth.NewCache()}
}

// repository is where one chart is.
func (r *ociRegistry) repository(chart string) (*remote.Repository, error) {
	repository, err := remote.NewRepository(r.place + "/" + chart)
	if err != nil {
		return nil, fmt.Errorf("finding %q in the registry: %w", chart, err)
	}
	host := repository.Reference.Host()
	origin := &url.URL{Scheme: "https", Host: host}
	if repository.PlainHTTP = loopback(origin.Hostname()); repository.PlainHTTP {
		origin.Scheme = "http"
	}
	client := &auth.Client{Client: newClient(origin, cmp.Or(r.home, origin.Hostname())), Cache: r.cache}
	client.SetUserAgent("nave")
	if r.credentials.password != "" {
		client.Credential = auth.StaticCredential(repository.Reference.Registry, auth.Credential{
			Username: r.credentials.username, Password: r.credentials.password,
		})
	}
	repository.Client = client
	repository.MaxMetadataBytes = maxManifest
	return repository, nil
}

// find implements upstream. The location of a release is the digest of its manifest; if that is as before, nothing else
// is asked.
func (r *ociRegistry) find(ctx context.Context, request Request, before release) (release, error) {
	repository, err := r.repository(request.name())
	if err != nil {
		return release{}, err
	}
	version, exact := request.exact()
	if !exact {
		if version, err = highest(ctx, repository, request); err != nil {
			return release{}, err
		}
	}
	if before.Location != "" && before.Location == request.Artifact.Digest {
		return before, nil // which never stands for anything else
	}
	tag := strings.ReplaceAll(version, "+", "_")
	manifest, err := repository.Resolve(ctx, tag)
	if errors.Is(err, errdef.ErrNotFound) {
		return release{}, fmt.Errorf("%w: the registry has no %s", ErrNoChart, reference(repository.Reference.Repository, tag))
	}
	if err != nil {
		return release{}, fmt.Errorf("asking the registry for %s: %w", reference(repository.Reference.Repository, tag), err)
	}
	location := manifest.Digest.String()
	if before.Version == version && before.Location == location {
		return before, nil
	}
	layers, err := readManifest(ctx, repository, manifest, request.Artifact)
	if err != nil {
		return release{}, fmt.Errorf("reading %s of the registry: %w", reference(repository.Reference.Repository, tag), err)
	}
	hex, err := digits(layers.content.Digest.String())
	return release{Version: version, Digest: hex, Location: location}, err
}

// reference is the name of an artifact at a tag or digest.
func reference(name, at string) string {
	separator := ":"
	if strings.HasPrefix(at, "sha256:") {
		separator = "@"
	}
	return name + separator + at
}

// highest is the version of a chart's tags, or of an artifact's, that a range means.
func highest(ctx context.Context, repository *remote.Repository, request Request) (string, error) {
	filter, err := regexp.Compile(request.Artifact.Filter)
	if err != nil {
		return "", err
	}
	var versions []string
	err = repository.Tags(ctx, "", func(tags []string) error {
		for _, tag := range tags {
			version := tag
			if !request.Artifact.Files { // only charts have a sign in their versions that no tag can have
				version = strings.ReplaceAll(tag, "_", "+")
			}
			// A tag such as 1.2 is another name of the last version that it fits.
			if _, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v")); err == nil && filter.MatchString(tag) {
				versions = append(versions, version)
			}
		}
		if len(versions) > maxTags {
			return fmt.Errorf("it has more than %d tags", maxTags)
		}
		return nil
	})
	if errors.Is(err, errdef.ErrNotFound) {
		return "", fmt.Errorf("%w: the registry has no %s", ErrNoChart, repository.Reference.Repository)
	}
	if err != nil {
		return "", fmt.Errorf("listing the tags of %s: %w", repository.Reference.Repository, err)
	}
	slices.Sort(versions) // whatever order the registry has them in, of equal ones the same counts
	chosen, err := request.choose(versions)
	if err != nil {
		return "", err
	}
	return versions[chosen], nil
}

// layers are those of a chart or artifact that count.
type layers struct{ content, provenance ocispec.Descriptor }

// readManifest reads which layers a chart or artifact has. Their sizes are within int64, and for the caller to check.
func readManifest(ctx context.Context, repository *remote.Repository, at ocispec.Descriptor, of app.Artifact) (layers, error) {
	if at.Size > maxManifest {
		return layers{}, fmt.Errorf("its manifest has more than %d bytes", maxManifest)
	}
	if at.MediaType != ocispec.MediaTypeImageManifest {
		return layers{}, fmt.Errorf("it is a %s, and no chart or artifact", at.MediaType)
	}
	data, err := content.FetchAll(ctx, repository, at)
	if err != nil {
		return layers{}, err
	}
	return parseManifest(data, of)
}

// parseManifest finds the layers of a chart, or of an artifact with files.
func parseManifest(data []byte, of app.Artifact) (layers, error) {
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return layers{}, fmt.Errorf("its manifest is not valid: %w", err)
	}
	if of.Files {
		i := slices.IndexFunc(manifest.Layers, func(l ocispec.Descriptor) bool { return of.Layer == "" || l.MediaType == of.Layer })
		switch {
		case len(manifest.Layers) == 0:
			return layers{}, errors.New("it has no layers")
		case i < 0:
			return layers{}, fmt.Errorf("it has no layer of the media type %q", of.Layer)
		}
		return layers{content: manifest.Layers[i]}, nil
	}
	return chartLayers(manifest)
}

// chartLayers finds the layers of a chart.
func chartLayers(manifest ocispec.Manifest) (found layers, err error) {
	there := false
	for _, layer := range manifest.Layers {
		switch layer.MediaType {
		case chartLayer, oldChartLayer:
			if there {
				return layers{}, errors.New("it holds more than one chart")
			}
			found.content, there = layer, true
		case provenanceLayer:
			found.provenance = layer
		}
	}
	if !there {
		return layers{}, errors.New("it holds no Helm chart")
	}
	return found, nil
}

// pull reads one layer of the release whose manifest is at a location, held against its digest. Without such a layer
// there is nothing.
func (r *ociRegistry) pull(ctx context.Context, request Request, location string, which func(layers) (ocispec.Descriptor, int64)) ([]byte, error) {
	repository, err := r.repository(request.name())
	if err != nil {
		return nil, err
	}
	manifest, err := repository.Resolve(ctx, location)
	if err != nil {
		return nil, fmt.Errorf("asking the registry for %s of %s: %w", location, repository.Reference.Repository, err)
	}
	all, err := readManifest(ctx, repository, manifest, request.Artifact)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", location, repository.Reference.Repository, err)
	}
	layer, limit := which(all)
	switch {
	case layer.Digest == "":
		return nil, nil
	case layer.Size > limit:
		return nil, fmt.Errorf("it has more than %d bytes", limit)
	}
	return content.FetchAll(ctx, repository.Blobs(), layer)
}

// archive implements upstream.
func (r *ociRegistry) archive(ctx context.Context, request Request, found release) ([]byte, error) {
	return r.pull(ctx, request, found.Location, func(l layers) (ocispec.Descriptor, int64) { return l.content, r.limits.MaxArchive })
}

// provenance implements upstream.
func (r *ociRegistry) provenance(ctx context.Context, request Request, found release) ([]byte, error) {
	return r.pull(ctx, request, found.Location, func(l layers) (ocispec.Descriptor, int64) { return l.provenance, maxProvenance })
}

// pullReference reads the archive of a chart at oci://HOST/PATH:TAG, which the index of a repository names, without a
// credential.
func pullReference(ctx context.Context, from, at *url.URL, limits Options) ([]byte, error) {
	place, tag, ok := cutLast(at.Host+at.Path, ":")
	parent, name, below := cutLast(place, "/")
	if !ok || !below || strings.Contains(tag, "/") {
		return nil, fmt.Errorf("the index names %q, which has no tag", at.Redacted())
	}
	r := newRegistry(Remote{URL: ociScheme + parent}, credentials{}, limits)
	r.home = from.Hostname()
	return r.archive(ctx, Request{Chart: name}, release{Location: tag})
}

// cutLast cuts text around the last separator in it.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}
