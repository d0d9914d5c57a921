package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/gitsource/commitsig"
	"nave.dev/internal/gitsource/gittree"
)

// Mirror is the local copy of one source. Its directory holds
//
//	current       a symbolic link to the repository in use, repo-…; a repair makes another and moves the link
//	refs          what the remote had at the last fetch that succeeded
//	resolved.json what each revision last resolved to
//	state.json    how fetching goes
//	damaged       what was found wrong with the repository, until it is replaced
//	lock          held while the repository is written, by git itself too
//
// It is safe for concurrent use. Nothing that was fetched is ever removed: a commit that its remote has dropped may be
// the one to go back to.
type Mirror struct {
	owner  *Mirrors
	source string
	dir    string
	store  *gittree.Store

	turn chan struct{} // holds an element while a fetch runs

	mu       sync.Mutex
	remote   Remote
	state    State
	started  int   // fetches that have begun
	finished int   // the last of them that ended by itself
	outcome  error // how that one ended
	refs     *refs
	refsFile os.FileInfo
	resolved map[Revision]Resolution // by refs
}

// ErrNotFetched is in the error of a call that needs a fetch to have succeeded.
var ErrNotFetched = errors.New("the source has not been fetched yet")

func newMirror(owner *Mirrors, source, dir string, remote Remote) *Mirror {
	m := &Mirror{owner: owner, source: source, dir: dir, remote: remote, turn: make(chan struct{}, 1)}
	m.store = gittree.NewStore(gittree.Options{
		Git:      m.reader,
		Cache:    owner.cache,
		MaxBlob:  owner.opts.MaxBlob,
		MaxFiles: owner.opts.MaxFiles,
		Damaged:  m.damaged,
	})
	readJSON(m.file("state.json"), &m.state)
	m.state.Source, m.state.URL = source, redact(remote.URL)
	return m
}

func (m *Mirror) setRemote(remote Remote) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remote = remote
}

func (m *Mirror) file(name string) string { return filepath.Join(m.dir, name) }

// repository is the directory of the repository in use; empty if there is none.
func (m *Mirror) repository() string {
	name, err := os.Readlink(m.file("current"))
	if err != nil || !strings.HasPrefix(name, repoPrefix) || !exists(m.file(name)) {
		return ""
	}
	return m.file(filepath.Base(name))
}

// reader is a git command that reads from the repository in use.
func (m *Mirror) reader(args ...string) *exec.Cmd {
	repo := m.repository()
	if repo == "" {
		repo = m.file("current") // for git to complain about
	}
	return m.owner.git.reader(call{args: args, dir: m.dir, repo: repo})
}

// State returns how the source is doing.
func (m *Mirror) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := m.state
	if text, err := os.ReadFile(m.file("damaged")); err == nil {
		state.Damage = string(text)
	}
	return state
}

// damaged notes that the repository in use is damaged, so that the next fetch replaces it.
func (m *Mirror) damaged(err error) {
	if exists(m.file("damaged")) {
		return
	}
	// If this fails, whoever reads next finds the damage again.
	writeFile(m.file("damaged"), []byte(err.Error()), false)
	if told := m.owner.opts.Listener.Damaged; told != nil {
		told(DamagedInfo{Source: m.source, Err: err})
	}
}

// known returns the refs of the last fetch that succeeded, by whichever process.
func (m *Mirror) known() (*refs, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info, err := os.Stat(m.file("refs"))
	if err != nil {
		return nil, m.notFetched()
	}
	if m.refs != nil && os.SameFile(info, m.refsFile) && info.ModTime().Equal(m.refsFile.ModTime()) {
		return m.refs, nil
	}
	data, err := os.ReadFile(m.file("refs"))
	if err != nil {
		return nil, fmt.Errorf("reading source %q: %w", m.source, err)
	}
	r, err := decodeRefs(data)
	if err != nil {
		return nil, fmt.Errorf("reading source %q: %q: %w", m.source, m.file("refs"), err)
	}
	m.refs, m.refsFile, m.resolved = r, info, map[Revision]Resolution{}
	return r, nil
}

// notFetched is the error for a mirror that holds nothing yet. The caller holds mu.
func (m *Mirror) notFetched() error {
	if m.state.Err == "" {
		return fmt.Errorf("reading source %q: %w", m.source, ErrNotFetched)
	}
	return fmt.Errorf("reading source %q: %w: %s", m.source, ErrNotFetched, m.state.Err)
}

// fetched returns an error if there is no repository.
func (m *Mirror) fetched() error {
	if m.repository() != "" {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.notFetched()
}

// Tree returns a commit as a file system. The commit is a full hash, such as a Resolution has.
func (m *Mirror) Tree(ctx context.Context, commit string) (*gittree.Tree, error) {
	if err := m.fetched(); err != nil {
		return nil, err
	}
	tree, err := m.store.Tree(ctx, commit)
	if err != nil {
		m.suspect(commit, err)
		return nil, fmt.Errorf("source %q: %w", m.source, err)
	}
	return tree, nil
}

// suspect takes a commit that the mirror should have and does not for damage.
func (m *Mirror) suspect(commit string, err error) {
	if !errors.Is(err, gittree.ErrMissing) {
		return
	}
	if r, known := m.known(); known == nil {
		for _, c := range r.commits {
			if c == commit {
				m.damaged(err)
				return
			}
		}
	}
}

// Verify checks the signature of a commit, by keys as they are now. The error is about reading it; a Result says what was found.
func (m *Mirror) Verify(ctx context.Context, commit string, trusted commitsig.Trusted, now time.Time) (commitsig.Result, error) {
	data, err := m.commit(ctx, commit)
	if err != nil {
		return commitsig.Result{}, err
	}
	return trusted.Verify(data, now), nil
}

func (m *Mirror) commit(ctx context.Context, commit string) ([]byte, error) {
	if err := m.fetched(); err != nil {
		return nil, err
	}
	data, err := m.store.Commit(ctx, commit)
	if err != nil {
		m.suspect(commit, err)
		return nil, fmt.Errorf("source %q: %w", m.source, err)
	}
	return data, nil
}
