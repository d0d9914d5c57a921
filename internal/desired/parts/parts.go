// Package parts takes what an app rendered to apart, into what asks for further
// apps and what is applied, and makes one whole of what the several sources of an
// app rendered to. Both are remembered by content. It renders and reads nothing.
package parts

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/flux"
	"nave.dev/internal/object"
	"nave.dev/internal/render"
)

// Split is a bundle, taken apart by what becomes of its objects. It is not changed
// once made.
type Split struct {
	Digest string // of the bundle
	// Asks are the objects that ask for apps.
	Asks []*unstructured.Unstructured
	// Leaves are what belongs to an installation of the Program whose kinds are read, so
	// many Installed objects, and what its author wants left alone.
	Leaves    app.ObjectRules
	Program   string
	Installed int
	// plain is the bundle without them, and bare that without Leaves either.
	plain, bare *app.Bundle
}

// Nothing is a bundle without objects.
var Nothing = func() *app.Bundle {
	bundle, err := app.NewBundle(nil, nil)
	if err != nil {
		panic(err) // there is nothing in it
	}
	return bundle
}()

// Cutter takes bundles apart, and makes one of several, and remembers. Its zero
// value is ready, and safe for concurrent use.
type Cutter struct {
	splits Memo[*Split] // nil of a bundle of which nothing is taken
	wholes Memo[*render.Result]
}

// Turn says that all bundles that are in use were asked about since the last call.
func (c *Cutter) Turn() {
	c.splits.Turn()
	c.wholes.Turn()
}

// Split takes a bundle apart.
func (c *Cutter) Split(bundle *app.Bundle) (*Split, error) {
	known, ok := c.splits.Find(bundle.Digest)
	if !ok {
		var err error
		if known, err = cut(bundle); err != nil {
			return nil, err
		}
		c.splits.Keep(bundle.Digest, known)
	}
	if known == nil {
		known = &Split{Digest: bundle.Digest, plain: bundle, bare: bundle}
	}
	return known, nil
}

// cut takes a bundle apart, and returns nil if nothing is taken.
func cut(bundle *app.Bundle) (*Split, error) {
	s := &Split{Digest: bundle.Digest}
	var plain, bare []*unstructured.Unstructured
	for _, u := range bundle.Objects {
		id := object.Of(u)
		if app.AsksForApps(id) {
			s.Asks = append(s.Asks, u)
			continue
		}
		plain = append(plain, u)
		program := programOf(u)
		if program != "" {
			s.Program = program
			s.Installed++
		}
		if program != "" || object.LeftAsked(u) {
			s.Leaves = append(s.Leaves, app.ObjectRule{Group: id.Group, Kind: id.Kind, Name: id.Name})
		} else {
			bare = append(bare, u)
		}
	}
	if len(s.Asks)+len(s.Leaves) == 0 {
		return nil, nil
	}
	var err error
	if s.plain, err = app.NewBundle(plain, bundle.Hooks, bundle.Encrypted...); err == nil {
		s.bare, err = app.NewBundle(bare, bundle.Hooks, bundle.Encrypted...)
	}
	return s, err
}

// programOf returns whose installation an object belongs to, if to any.
func programOf(u *unstructured.Unstructured) string {
	switch {
	case argocd.Installation(u):
		return "Argo CD"
	case flux.Installation(u):
		return "Flux"
	}
	return ""
}

// Rest is the bundle of what is applied, of an app of a tree or of any other.
func (s *Split) Rest(tree bool) *app.Bundle {
	if tree {
		return s.bare
	}
	return s.plain
}

// Without returns a result with what is applied of it.
func (s *Split) Without(result *render.Result, tree bool) *render.Result {
	rest := s.Rest(tree)
	if rest == result.Bundle {
		return result
	}
	out := *result
	out.Bundle = rest
	return &out
}

// Whole makes one result of those of an app's parts: of an object that several
// have, that of the last one counts.
func (c *Cutter) Whole(parts []*render.Result) (*render.Result, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	digests := make([][]byte, len(parts))
	for i, part := range parts {
		digests[i] = []byte(part.Bundle.Digest)
	}
	key := object.Digest(digests...)
	out := &render.Result{}
	for _, part := range parts {
		out.FactsUsed = out.FactsUsed || part.FactsUsed
		out.Warnings = append(out.Warnings, part.Warnings...)
	}
	merged, ok := c.wholes.Find(key)
	if !ok {
		var err error
		if merged, err = merge(parts); err != nil {
			return nil, err
		}
		c.wholes.Keep(key, merged)
	}
	out.Bundle, out.Warnings = merged.Bundle, slices.Concat(out.Warnings, merged.Warnings)
	return out, nil
}

// merge returns the objects of all parts, and a warning for each that counts in
// place of another.
func merge(parts []*render.Result) (*render.Result, error) {
	last := map[object.ID]*unstructured.Unstructured{}
	var replaced []object.ID
	var hooks []*unstructured.Unstructured
	encrypted := map[string]app.EncryptedFile{}
	for i, part := range parts {
		for _, u := range part.Bundle.Objects {
			id := object.Of(u)
			if last[id] != nil {
				replaced = append(replaced, id)
			}
			last[id] = u
		}
		hooks = append(hooks, part.Bundle.Hooks...)
		for _, file := range part.Bundle.Encrypted {
			if other, twice := encrypted[file.Path]; twice && string(other.Data) != string(file.Data) {
				return nil, fmt.Errorf("source %d has another encrypted file %q than one before it\nhint: keep them under different paths", i+1, file.Path)
			}
			encrypted[file.Path] = file
		}
	}
	out := &render.Result{}
	slices.SortFunc(replaced, object.Compare)
	for _, id := range slices.Compact(replaced) {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%s is in several sources; that of the last one counts", id))
	}
	var err error
	out.Bundle, err = app.NewBundle(slices.Collect(maps.Values(last)), hooks, slices.Collect(maps.Values(encrypted))...)
	return out, err
}
