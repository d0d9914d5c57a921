// Package ledger remembers what each cluster of a fleet was last given, over
// restarts of whoever gives it: apps, options, bundles, and what was taken from
// them that may not be gone yet. A Ledger is a directory with a file for each
// cluster and the bundles that these name, by content and compressed, so that
// clusters share them. It decides nothing. Losing it costs no safety: of a cluster
// without an entry nothing is taken for known.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Entry is what one cluster was last given. It is not changed once kept.
type Entry struct {
	Fleet string         `json:"fleet"`
	Apps  map[string]App `json:"apps"` // also those that left the cluster with objects behind
	// Gone are objects whose deletion the fleet's budget has let pass, and
	// Snapshot is that of which they count against it.
	Gone     []object.ID `json:"gone,omitempty"`
	Snapshot string      `json:"snapshot,omitempty"`
}

// App is what a cluster was last given of one app.
type App struct {
	// Options are those that it was given with, nil if it was not. They are shared with
	// what the cluster was given, and not changed.
	Options *app.Options `json:"options,omitempty"`
	// Bundle is the digest of the bundle; empty if the app is not given any more.
	Bundle string `json:"bundle,omitempty"`
	// Removed says that the app is given so that its objects are deleted.
	Removed bool `json:"removed,omitempty"`
	// Left are objects that the app had, does not want, and may still have on the
	// cluster: held, or not to be deleted for now.
	Left []object.ID `json:"left,omitempty"`
	// Hold says why the fleet's budget holds the deletion of Left, if it does.
	Hold string `json:"hold,omitempty"`
	// Unknown says that the app may have more objects on the cluster than this.
	Unknown bool `json:"unknown,omitempty"`
}

// Given returns the options that the app was given with, none if it was not.
func (a App) Given() app.Options {
	if a.Options == nil {
		return app.Options{}
	}
	return *a.Options
}

// Ledger keeps entries. It is safe for concurrent use.
type Ledger struct {
	dir string

	mu      sync.Mutex
	entries map[string]Entry
	uses    map[string]int  // of bundles, by the entries and by those who write one
	damaged map[string]bool // bundles that could not be read
	found   map[string]bool // clusters whose entries were read from files
	changes uint64
}

// format changes with the form of the files; others are not read.
const format = "ledger-1"

// Open reads the ledger in a directory, which it has for itself. What cannot be
// read is left out, and the problems say what that is; an error means that the
// directory cannot be used at all.
func Open(dir string) (ledger *Ledger, problems []error, err error) {
	l := &Ledger{dir: filepath.Join(dir, format), entries: map[string]Entry{}, uses: map[string]int{}, damaged: map[string]bool{}, found: map[string]bool{}}
	for _, sub := range []string{clusterFiles, bundleFiles} {
		if err := os.MkdirAll(filepath.Join(l.dir, sub), 0o700); err != nil {
			return nil, nil, fmt.Errorf("opening the ledger: %w", err)
		}
	}
	files, err := os.ReadDir(filepath.Join(l.dir, clusterFiles))
	if err != nil {
		return nil, nil, fmt.Errorf("opening the ledger: %w", err)
	}
	for _, file := range files {
		cluster, ok := strings.CutSuffix(file.Name(), ".json")
		if !ok {
			continue
		}
		entry, err := l.read(cluster)
		if err != nil {
			problems = append(problems, fmt.Errorf("reading what the cluster %q was last given: %w", cluster, err))
			continue
		}
		l.entries[cluster], l.found[cluster] = entry, true
		l.use(entry, 1)
	}
	return l, append(problems, l.sweep()...), nil
}

// Entry returns what a cluster was last given, if that is known.
func (l *Ledger) Entry(cluster string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, ok := l.entries[cluster]
	return entry, ok
}

