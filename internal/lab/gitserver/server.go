// Package gitserver is the lab's Git hosting: it gives a fleet repository a place that ordinary git clients push to
// and fetch from over smart HTTP, and that tells others of a push in the form that GitHub uses. [Server] is an
// http.Handler which runs the real `git http-backend` over bare repositories below one directory, creates a
// repository with the first push to it, and posts a push event to each configured webhook for every branch or tag
// that moved. It opens no port and logs nothing: the caller owns the listener, runs [Server.Deliver], and hears what
// happened through [Listener]. It is not a forge: there are no users, pages or pull requests, no dumb HTTP, and
// whoever may fetch may also push.
package gitserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nave.dev/internal/lab/gitserver/webhook"
)

// Options say where a Server keeps its repositories, who may use it, and whom it tells of pushes. Only Root is
// required.
type Options struct {
	// Root is the directory of the repositories: NAME lives in ROOT/NAME.git. It is created if missing, readable by
	// the owner only. A root belongs to one Server at a time.
	Root string

	// Password is asked of every request, as HTTP basic authentication with any user name, which is then the
	// pusher's name in events. Empty means that no password is asked; git then tells no user name either.
	Password string

	// URL is the address by which others reach the server, such as "http://127.0.0.1:3000"; events name repositories
	// below it. Empty means the host and port by which the pusher came.
	URL string

	// Hooks are told of pushes; see SetHooks.
	Hooks []webhook.Hook

	// AllowRemoteHooks lets hooks name hosts that are not on this machine's loopback.
	AllowRemoteHooks bool

	// Beside answers what is asked of other paths, such as "/-/charts", after the same password. It is given the rest
	// of the path. An element that is "-" begins the name of no repository.
	Beside map[string]http.Handler

	// MaxPush is the size in bytes, once decompressed, above which the request of a push is refused; 0 means 2 GiB.
	MaxPush int64

	// Backoff is the wait before a failed delivery is tried again, doubled with every further attempt up to 16 s;
	// 0 means 250 ms.
	Backoff time.Duration

	// Listener is told what the server did.
	Listener Listener
}

// Validate reports everything that is wrong with the options, joined, or nil.
func (o Options) Validate() error {
	var problems []error
	if o.Root == "" {
		problems = append(problems, errors.New("root directory is not set"))
	}
	if o.MaxPush < 0 {
		problems = append(problems, fmt.Errorf("largest push of %d bytes is negative", o.MaxPush))
	}
	if o.Backoff < 0 {
		problems = append(problems, fmt.Errorf("backoff of %s is negative", o.Backoff))
	}
	if o.URL != "" {
		if u, err := url.Parse(o.URL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			problems = append(problems, fmt.Errorf("address %q is not an http or https URL", o.URL))
		}
	}
	return errors.Join(append(problems, webhook.Validate(o.Hooks, o.AllowRemoteHooks))...)
}

// Listener is told facts as they happen. Every field may be nil. The functions are called on the goroutine that did
// the work, several at a time, and should return soon.
type Listener struct {
	// Pushed is called after a push that moved at least one ref.
	Pushed func(Push)
	// Delivered is called after every attempt to deliver an event, and when an event is dropped.
	Delivered func(webhook.Delivery)
	// Failed is called when a request was in order and could not be served, or an event could not be filled.
	Failed func(Failure)
}

// Push says what one push did.
type Push struct {
	Repository string        // name, without ".git"
	Pusher     string        // user name given with the request, or "anonymous"
	Created    bool          // the push created the repository
	Moves      []Move        // refs that moved, by name; never empty
	Duration   time.Duration // from the whole request being received to refs being in place
}

// Move is one ref before and after a push. Before is ZeroID if the push created the ref, After if it deleted it.
type Move struct {
	Ref    string // full name, such as "refs/heads/main"
	Before string // object id
	After  string // object id
}

// ZeroID is the object id that stands for "no object", as in git's own protocol.
const ZeroID = "0000000000000000000000000000000000000000"

// Created reports whether the ref did not exist before.
func (m Move) Created() bool { return m.Before == ZeroID }

// Deleted reports whether the ref does not exist any more.
func (m Move) Deleted() bool { return m.After == ZeroID }

// Failure is a request, or the event of a push, that went wrong on the server's side.
type Failure struct {
	Repository string // name, without ".git"
	Service    string // "git-upload-pack" (fetch) or "git-receive-pack" (push)
	Err        error  // with git's own words where it said any
}

