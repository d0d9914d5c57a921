// Package remotes shows the renders of a Delivery the other repositories of its
// fleet. It resolves and opens nothing itself, and reaches no network.
package remotes

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"strings"
	"sync"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/fleet"
	"nave.dev/internal/gitsource/submodule"
	"nave.dev/internal/gitsource/webhook"
	"nave.dev/internal/render"
)

// ErrUnfetched says that a source has to be fetched first.
var ErrUnfetched = errors.New("the source was not fetched yet")

// Tree is one commit as files, with the hash of each where it is known.
type Tree interface {
	fs.FS
	Hash(path string) (string, bool)
}

// Remotes shows the renders of one Delivery the other repositories that its kustomizations refer to, and the charts that
// its charts depend on: sources of the fleet that the Delivery may use, each at a commit, or an archive, that is pinned
// in the snapshot when it is first asked for. It reaches no network, since a render has a deadline; what was never
// fetched is noted instead.
type Remotes struct {
	Fleet    *fleet.Fleet
	Delivery string
	Own      v1alpha1.Source // the fleet repository
	OwnURLs  []string        // by which it may be known
	// Commit returns the commit of a source that a ref means, or the archive of a chart, and Tree its files.
	Commit func(source v1alpha1.Source, ref string) (string, error)
	Tree   func(source, commit string) (Tree, error)

	mu        sync.Mutex
	open      map[string]Tree            // by name, without submodules
	whole     map[string]Tree            // by name, with them
	unfetched map[string]v1alpha1.Source // by Needed
}

// Remote implements render.Remotes. The name has no commit in it, so that a render is repeated only if a file that it
// read differs. A ref with the form of a v1alpha1.ChartVersion, which none of Git has, is a chart of a chart repository.
func (r *Remotes) Remote(repository, ref string) (string, error) {
	source, err := r.source(repository, ref)
	if err != nil {
		return "", err
	}
	name := Name(source.Name, ref)
	_, err = r.files(name, source, ref)
	return name, err
}

func (r *Remotes) source(repository, ref string) (v1alpha1.Source, error) {
	if _, chart := v1alpha1.ParseChartVersion(ref); chart {
		return r.Fleet.ChartSource(r.Delivery, repository, func(s v1alpha1.Source) bool {
			return s.Type == v1alpha1.SourceHelm && chartsource.Same(s.URL, repository)
		})
	}
	return r.gitSource(repository, ref)
}

func (r *Remotes) gitSource(repository, ref string) (v1alpha1.Source, error) {
	return r.Fleet.RemoteSource(r.Delivery, repository, ref, func(s v1alpha1.Source) bool {
		return s.IsGit() && webhook.SameRepository(s.URL, repository)
	})
}

// ownName is that of the fleet repository among those that a render is shown; no source can have it.
const ownName = "_fleet"

// Name names a source at a ref, both empty for its own and for the fleet repository.
func Name(source, ref string) string {
	if source == "" {
		source = ownName
	}
	if ref != "" {
		source += "@" + url.PathEscape(ref)
	}
	return source
}

// Files implements render.Remotes. What may not be used is refused here as well: names are no secret.
func (r *Remotes) Files(name string) (fs.FS, render.Hashes, error) {
	sourceName, escaped, _ := strings.Cut(name, "@")
	ref, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the ref of %q: %w", name, err)
	}
	if sourceName == ownName {
		files, err := r.wholeFiles(name, r.Own, ref)
		return files, files, err
	}
	source, err := r.Fleet.UsableSource(r.Delivery, sourceName)
	if err != nil {
		return nil, nil, err
	}
	files, err := r.wholeFiles(name, source, ref)
	return files, files, err
}

// Whole shows the files of a source with those of their submodules. Where a repository says that a submodule's is, that
// one has to be a source that the Delivery may use: its address counts, and its credentials, at the commit that the tree
// of files records.
func (r *Remotes) Whole(files Tree, source string) Tree {
	urls := r.OwnURLs
	if source != "" {
		urls = nil
		for _, s := range r.Fleet.Sources {
			if s.Name == source {
				urls = []string{s.URL}
			}
		}
	}
	return submodule.Show(files, urls, r.submodule)
}

// submodule opens the first of some repositories that may be used.
func (r *Remotes) submodule(urls []string, commit string) (fs.FS, error) {
	var refusal error
	for _, address := range urls {
		source, err := r.gitSource(address, "") // what is advised has no commit, which the tree states
		if err == nil {
			return r.files(Name(source.Name, commit), source, commit)
		}
		refusal = cmp.Or(refusal, err)
	}
	return nil, refusal
}

// wholeFiles is files with submodules.
func (r *Remotes) wholeFiles(name string, source v1alpha1.Source, ref string) (Tree, error) {
	files, err := r.files(name, source, ref)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.whole[name] == nil {
		if r.whole == nil {
			r.whole = map[string]Tree{}
		}
		r.whole[name] = r.Whole(files, source.Name)
	}
	return r.whole[name], nil
}

// files returns the files of a source at a ref.
func (r *Remotes) files(name string, source v1alpha1.Source, ref string) (Tree, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if files, ok := r.open[name]; ok {
		return files, nil
	}
	commit, err := r.Commit(source, ref)
	if errors.Is(err, ErrUnfetched) {
		if r.unfetched == nil {
			r.unfetched = map[string]v1alpha1.Source{}
		}
		r.unfetched[Needed(source, ref)] = source
	}
	if err != nil {
		return nil, err
	}
	files, err := r.Tree(source.Name, commit)
	if err == nil {
		if r.open == nil {
			r.open = map[string]Tree{}
		}
		r.open[name] = files
	}
	return files, err
}

// Missing returns the sources that the renders wanted something of that was never fetched, by Needed.
func (r *Remotes) Missing() map[string]v1alpha1.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.unfetched)
}

// Needed names what has to be fetched for a ref: a Git source as a whole, of others a chart or artifact.
func Needed(source v1alpha1.Source, ref string) string {
	if source.IsGit() {
		return source.Name
	}
	return source.Name + "@" + ref
}
