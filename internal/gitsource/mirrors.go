// Package gitsource keeps local mirrors of Git repositories and answers what is in them. Mirrors holds a directory of
// bare repositories, one per source; a Mirror fetches its own, resolves branches, tags, version ranges and commits,
// and shows a commit as a read-only file system (package gittree). What a remote held last stays in force while it is
// away, holds less than before, or sends what cannot be used; State says since when and why. The git command does the
// transport, without the settings of its users and with credentials that it is handed one call at a time. The package
// does not poll by itself, has no opinion on what a repository contains, and writes to no remote.
package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nave.dev/internal/gitsource/gittree"
)

// Options tune Mirrors; the zero value works.
type Options struct {
	// Git is the git command: a path, or a name to be found in PATH. Empty means "git".
	Git string
	// CacheBytes is how much file content of all mirrors is kept in memory; 0 means gittree.DefaultCacheBytes.
	CacheBytes int64
	// MaxBlob is the size in bytes of the largest file that can be read; 0 means gittree.DefaultMaxBlob.
	MaxBlob int64
	// MaxFiles is how many files and directories a commit may have; 0 means gittree.DefaultMaxFiles.
	MaxFiles int
	// FetchTimeout is how long one fetch may take, the first of a large repository included; 0 means 15 minutes. A
	// transfer that stalls is given up after a minute.
	FetchTimeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Listener is told what happens.
	Listener Listener
}

// Listener is told facts, in the goroutine in which they happen. Functions that are nil are not called.
type Listener struct {
	Fetched  func(FetchedInfo)
	Damaged  func(DamagedInfo)
	Repaired func(RepairedInfo)
}

// FetchedInfo is about a fetch that has ended.
type FetchedInfo struct {
	Source  string
	Changed bool          // the remote had something new
	Took    time.Duration // by the clock of the options
	Err     error         // why it failed; nil if it did not
}

// DamagedInfo is about a mirror that was found to be damaged. The next fetch replaces it.
type DamagedInfo struct {
	Source string
	Err    error
}

// RepairedInfo is about a damaged mirror that was replaced.
type RepairedInfo struct {
	Source string
	Damage string
}

const (
	defaultFetchTimeout = 15 * time.Minute
	listTimeout         = time.Minute // for asking a remote what it has
)

// Mirrors is a cache directory with a mirror for each source. It is safe for concurrent use, also by several
// processes on one directory. Close it when done.
type Mirrors struct {
	dir   string
	opts  Options
	git   *git
	cache *gittree.Cache

	mu      sync.Mutex
	mirrors map[string]*Mirror // by directory
	closed  bool
}

// Open makes a directory ready to hold mirrors, creating it if needed. What is in it can be deleted while no process
// uses it, at the price of fetching again.
func Open(ctx context.Context, dir string, opts Options) (*Mirrors, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening mirrors: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening mirrors: %w", err)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.FetchTimeout <= 0 {
		opts.FetchTimeout = defaultFetchTimeout
	}
	g, err := newGit(ctx, opts.Git, dir)
	if err != nil {
		return nil, fmt.Errorf("opening mirrors: %w", err)
	}
	return &Mirrors{dir: dir, opts: opts, git: g, cache: gittree.NewCache(opts.CacheBytes), mirrors: map[string]*Mirror{}}, nil
}

// Mirror returns the mirror of a source. Two sources have two mirrors even of the same URL, so that what one may read
// with its credentials is not open to the other. Asked again for the same source and URL it returns the same Mirror,
// which from then on uses the given credentials. It does not fetch. The error joins all that is wrong with the remote.
func (ms *Mirrors) Mirror(source string, remote Remote) (*Mirror, error) {
	if err := remote.Validate(); err != nil {
		return nil, fmt.Errorf("source %q: %w", source, err)
	}
	dir := filepath.Join(ms.dir, directoryName(source, remote.URL))
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.closed {
		return nil, errors.New("the mirrors are closed")
	}
	if m := ms.mirrors[dir]; m != nil {
		m.setRemote(remote)
		return m, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("source %q: making room for its mirror: %w", source, err)
	}
	m := newMirror(ms, source, dir, remote)
	ms.mirrors[dir] = m
	return m, nil
}

// directoryName is readable, and different for all sources and URLs.
func directoryName(source, url string) string {
	readable := []byte(source)
	for i, c := range readable {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
			readable[i] = '_'
		}
	}
	return string(readable[:min(len(readable), 40)]) + "-" + digest([]byte(source + "\x00" + url))[:16]
}

// Close ends the processes that read from mirrors. Fetches under way go on until their contexts end.
func (ms *Mirrors) Close() error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.closed = true
	var problems []error
	for _, m := range ms.mirrors {
		problems = append(problems, m.store.Close())
	}
	return errors.Join(problems...)
}