// Server serves the repositories below one directory. Its methods may be called from several goroutines. It owns no
// goroutine; events wait in its queue while Deliver is not running.
type Server struct {
	opts   Options
	git    *git
	locks  nameLocks
	outbox *webhook.Outbox
	secret [sha256.Size]byte // digest of the password

	scratch string // directory for requests and repositories that are not complete
	empty   string // repository without refs, shown to those who are about to push the first one
}

// New finds git, prepares the root directory and returns a Server. Requests and repositories that an earlier server
// left incomplete there are removed. The context bounds this call only.
func New(ctx context.Context, opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("checking git server options: %w", err)
	}
	if opts.MaxPush == 0 {
		opts.MaxPush = 2 << 30
	}

	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("creating root of git server: %w", err)
	}
	root, err := filepath.Abs(opts.Root)
	if err != nil {
		return nil, fmt.Errorf("resolving root of git server: %w", err)
	}
	opts.Root = root

	git, err := findGit(ctx, root)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts,
		git:  git,
		outbox: webhook.New(webhook.Options{
			AllowRemote: opts.AllowRemoteHooks,
			Backoff:     opts.Backoff,
			Delivered:   opts.Listener.Delivered,
		}),
		secret:  sha256.Sum256([]byte(opts.Password)),
		scratch: filepath.Join(root, ".incomplete"), // no repository's name starts with a dot
		empty:   filepath.Join(root, ".empty.git"),
	}
	for _, dir := range []string{s.scratch, s.empty} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("clearing leftovers of git server: %w", err)
		}
	}
	if err := os.Mkdir(s.scratch, 0o700); err != nil {
		return nil, fmt.Errorf("creating scratch directory of git server: %w", err)
	}
	if err := git.init(ctx, s.empty); err != nil {
		return nil, err
	}
	if err := s.outbox.SetHooks(opts.Hooks); err != nil {
		return nil, err
	}
	return s, nil
}

// SetHooks replaces the hooks. A hook whose URL stays keeps the events that wait for it and uses its new secret from
// the next attempt on; what waits for a hook that is gone is dropped. All problems are reported at once, and then
// nothing changes.
func (s *Server) SetHooks(hooks []webhook.Hook) error { return s.outbox.SetHooks(hooks) }

// Deliver sends events to hooks until the context ends, then returns nil once nothing is in flight. Hooks do not wait
// for each other; each receives its events in order, and an event again if the context ended while it was on its way.
// What is left undelivered waits for the next Deliver. Only one may run at a time; a second returns an error.
func (s *Server) Deliver(ctx context.Context) error { return s.outbox.Deliver(ctx) }

// Deliveries returns the last 100 deliveries, newest first, those that still wait among them.
func (s *Server) Deliveries() []webhook.Delivery { return s.outbox.Deliveries() }

// ServeHTTP answers git's smart HTTP requests and what Options.Beside does, and refuses everything else with a sentence that git shows its user.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="nave lab git", charset="UTF-8"`)
		http.Error(w, "this git server asks for a password", http.StatusUnauthorized)
		return
	}
	for path, handler := range s.opts.Beside {
		if strings.HasPrefix(r.URL.Path, path+"/") {
			http.StripPrefix(path, handler).ServeHTTP(w, r)
			return
		}
	}
	call, err := parseCall(r.Method, r.URL)
	if err != nil {
		s.refuse(w, call, err)
		return
	}
	switch {
	case call.advertise:
		s.advertise(w, r, call)
	case call.service == receivePack:
		s.push(w, r, call)
	default:
		s.fetch(w, r, call)
	}
}

// authorized compares digests, so that neither the time nor the length of the comparison tells of the password.
func (s *Server) authorized(r *http.Request) bool {
	if s.opts.Password == "" {
		return true
	}
	_, password, _ := r.BasicAuth()
	given := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(given[:], s.secret[:]) == 1
}

func (s *Server) repositoryDir(name string) string {
	return filepath.Join(s.opts.Root, filepath.FromSlash(name)+".git")
}

func (s *Server) failed(c call, err error) {
	if err != nil && s.opts.Listener.Failed != nil {
		s.opts.Listener.Failed(Failure{Repository: c.name, Service: c.service, Err: err})
	}
}
