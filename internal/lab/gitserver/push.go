package gitserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// push receives a push whole, then runs it to its end whether or not the client still waits, alone on its repository.
// The answer is kept back until the repository is in place and the events are in the queue, so that a client which
// has its answer finds both.
func (s *Server) push(w http.ResponseWriter, r *http.Request, c call) {
	body, err := s.receive(r, s.opts.MaxPush)
	if err != nil {
		s.refuse(w, c, err)
		return
	}
	defer body.discard()
	ctx := context.WithoutCancel(r.Context())

	defer s.locks.lock(c.name)()
	done, answer, err := s.applyPush(ctx, r, backendCall{call: c, body: body})
	if answer == nil {
		s.refuse(w, c, err)
		return
	}
	s.failed(c, err)
	if len(done.Moves) > 0 {
		s.failed(c, s.announce(ctx, done))
		if s.opts.Listener.Pushed != nil {
			s.opts.Listener.Pushed(done.Push)
		}
	}
	answer.send(w)
}

// finishedPush is a push and what its events need to know.
type finishedPush struct {
	Push
	dir    string            // of the repository
	before map[string]string // refs before the push
	clone  string            // URL
}

// applyPush has git take in a push. An error without an answer means that nothing was kept. An error with one is for
// the server's owner alone: the client has git's own answer.
func (s *Server) applyPush(ctx context.Context, r *http.Request, c backendCall) (finishedPush, *answer, error) {
	started := time.Now()
	done := finishedPush{
		Push:  Push{Repository: c.name, Pusher: pusher(r)},
		dir:   s.repositoryDir(c.name),
		clone: s.cloneURL(r, c.name),
	}

	// A new repository is filled aside, so that it appears with its first ref or not at all.
	dir, err := s.find(c.name)
	isNew := isMissing(err)
	if err != nil && !isNew {
		return done, nil, err
	}
	c.dir = dir
	if isNew {
		aside, err := os.MkdirTemp(s.scratch, "repository-*")
		if err != nil {
			return done, nil, fmt.Errorf("creating repository %q: %w", c.name, err)
		}
		defer os.RemoveAll(aside)
		c.dir = filepath.Join(aside, "repository.git")
		if err := s.git.init(ctx, c.dir); err != nil {
			return done, nil, err
		}
	}

	if done.before, err = s.git.refs(ctx, c.dir); err != nil {
		return done, nil, err
	}
	answer := &answer{header: http.Header{}, status: http.StatusOK}
	complaint := s.backend(answer, r, c)
	err = s.settle(ctx, c, &done)
	done.Duration = time.Since(started)
	if isNew && err != nil {
		return done, nil, err
	}
	return done, answer, errors.Join(complaint, err)
}

// settle finds what a push moved, and puts the default branch and a new repository in their places.
func (s *Server) settle(ctx context.Context, c backendCall, done *finishedPush) error {
	after, err := s.git.refs(ctx, c.dir)
	if err != nil {
		return err
	}
	done.Moves = movesBetween(done.before, after)
	if err := s.settleHead(ctx, c.dir, done.Moves, after); err != nil {
		return err
	}
	if c.dir == done.dir || len(after) == 0 {
		return nil
	}
	err = os.MkdirAll(filepath.Dir(done.dir), 0o700)
	if err == nil {
		err = os.Rename(c.dir, done.dir)
	}
	if err != nil {
		return fmt.Errorf("creating repository %q: %w", c.name, err)
	}
	done.Created = true
	return nil
}

// settleHead gives a repository whose default branch does not exist one that the push created: main, or else the
// first by name. A default branch that was deleted stays the default until another branch is created.
func (s *Server) settleHead(ctx context.Context, dir string, moves []Move, refs map[string]string) error {
	var choice string
	for _, m := range moves {
		if m.Created() && isBranch(m.Ref) && (choice == "" || m.Ref == "refs/heads/main") {
			choice = m.Ref
		}
	}
	if choice == "" {
		return nil
	}
	head, err := s.git.head(ctx, dir)
	if err != nil {
		return err
	}
	if _, ok := refs[head]; ok {
		return nil
	}
	return s.git.setHead(ctx, dir, choice)
}

func pusher(r *http.Request) string {
	if user, _, _ := r.BasicAuth(); user != "" {
		return user
	}
	return "anonymous"
}

// answer keeps an HTTP answer until it may be sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // a client that left does not need it
}

// nameLocks is a lock per repository name, kept only while someone holds it or waits for it.
type nameLocks struct {
	mu   sync.Mutex
	held map[string]*nameLock
}

type nameLock struct {
	sync.Mutex
	users int
}

// lock waits for the name and returns the function that gives it free.
func (l *nameLocks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*nameLock{}
	}
	n := l.held[name]
	if n == nil {
		n = &nameLock{}
		l.held[name] = n
	}
	n.users++
	l.mu.Unlock()

	n.Lock()
	return func() {
		n.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(l.held, name)
		}
	}
}