// Bundle reads a bundle that an entry names.
func (l *Ledger) Bundle(digest string) (*app.Bundle, error) {
	data, err := readCompressed(l.bundlePath(digest))
	var bundle *app.Bundle
	if err == nil {
		bundle, err = app.DecodeBundle(data)
	}
	if err == nil && bundle.Digest != digest {
		err = fmt.Errorf("it is the bundle %s", bundle.Digest)
	}
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.damaged[digest] = true
		return nil, fmt.Errorf("reading the bundle %s: %w", digest, err)
	}
	return bundle, nil
}

// Compressed opens a bundle as it is kept, compressed by gzip.
func (l *Ledger) Compressed(digest string) (*os.File, error) { return os.Open(l.bundlePath(digest)) }

// Keep makes an entry the cluster's. It is on the disk when the call returns, as
// are those of the bundles that no entry had; with an error, what was kept before
// stays. Bundles that no entry names any more are removed.
func (l *Ledger) Keep(cluster string, entry Entry, bundles []*app.Bundle) error {
	l.mu.Lock()
	before, had := l.entries[cluster]
	if had && reflect.DeepEqual(before, entry) {
		if l.found[cluster] { // what the cluster is given shares its options
			l.entries[cluster] = entry
			delete(l.found, cluster)
		}
		l.mu.Unlock()
		return nil
	}
	var fresh []*app.Bundle
	for _, bundle := range bundles {
		if l.uses[bundle.Digest] == 0 || l.damaged[bundle.Digest] {
			fresh = append(fresh, bundle)
			delete(l.damaged, bundle.Digest)
		}
	}
	l.use(entry, 1) // so that nobody removes them meanwhile
	l.mu.Unlock()
	err := l.write(cluster, entry, fresh)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.use(entry, -1)
		l.drop(entry)
		return fmt.Errorf("writing what the cluster %q is given: %w", cluster, err)
	}
	l.entries[cluster] = entry
	l.changes++
	delete(l.found, cluster)
	l.use(before, -1)
	l.drop(before)
	return nil
}

// Changes is how often an entry became another one in this process.
func (l *Ledger) Changes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}

// Forget removes a cluster's entry.
func (l *Ledger) Forget(cluster string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, ok := l.entries[cluster]
	if !ok {
		return nil
	}
	if err := os.Remove(l.clusterPath(cluster)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing what the cluster %q was given: %w", cluster, err)
	}
	delete(l.entries, cluster)
	l.changes++
	delete(l.found, cluster)
	l.use(before, -1)
	l.drop(before)
	return nil
}

// use counts the bundles of an entry.
func (l *Ledger) use(entry Entry, times int) {
	for _, given := range entry.Apps {
		if given.Bundle != "" {
			l.uses[given.Bundle] += times
		}
	}
}

// drop removes those bundles of an entry that nobody uses. One that cannot be
// removed goes when the ledger is next opened.
func (l *Ledger) drop(entry Entry) {
	for _, given := range entry.Apps {
		if uses, known := l.uses[given.Bundle]; known && uses == 0 {
			delete(l.uses, given.Bundle)
			_ = os.Remove(l.bundlePath(given.Bundle))
		}
	}
}

// write writes bundles and then the entry that names them.
func (l *Ledger) write(cluster string, entry Entry, bundles []*app.Bundle) error {
	for _, bundle := range bundles {
		data, err := bundle.Encode()
		if err != nil {
			return err
		}
		if err := writeCompressed(l.bundlePath(bundle.Digest), data); err != nil {
			return err
		}
	}
	data, err := json.Marshal(sealed{Cluster: cluster, Entry: entry})
	if err != nil {
		return err
	}
	return writeDurably(l.clusterPath(cluster), data)
}

// sealed is an entry in its file.
type sealed struct {
	Cluster string `json:"cluster"`
	Entry
}

func (l *Ledger) read(cluster string) (Entry, error) {
	data, err := readSealed(l.clusterPath(cluster))
	if err != nil {
		return Entry{}, err
	}
	var found sealed
	if err := json.Unmarshal(data, &found); err != nil {
		return Entry{}, err
	}
	if found.Cluster != cluster {
		return Entry{}, fmt.Errorf("it is about the cluster %q", found.Cluster)
	}
	return found.Entry, nil
}
