package gitserver

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/url"
	"os"
	"strings"
	"sync"
)

// maxNegotiation is the size in bytes of the largest request of a fetch, which is also http-backend's own limit.
const maxNegotiation = 10 << 20

// advertise answers which refs there are. A repository that does not exist looks empty to a push, which thereby can
// create it, and missing to everyone else.
func (s *Server) advertise(w http.ResponseWriter, r *http.Request, c call) {
	dir, err := s.find(c.name)
	if c.service == receivePack && isMissing(err) {
		dir, err = s.empty, nil
	}
	if err != nil {
		s.refuse(w, c, err)
		return
	}
	if err := s.backend(w, r, backendCall{call: c, dir: dir}); err != nil && r.Context().Err() == nil {
		s.failed(c, err)
	}
}

// fetch streams what git answers.
func (s *Server) fetch(w http.ResponseWriter, r *http.Request, c call) {
	dir, err := s.find(c.name)
	if err != nil {
		s.refuse(w, c, err)
		return
	}
	body, err := s.receive(r, maxNegotiation)
	if err != nil {
		s.refuse(w, c, err)
		return
	}
	defer body.discard()
	// A client that leaves in the middle makes git complain, and nobody else needs to hear of it.
	if err := s.backend(w, r, backendCall{call: c, dir: dir, body: body}); err != nil && r.Context().Err() == nil {
		s.failed(c, err)
	}
}

// find returns the directory of a repository that exists. isMissing tells whether the error is that there is none.
func (s *Server) find(name string) (string, error) {
	dir := s.repositoryDir(name)
	switch _, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return "", &refusal{status: http.StatusNotFound,
			message: fmt.Sprintf("there is no repository %q: the first push to it creates it", name)}
	case err != nil:
		return "", fmt.Errorf("looking for repository %q: %w", name, err)
	}
	return dir, nil
}

func isMissing(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// body is the body of a request, received whole and decompressed. Git never sees half a request, and a client that
// stalls holds up nobody else. It also gives the length that CGI must know and that a chunked request does not tell.
type body struct {
	file *os.File
	size int64
}

func (s *Server) receive(r *http.Request, limit int64) (*body, error) {
	tooLarge := &refusal{status: http.StatusRequestEntityTooLarge,
		message: fmt.Sprintf("the request is larger than this server's limit of %d bytes", limit)}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	source := io.Reader(r.Body)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, incomplete(err)
		}
		source = unzipped
	default:
		return nil, &refusal{status: http.StatusUnsupportedMediaType,
			message: fmt.Sprintf("the request is encoded as %q, and this server reads only gzip", encoding)}
	}

	file, err := os.CreateTemp(s.scratch, "request-*")
	if err != nil {
		return nil, fmt.Errorf("making room for a request: %w", err)
	}
	b := &body{file: file}
	b.size, err = io.Copy(file, io.LimitReader(source, limit+1))
	var disk *fs.PathError
	switch {
	case errors.As(err, &disk):
		err = fmt.Errorf("keeping a request: %w", err)
	case err != nil:
		err = incomplete(err)
	case b.size > limit:
		err = tooLarge
	default:
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		b.discard()
		return nil, err
	}
	return b, nil
}

func incomplete(err error) error {
	return &refusal{status: http.StatusBadRequest, message: fmt.Sprintf("the request did not arrive whole: %v", err)}
}

func (b *body) discard() {
	b.file.Close()
	os.Remove(b.file.Name())
}

// backendCall is a call on the repository in dir. The body is nil for an advertisement.
type backendCall struct {
	call
	dir  string
	body *body
}

// backend has http-backend answer a call and returns what git could not do. It returns when every process that it
// started is gone: all of them hold the standard error that it reads to the end.
func (s *Server) backend(w http.ResponseWriter, r *http.Request, c backendCall) error {
	// The environment of a CGI program is made of the request, so the request has nothing but what git reads.
	request := &http.Request{
		Method:     r.Method,
		URL:        &url.URL{Path: c.path(), RawQuery: c.query()},
		Host:       "localhost",
		RemoteAddr: r.RemoteAddr,
		Header:     http.Header{},
	}
	for _, name := range []string{"Content-Type", "Git-Protocol"} {
		if v := r.Header.Get(name); v != "" {
			request.Header.Set(name, v)
		}
	}
	if c.body != nil {
		request.Body, request.ContentLength = c.body.file, c.body.size
	}

	answer := &statusRecorder{ResponseWriter: w}
	said := &tail{limit: 4096}
	handler := cgi.Handler{
		Path:   s.git.backend,
		Dir:    s.opts.Root,
		Env:    append(s.git.environment(), "GIT_PROJECT_ROOT="+c.dir, "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: said,
		Logger: slog.NewLogLogger(slog.NewTextHandler(said, nil), slog.LevelError),
	}
	handler.ServeHTTP(answer, request)

	if answer.status == 0 {
		http.Error(w, "git gave no answer", http.StatusInternalServerError)
	}
	if words := said.String(); answer.status == 0 || answer.status >= 500 || strings.Contains(words, "fatal: ") {
		return gitError(fmt.Errorf("running %s on repository %q", c.service, c.name), words)
	}
	return nil
}

// statusRecorder remembers the status that was sent, 0 if none was.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// tail keeps the last bytes written to it.
type tail struct {
	limit int
	mu    sync.Mutex
	kept  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if extra := len(t.kept) - t.limit; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ToValidUTF8(t.kept, []byte("?")))
}
