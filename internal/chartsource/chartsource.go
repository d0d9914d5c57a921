// Package chartsource keeps what was fetched from Helm chart repositories and OCI registries, and answers which archive
// a chart and a range of versions stand for, or an artifact with files. Charts is a directory with a Repository for each source; a Repository
// fetches an index or the tags of a registry, the archives that were asked for, each once, and shows an archive as a
// read-only file system (package archive). Archives are named by the digest of their content, and what a range stood for
// last stays in force while the remote is away or holds less than before; State says since when and why. The package
// does not poll by itself, renders nothing and does not import Helm.
package chartsource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"nave.dev/internal/chartsource/archive"
)

// Options tune Charts; the zero value works.
type Options struct {
	// Limits of what an archive may hold.
	Limits archive.Limits
	// MaxArchive is the size in bytes of the largest archive that is fetched; 0 means 20 MiB.
	MaxArchive int64
	// MaxIndex is the size in bytes of the largest index that is read; 0 means 64 MiB.
	MaxIndex int64
	// FetchTimeout is how long one fetch may take; 0 means 5 minutes.
	FetchTimeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Charts is a cache directory with a Repository for each source. It is safe for concurrent use, also by several
// processes on one directory.
type Charts struct {
	dir  string
	opts Options

	unpacking    sync.Mutex // of one archive at a time: each may take as much memory as its limits let it
	mu           sync.Mutex
	repositories map[string]*Repository // by directory
}

// Open makes a directory ready, creating it if needed. What is in it can be deleted while no process uses it, at the
// price of fetching again.
func Open(dir string, opts Options) (*Charts, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("opening charts: %w", err)
	}
	if opts.MaxArchive <= 0 {
		opts.MaxArchive = 20 << 20
	}
	if opts.MaxIndex <= 0 {
		opts.MaxIndex = 64 << 20
	}
	if opts.FetchTimeout <= 0 {
		opts.FetchTimeout = 5 * time.Minute
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Charts{dir: dir, opts: opts, repositories: map[string]*Repository{}}, nil
}

// Repository returns that of a source. Two sources have two of them even for the same URL, so that what one may read
// with its credentials is not open to the other. Asked again for the same source and URL it returns the same
// Repository, which from then on uses the given credentials. It does not fetch.
func (c *Charts) Repository(source string, remote Remote) (*Repository, error) {
	if err := remote.Validate(); err != nil {
		return nil, fmt.Errorf("source %q: %w", source, err)
	}
	dir := filepath.Join(c.dir, directoryName(source, remote.URL))
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.repositories[dir]; r != nil {
		r.setRemote(remote)
		return r, nil
	}
	for _, part := range []string{wantsDir, archivesDir} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o700); err != nil {
			return nil, fmt.Errorf("source %q: making room for its charts: %w", source, err)
		}
	}
	r := newRepository(c.opts, source, dir, remote)
	r.unpacking = &c.unpacking
	c.repositories[dir] = r
	return r, nil
}

var notReadable = regexp.MustCompile(`[^a-zA-Z0-9-]`)

// directoryName is readable, and different for all sources and URLs.
func directoryName(source, url string) string {
	readable := notReadable.ReplaceAllString(source, "_")
	return readable[:min(len(readable), 40)] + "-" + digest([]byte(source + "\x00" + url))[:16]
}

// ErrNotFetched is in the error of a call that needs a fetch to have succeeded.
var ErrNotFetched = errors.New("it has not been fetched yet")

// ErrNoChart is in the error of Resolve for a chart or version that the repository does not have and has never had.
var ErrNoChart = errors.New("the repository has no such chart")
