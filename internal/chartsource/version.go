package chartsource

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"

	"nave.dev/internal/app"
)

// Request is a chart and which versions of it may be used, or an artifact of a registry.
type Request struct {
	Chart string `json:"chart"` // its name in the repository; in a registry, the path below the source's
	// Versions is one version, or a range such as "~1.4", ">=1.0 <2.0" or "*": the highest version that lies in it. A
	// pre-release counts only if the range names one.
	Versions string `json:"versions"`
	// Artifact, if it has a name, counts in place of Chart and Versions.
	Artifact app.Artifact `json:"artifact,omitzero"`
}

// name is that of the chart or artifact.
func (r Request) name() string { return cmp.Or(r.Artifact.Name, r.Chart) }

// versions is the range that counts; empty where a tag or digest does.
func (r Request) versions() string {
	if r.Artifact.Name != "" && r.Artifact.Named() == "" {
		return r.Artifact.Versions
	}
	return r.Versions
}

var chartName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)

// Validate reports what is wrong with a request.
func (r Request) Validate() error {
	if r.Artifact != (app.Artifact{}) {
		err := r.Artifact.Validate()
		if versions := r.versions(); versions != "" && err == nil {
			err = checkRange(versions)
		}
		return err
	}
	if !chartName.MatchString(r.Chart) {
		return fmt.Errorf("%q is not the name of a chart", r.Chart)
	}
	if r.Versions == "" {
		return fmt.Errorf("no version of chart %q is stated", r.Chart)
	}
	return checkRange(r.Versions)
}

func checkRange(versions string) error {
	if _, err := semver.NewConstraint(versions); err != nil {
		return fmt.Errorf("%q is neither a version nor a range of versions", versions)
	}
	return nil
}

// String is "chart NAME VERSIONS", or "artifact NAME REF".
func (r Request) String() string {
	if a := r.Artifact; a.Name != "" {
		return fmt.Sprintf("artifact %s %s", a.Name, a.Ref())
	}
	return fmt.Sprintf("chart %s %s", r.Chart, r.Versions)
}

// exact is the one version, tag or digest that is asked for; false if it is a range.
func (r Request) exact() (string, bool) {
	if r.Artifact.Name != "" {
		return r.Artifact.Named(), r.Artifact.Named() != ""
	}
	_, err := semver.StrictNewVersion(strings.TrimPrefix(r.Versions, "v"))
	return r.Versions, err == nil
}

// choose returns which of some versions a request means, by its place, as Helm does: the very text before anything else,
// then the highest. What is not a version is passed over; of versions that are equal, the first counts.
func (r Request) choose(versions []string) (int, error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	wanted := r.versions()
	within, err := semver.NewConstraint(wanted)
	if err != nil {
		return 0, err
	}
	chosen := -1
	var best *semver.Version
	for i, text := range versions {
		if text == wanted {
			return i, nil
		}
		v, err := semver.NewVersion(text)
		if err == nil && within.Check(v) && (best == nil || v.GreaterThan(best)) {
			chosen, best = i, v
		}
	}
	if chosen < 0 {
		return 0, fmt.Errorf("%w: none of its %d versions is in %q", ErrNoChart, len(versions), wanted)
	}
	return chosen, nil
}

// release is one version of a chart in a remote.
type release struct {
	Version string `json:"version"`
	// Digest is that of the archive's content, as hexadecimal digits of SHA-256; empty if the remote does not say.
	Digest string `json:"digest,omitempty"`
	// Location is where the archive is: a URL, or the digest of a manifest.
	Location string `json:"location"`
}

var sha256Digits = regexp.MustCompile(`^[0-9a-f]{64}$`)

// errDigest is for a digest of another form.
var errDigest = errors.New("its digest is not one of SHA-256")

// digits takes apart a digest, which may be empty.
func digits(text string) (string, error) {
	hex := strings.ToLower(strings.TrimPrefix(text, "sha256:"))
	if hex != "" && !sha256Digits.MatchString(hex) {
		return "", errDigest
	}
	return hex, nil
}
