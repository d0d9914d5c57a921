package protocol

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"

	"nave.dev/internal/app"
	"nave.dev/internal/spoke"
)

// Assignment is what one cluster should hold, with the bundles by their digests.
type Assignment struct {
	Cluster string `json:"cluster"`
	Fleet   string `json:"fleet"`
	// Number rises with every assignment that differs from the one before.
	Number int64 `json:"number"`
	// Key names all that is here but the checks: what a report says that it is about.
	Key  string `json:"key"`
	Apps []App  `json:"apps"`
	// Incomplete says why not all apps are known, if so, and Rendering that the rest
	// follows.
	Incomplete string            `json:"incomplete,omitempty"`
	Rendering  bool              `json:"rendering,omitempty"`
	Sources    map[string]string `json:"sources,omitempty"`
	Holds      map[string]string `json:"holds,omitempty"`
	// Checks are the fleet's own health checks.
	Checks Checks `json:"checks,omitzero"`
}

// App is what a cluster should hold of one app.
type App struct {
	Name    string      `json:"name"`
	Options app.Options `json:"options,omitzero"`
	Removed bool        `json:"removed,omitempty"`
	Bundle  string      `json:"bundle,omitempty"` // its digest; empty if there is none
	Error   string      `json:"error,omitempty"`
}

// Checks are a directory of health checks, as a zip archive.
type Checks struct {
	Digest  string `json:"digest,omitempty"` // of their content; empty if there are none
	Archive []byte `json:"archive,omitempty"`
}

// NewChecks packs the directory of a tree. Without a digest there are none.
func NewChecks(files fs.FS, dir, digest string) (Checks, error) {
	if digest == "" {
		return Checks{}, nil
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	sub, err := fs.Sub(files, dir)
	if err == nil {
		err = w.AddFS(sub)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return Checks{}, fmt.Errorf("packing health checks: %w", err)
	}
	return Checks{Digest: digest, Archive: out.Bytes()}, nil
}

// Files returns the directory, or nil if there are none.
func (c Checks) Files() (fs.FS, error) {
	if c.Digest == "" {
		return nil, nil
	}
	files, err := zip.NewReader(bytes.NewReader(c.Archive), int64(len(c.Archive)))
	if err != nil {
		return nil, fmt.Errorf("unpacking health checks: %w", err)
	}
	return files, nil
}

// NewAssignment returns an assignment as it is sent.
func NewAssignment(a *spoke.Assigned, key string, checks Checks) Assignment {
	out := Assignment{
		Cluster: a.Cluster, Fleet: a.Fleet, Number: a.Number, Key: key, Apps: []App{},
		Sources: a.Sources, Holds: a.Holds, Checks: checks,
	}
	if a.Incomplete != nil {
		out.Incomplete, out.Rendering = a.Incomplete.Error(), errors.Is(a.Incomplete, app.ErrRendering)
	}
	for _, desired := range a.Apps {
		one := App{Name: desired.Name, Options: desired.Options, Removed: desired.Removed}
		if desired.Bundle != nil {
			one.Bundle = desired.Bundle.Digest
		}
		if desired.Err != nil {
			one.Error = cmp.Or(desired.Err.Error(), "it is in error")
		}
		out.Apps = append(out.Apps, one)
	}
	return out
}

// Bundles returns the digests of all bundles, each once.
func (a Assignment) Bundles() []string {
	seen := map[string]bool{}
	var digests []string
	for _, one := range a.Apps {
		if one.Bundle != "" && !seen[one.Bundle] {
			seen[one.Bundle] = true
			digests = append(digests, one.Bundle)
		}
	}
	return digests
}

// Assigned returns the assignment as a spoke takes it. A bundle that cannot be had
// puts its app in error: nothing of it is deleted.
func (a Assignment) Assigned(bundle func(digest string) (*app.Bundle, error)) (*spoke.Assigned, error) {
	out := &spoke.Assigned{Assignment: &app.Assignment{Cluster: a.Cluster, Fleet: a.Fleet}, Number: a.Number, Sources: a.Sources, Holds: a.Holds}
	seen := map[string]bool{}
	for _, one := range a.Apps {
		if one.Name == "" || seen[one.Name] {
			return nil, fmt.Errorf("assignment %d has the app %q twice, or without a name", a.Number, one.Name)
		}
		seen[one.Name] = true
		desired := app.Desired{Name: one.Name, Options: one.Options, Removed: one.Removed}
		if one.Error != "" {
			desired.Err = errors.New(one.Error)
		}
		if one.Bundle != "" {
			var err error
			if desired.Bundle, err = bundle(one.Bundle); err != nil {
				desired.Bundle, desired.Err = nil, errors.Join(desired.Err, err)
			}
		}
		if desired.Bundle == nil && desired.Err == nil {
			return nil, fmt.Errorf("assignment %d has neither objects nor an error for the app %q", a.Number, one.Name)
		}
		out.Apps = append(out.Apps, desired)
	}
	out.Sort()
	switch {
	case a.Rendering:
		out.Incomplete = app.ErrRendering
	case a.Incomplete != "":
		out.Incomplete = errors.New(a.Incomplete)
	}
	return out, nil
}

// MaxBundle is how many bytes a bundle may have once it is no longer compressed.
const MaxBundle = 512 << 20

// EncodeBundle returns a bundle as it is sent and kept: JSON, compressed.
func EncodeBundle(b *app.Bundle) ([]byte, error) {
	data, err := b.Encode()
	if err != nil {
		return nil, err
	}
	return compress(data)
}

// DecodeBundle reads what EncodeBundle wrote, and wants it to be the one of the
// digest.
func DecodeBundle(data []byte, digest string) (*app.Bundle, error) {
	plain, err := decompress(bytes.NewReader(data), MaxBundle)
	var b *app.Bundle
	if err == nil {
		b, err = app.DecodeBundle(plain)
	}
	if err == nil && b.Digest != digest {
		err = fmt.Errorf("it is the bundle %s", b.Digest)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the bundle %s: %w", digest, err)
	}
	return b, nil
}
