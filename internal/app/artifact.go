package app

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Artifact says which artifact of a registry counts, and what of it. Of Digest, Versions and Tag the first that is set
// does; without any it is the tag "latest".
type Artifact struct {
	Name     string `json:"name"`               // below the place of its source
	Digest   string `json:"digest,omitempty"`   // of its manifest, as sha256:DIGITS
	Versions string `json:"versions,omitempty"` // a range, of which the tag with the highest version counts
	Filter   string `json:"filter,omitempty"`   // a regular expression that tags match which Versions may be
	Tag      string `json:"tag,omitempty"`
	// Files says that it is a tree of files, and no Helm chart; Layer is the media type of the layer that these are in,
	// empty for the first layer.
	Files bool   `json:"files,omitempty"`
	Layer string `json:"layer,omitempty"`
}

var (
	artifactName   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$`)
	artifactDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	artifactTag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// maxFilter is how long a Filter may be, in bytes.
const maxFilter = 1 << 10

// Validate reports what is wrong with it. Whether Versions are a range is for others to say.
func (a Artifact) Validate() error {
	var problems []error
	if !artifactName.MatchString(a.Name) {
		problems = append(problems, fmt.Errorf("%q is not the name of an artifact", a.Name))
	}
	if a.Digest != "" && !artifactDigest.MatchString(a.Digest) {
		problems = append(problems, fmt.Errorf("digest %q is not sha256: with 64 hexadecimal digits", a.Digest))
	}
	if _, err := regexp.Compile(a.Filter); err != nil || len(a.Filter) > maxFilter {
		problems = append(problems, fmt.Errorf("the filter %.100q is not a regular expression of at most %d bytes", a.Filter, maxFilter))
	}
	if a.Tag != "" && !artifactTag.MatchString(a.Tag) {
		problems = append(problems, fmt.Errorf("%q is not a tag", a.Tag))
	}
	return errors.Join(problems...)
}

// Ref returns the digest, range or tag that counts, for people to read.
func (a Artifact) Ref() string { return cmp.Or(a.Digest, a.Versions, a.Tag, latest) }

const latest = "latest"

// Named returns the digest or tag that counts; empty where a range does.
func (a Artifact) Named() string {
	if a.Digest == "" && a.Versions != "" {
		return ""
	}
	return a.Ref()
}

// artifactPrefix begins the text of an Artifact; no revision of Git begins so.
const artifactPrefix = "artifact:"

// String returns what of it counts as one word, which ParseArtifact reads, such as "artifact:web?files=true&tag=v1".
func (a Artifact) String() string {
	values := url.Values{}
	switch {
	case a.Digest != "":
		values.Set("digest", a.Digest)
	case a.Versions != "":
		values.Set("semver", a.Versions)
	default:
		values.Set("tag", a.Ref())
	}
	if a.Named() == "" && a.Filter != "" {
		values.Set("filter", a.Filter)
	}
	if a.Layer != "" {
		values.Set("layer", a.Layer)
	}
	if a.Files {
		values.Set("files", "true")
	}
	return artifactPrefix + a.Name + "?" + values.Encode()
}

// ParseArtifact reads what String wrote; false means that the text is of something else.
func ParseArtifact(text string) (Artifact, bool) {
	rest, ok := strings.CutPrefix(text, artifactPrefix)
	name, query, both := strings.Cut(rest, "?")
	values, err := url.ParseQuery(query)
	if !ok || !both || err != nil {
		return Artifact{}, false
	}
	a := Artifact{
		Name: name, Digest: values.Get("digest"), Versions: values.Get("semver"), Filter: values.Get("filter"), Tag: values.Get("tag"),
		Files: values.Get("files") == "true", Layer: values.Get("layer"),
	}
	return a, a.String() == text && a.Validate() == nil
}
