package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nave.dev/internal/atomicfile"
)

// Fetch brings the mirror up to date with its remote. It asks the remote what it has, and if that is what it had last
// time, nothing else happens. Calls that come while a fetch runs share the next one. A fetch that fails leaves what was
// fetched before in force; the error is also in the State. One that ends with ctx counts neither as success nor as failure.
func (m *Mirror) Fetch(ctx context.Context) (State, error) {
	m.mu.Lock()
	begun := m.started
	m.mu.Unlock()
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return m.State(), fmt.Errorf("fetching source %q: %w", m.source, context.Cause(ctx))
	}
	m.mu.Lock()
	if m.finished > begun { // that one began after this call, so it has seen all that this one could
		outcome := m.outcome
		m.mu.Unlock()
		return m.State(), outcome
	}
	m.started++
	number, remote := m.started, m.remote
	m.mu.Unlock()

	began := m.owner.opts.Now()
	changed, err := m.fetch(ctx, remote)
	if err != nil {
		err = fmt.Errorf("fetching source %q: %w", m.source, err)
		if ctx.Err() != nil {
			return m.State(), err
		}
	}
	err = m.settle(began, err)
	m.mu.Lock()
	m.finished, m.outcome = number, err
	m.mu.Unlock()
	if told := m.owner.opts.Listener.Fetched; told != nil {
		told(FetchedInfo{Source: m.source, Changed: changed, Took: m.owner.opts.Now().Sub(began), Err: err})
	}
	return m.State(), err
}

// settle keeps how a fetch went.
func (m *Mirror) settle(began time.Time, err error) error {
	head, commit := "", ""
	if r, e := m.known(); e == nil {
		head, commit = strings.TrimPrefix(r.head, "refs/heads/"), r.commits[r.head]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.state = m.state.failed(began, err)
	} else {
		m.state = m.state.succeeded(began)
	}
	m.state.Default, m.state.Head = head, commit
	return errors.Join(err, writeJSON(m.file("state.json"), m.state, false))
}

// fetch reports whether there was anything to fetch.
func (m *Mirror) fetch(ctx context.Context, remote Remote) (changed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.owner.opts.FetchTimeout, fmt.Errorf("it took more than %v", m.owner.opts.FetchTimeout))
	defer cancel()
	access, err := newAccess(ctx, remote)
	if err != nil {
		return false, err
	}
	to := &transfer{mirror: m, git: m.owner.git, access: access, url: access.address.git}

	// What the remote has, against what the mirror has.
	listing, err := to.list(ctx)
	if err != nil {
		return false, err
	}
	if m.has(listing) {
		return false, nil
	}

	// Only one process at a time writes, and perhaps the one before has just brought the same.
	if to.lock, err = lock(ctx, m.file("lock")); err != nil {
		return false, err
	}
	defer to.lock.Close()
	if m.has(listing) {
		return false, nil
	}

	m.sweep()
	if err := to.bring(ctx); err != nil {
		return false, err
	}

	// From here on, what was fetched is in force.
	now, err := to.refs(ctx, listing)
	if err != nil {
		return false, err
	}
	if err := writeFile(m.file("refs"), now.encode(), true); err != nil {
		return false, err
	}
	return true, to.tidy(ctx)
}

// has reports whether the mirror is sound and holds what the remote lists.
func (m *Mirror) has(listing []byte) bool {
	r, err := m.known()
	return err == nil && r.listing == digest(listing) && m.repository() != "" && !exists(m.file("damaged"))
}

// sweep removes what a fetch that was killed has left behind. The lock is held, so nothing that matches is in use.
func (m *Mirror) sweep() {
	repo := m.repository()
	entries, _ := os.ReadDir(m.dir)
	for _, e := range entries {
		path := m.file(e.Name())
		if strings.HasPrefix(e.Name(), repoPrefix) && path != repo {
			os.RemoveAll(path)
		}
		// Small files are written without the lock.
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), atomicfile.Prefix) && time.Since(info.ModTime()) > time.Hour {
			os.Remove(path)
		}
	}
	if repo == "" {
		return
	}
	remove := func(pattern string) {
		found, _ := filepath.Glob(filepath.Join(repo, pattern))
		for _, path := range found {
			os.RemoveAll(path)
		}
	}
	remove("*.lock")
	remove("objects/pack/tmp_*")
	remove("objects/pack/.tmp-*")
	remove("objects/tmp_*")
	remove("objects/incoming-*")
	remove("objects/info/*.lock")
	filepath.WalkDir(filepath.Join(repo, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".lock") && !d.IsDir() {
			os.Remove(path)
		}
		return nil
	})
}
