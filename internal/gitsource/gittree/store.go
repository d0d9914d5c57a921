// Package gittree shows commits of a bare Git repository as read-only file systems in memory. A Store reads the
// objects of one repository through a long-lived "git cat-file" process, checks each against the hash that names it,
// and shares what commits have in common; a Tree is one commit as an fs.FS that also tells the hash of every path, so
// that callers can key what they compute by content without reading it. The package does not fetch, resolve names or
// write: package gitsource does.
package gittree

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
	"weak"
)

var (
	// ErrMissing is in the error of a Tree or Commit call for a commit that the repository does not have.
	ErrMissing = errors.New("the repository has no such commit")
	// ErrDamaged is in errors about objects that the repository must have and that are absent, or not what their
	// hash says. Only another copy of the repository helps.
	ErrDamaged = errors.New("the repository is damaged")
)

// Options say where a Store reads and how much. Git must be set; the zero value of everything else works.
type Options struct {
	// Git returns a git command that is to run in the repository with the given arguments. It is called again
	// whenever a process is started, so that a repository may move while the Store is open.
	Git func(args ...string) *exec.Cmd
	// Cache holds the contents that were read. It may be shared by many Stores; nil means one of its own.
	Cache *Cache
	// MaxBlob is the size in bytes of the largest file that can be read; 0 means DefaultMaxBlob.
	MaxBlob int64
	// MaxFiles is how many files and directories a commit may list; 0 means DefaultMaxFiles.
	MaxFiles int
	// ReadTimeout is how long git may take for a single object before it is killed; 0 means DefaultReadTimeout.
	ReadTimeout time.Duration
	// IdleTimeout is how long the process stays without being asked for anything; 0 means DefaultIdleTimeout.
	IdleTimeout time.Duration
	// Damaged, if set, is told of damage that was found, also while a file of a Tree is read.
	Damaged func(error)
}

// The limits that hold where Options state none.
const (
	DefaultMaxBlob     = 16 << 20
	DefaultMaxFiles    = 500_000
	DefaultReadTimeout = 30 * time.Second
	DefaultIdleTimeout = time.Minute
)

// Bounds in bytes for objects that are not files, one and all of one exchange: half a million names have some 30 MiB.
const (
	maxObject   = 64 << 20
	maxExchange = 256 << 20
)

// Store reads the objects of one repository. It is safe for concurrent use; reads take turns on one process, which
// is started when needed, ends when idle, and is replaced when it fails. Close ends it.
type Store struct {
	opts Options

	reading sync.Mutex // held for a whole exchange with the process
	proc    *process
	idle    *time.Timer
	used    time.Time
	closed  bool

	sharing sync.Mutex
	dirs    map[string]weak.Pointer[dir] // by hash, as long as some Tree needs them
}

// NewStore returns a Store. It starts no process.
func NewStore(opts Options) *Store {
	if opts.Cache == nil {
		opts.Cache = NewCache(0)
	}
	opts.MaxBlob = orDefault(opts.MaxBlob, DefaultMaxBlob)
	opts.MaxFiles = orDefault(opts.MaxFiles, DefaultMaxFiles)
	opts.ReadTimeout = orDefault(opts.ReadTimeout, DefaultReadTimeout)
	opts.IdleTimeout = orDefault(opts.IdleTimeout, DefaultIdleTimeout)
	return &Store{opts: opts, dirs: map[string]weak.Pointer[dir]{}}
}

func orDefault[T ~int | ~int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Close ends the process and empties the cache of what the Store read. Trees keep their listings; reading files from
// them fails.
func (s *Store) Close() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
	s.stop()
	s.opts.Cache.drop(s)
	return nil
}

// Restart ends the process, so that the next read starts one in the repository that Options.Git then names.
func (s *Store) Restart() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.stop()
}

// stop ends the process, if there is one. The caller holds reading.
func (s *Store) stop() {
	if s.idle != nil {
		s.idle.Stop()
	}
	if s.proc != nil {
		s.proc.kill()
		s.proc = nil
	}
}

// stopIdle ends the process if it has not been used for the whole of IdleTimeout.
func (s *Store) stopIdle() {
	s.reading.Lock()
	defer s.reading.Unlock()
	if time.Since(s.used) >= s.opts.IdleTimeout {
		s.stop()
	}
}

// Commit returns the object of a commit: its headers and message as Git stores them.
func (s *Store) Commit(ctx context.Context, id string) ([]byte, error) {
	raw, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("reading commit %q: not a full hash", id)
	}
	objects, err := s.read(ctx, []string{raw})
	var missing *missingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("reading commit %s: %w", id, ErrMissing)
	case err != nil:
		return nil, s.damage(fmt.Errorf("reading commit %s: %w", id, err))
	case objects[0].kind != "commit":
		return nil, fmt.Errorf("reading commit %s: it is a %s", id, objects[0].kind)
	}
	return []byte(objects[0].data), nil
}

// read returns the objects of some hashes, in order. It stops when ctx ends.
func (s *Store) read(ctx context.Context, ids []string) ([]object, error) {
	objects, err := s.exchange(ids, func(kill func()) func() bool { return context.AfterFunc(ctx, kill) })
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return objects, err
}

// readNow is read for the methods of a file system, which have no context. ReadTimeout bounds it.
func (s *Store) readNow(ids []string) ([]object, error) {
	return s.exchange(ids, func(func()) func() bool { return func() bool { return true } })
}

// exchange asks the process for objects. A process that fails is replaced once: it may only have lost the repository
// to a newer copy, or have been killed by the system. The watch is given a way to end the process early, and returns
// the way to call that off.
func (s *Store) exchange(ids []string, watch func(kill func()) (release func() bool)) ([]object, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	limits := exchangeLimits{
		object:  max(maxObject, s.opts.MaxBlob),
		total:   max(maxExchange, 2*s.opts.MaxBlob),
		timeout: s.opts.ReadTimeout,
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		if s.closed {
			return nil, errors.New("the store is closed")
		}
		fresh := s.proc == nil
		if fresh {
			proc, err := startProcess(s.opts.Git("cat-file", "--batch"))
			if err != nil {
				return nil, err
			}
			s.proc, s.idle = proc, time.AfterFunc(s.opts.IdleTimeout, s.stopIdle)
		}
		release := watch(s.proc.interrupt)
		objects, err := s.proc.exchange(ids, limits)
		cut := !release() // then the process is being killed, whatever it answered
		s.used = time.Now()
		if err == nil && !cut {
			s.idle.Reset(s.opts.IdleTimeout)
			return objects, nil
		}
		s.stop()
		switch {
		case cut:
			return nil, errors.New("reading was called off")
		case fresh:
			return nil, err
		}
	}
}

// damage tells Options.Damaged of an error that is damage, and returns the error.
func (s *Store) damage(err error) error {
	if s.opts.Damaged != nil && errors.Is(err, ErrDamaged) {
		s.opts.Damaged(err)
	}
	return err
}
