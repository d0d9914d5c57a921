// Package chartserver is the lab's Helm repository. Add packs a chart's directory into an archive, which stands beside
// those of its other versions and is listed in index.yaml; Server serves both, and can be told to be away. A repository
// is one directory. The package does not import Helm, resolves no dependencies and signs nothing.
package chartserver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"nave.dev/internal/atomicfile"
)

const indexName = "index.yaml"

// index is a repository's index.yaml.
type index struct {
	APIVersion string             `yaml:"apiVersion"`
	Entries    map[string][]entry `yaml:"entries"`
}

// entry is one version of a chart.
type entry struct {
	APIVersion string   `yaml:"apiVersion"`
	Name       string   `yaml:"name"`
	Version    string   `yaml:"version"`
	Digest     string   `yaml:"digest"`
	URLs       []string `yaml:"urls"`
}

// Add packs a chart's directory into the repository in the directory root, which is created if it is missing, and
// returns the chart's name and version. A version that is there already is replaced. Two calls at a time for one root
// may lose an entry of the index.
func Add(root, dir string) (name, version string, err error) {
	packed, err := pack(os.DirFS(dir))
	if err != nil {
		return "", "", fmt.Errorf("packing the chart in %q: %w", dir, err)
	}
	listed, err := readIndex(root)
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", "", fmt.Errorf("making the chart repository: %w", err)
	}
	file := packed.Name + "-" + packed.Version + ".tgz"
	versions := slices.DeleteFunc(listed.Entries[packed.Name], func(e entry) bool { return e.Version == packed.Version })
	listed.Entries[packed.Name] = append(versions, entry{packed.APIVersion, packed.Name, packed.Version, packed.digest, []string{file}})
	text, err := yaml.Marshal(listed)
	if err == nil {
		err = atomicfile.Write(filepath.Join(root, file), packed.data) // first, so that the index never names what is not there
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(root, indexName), text)
	}
	if err != nil {
		return "", "", fmt.Errorf("adding chart %s %s: %w", packed.Name, packed.Version, err)
	}
	return packed.Name, packed.Version, nil
}

// readIndex reads a repository's index; one that is not there is empty.
func readIndex(root string) (index, error) {
	listed := index{APIVersion: "v1"}
	data, err := os.ReadFile(filepath.Join(root, indexName))
	if err == nil {
		err = yaml.Unmarshal(data, &listed)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return index{}, fmt.Errorf("reading the index of the chart repository: %w", err)
	}
	if listed.Entries == nil {
		listed.Entries = map[string][]entry{}
	}
	return listed, nil
}

// Server serves the repository in the directory Root by HTTP: /index.yaml and the archives beside it. It is safe for
// concurrent use.
type Server struct {
	Root string
	away atomic.Bool
}

// SetAway has the server answer everything with 503, or serve again.
func (s *Server) SetAway(away bool) { s.away.Store(away) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	switch {
	case s.away.Load():
		http.Error(w, "the chart repository is stopped on purpose", http.StatusServiceUnavailable)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "charts are added by nave-lab git charts add", http.StatusMethodNotAllowed)
	case strings.ContainsRune(name, '/') || name != indexName && path.Ext(name) != ".tgz":
		http.NotFound(w, r)
	default:
		s.serveFile(w, r, name)
	}
}

// serveFile serves a file of the repository. An index that nothing was added to is empty.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	data, err := os.ReadFile(filepath.Join(s.Root, name))
	if errors.Is(err, fs.ErrNotExist) && name == indexName {
		data, err = yaml.Marshal(index{APIVersion: "v1", Entries: map[string][]entry{}})
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.NotFound(w, r)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Write(data)
	}
}
