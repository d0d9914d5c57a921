package metamorphic

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// line is one spoke's connection to its world. It fails as it is told, it tells
// the world of every write before the API server has it, and it makes a cluster
// of the world's share of an API server: what the spoke keeps in its namespace
// goes into one of the world's, and lists of everything show the world alone.
type line struct {
	world *world
	base  http.RoundTripper

	mu      sync.Mutex
	dead    bool // as after the end of the process
	down    bool // as while the network is away
	fuse    int  // writes until the process ends; 0 for never
	fault   int  // writes until one of them fails
	late    bool // what fails has reached the API server before
	writes  int  // that were sent, or would have been
	touched int  // of them, those of objects
	streams map[*stream]bool
}

var (
	errCrashed = errors.New("the process has ended")
	errDown    = errors.New("the network is away")
	errLost    = errors.New("the connection was reset")
)

// RoundTrip sends a request, or fails.
func (l *line) RoundTrip(request *http.Request) (*http.Response, error) {
	request, err := l.world.relocate(request)
	if err != nil {
		return nil, err
	}
	writing := request.Method != http.MethodGet && request.URL.Query().Get("dryRun") == "" && !strings.Contains(request.URL.Path, "/leases")
	_, object := l.world.objectAt(request.URL.Path)
	err, late := l.admit(writing, object)
	if err != nil && !late {
		return nil, err
	}
	if writing {
		if err := l.world.witness(request); err != nil {
			return nil, err
		}
	}
	response, lost := l.base.RoundTrip(request)
	if err != nil {
		if response != nil {
			response.Body.Close()
		}
		l.cut()
		return nil, err
	}
	if lost != nil {
		return nil, lost
	}
	if writing && response.StatusCode < 300 {
		l.world.changed()
	}
	if request.URL.Query().Get("watch") != "" {
		response.Body = l.open(response.Body)
	}
	return response, nil
}

// admit counts a request and says whether it fails; late, after it has reached
// the API server.
func (l *line) admit(writing, object bool) (err error, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.dead:
		return errCrashed, false
	case l.down:
		return errDown, false
	case !writing:
		return nil, false
	}
	l.writes++
	if object {
		l.touched++
	}
	if l.fuse > 0 {
		if l.fuse--; l.fuse == 0 {
			l.dead = true
			return errCrashed, l.late
		}
	}
	if l.fault > 0 {
		if l.fault--; l.fault == 0 {
			return errLost, l.late
		}
	}
	return nil, false
}

// set changes what becomes of requests from now on.
func (l *line) set(change func(*line)) {
	l.mu.Lock()
	change(l)
	broken := l.dead || l.down
	l.mu.Unlock()
	if broken {
		l.cut()
	}
}

// get says whether the process has ended, or the network is away.
func (l *line) get() (dead, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead, l.down
}

// count returns how many writes there were, and how many of objects.
func (l *line) count() (writes, touched int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes, l.touched
}

// stream is the answer to a watch.
type stream struct {
	io.ReadCloser
	line *line
}

func (l *line) open(body io.ReadCloser) io.ReadCloser {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &stream{body, l}
	l.streams[s] = true
	return s
}

// Close ends the watch.
func (s *stream) Close() error {
	s.line.mu.Lock()
	delete(s.line.streams, s)
	s.line.mu.Unlock()
	return s.ReadCloser.Close()
}

// cut ends all watches.
func (l *line) cut() {
	l.mu.Lock()
	streams := l.streams
	l.streams = map[*stream]bool{}
	l.mu.Unlock()
	for s := range streams {
		s.ReadCloser.Close()
	}
}

// relocate turns a request to a cluster into one to the world's share of it.
func (w *world) relocate(request *http.Request) (*http.Request, error) {
	request = request.Clone(request.Context())
	path := request.URL.Path
	if k, ok := kindByPath[path]; ok && request.Method == http.MethodGet {
		if k.clusterWide {
			query := request.URL.Query()
			if query.Get("labelSelector") == object.AppLabel {
				query.Set("labelSelector", object.AppLabel+" in ("+strings.Join(w.apps, ",")+")")
				request.URL.RawQuery = query.Encode()
			}
			return request, nil
		}
		i := strings.LastIndex(path, "/")
		request.URL.Path = path[:i] + "/namespaces/" + w.namespace + path[i:]
		return request, nil
	}
	if path != "/api/v1/namespaces" && !strings.Contains(path+"/", "/namespaces/"+spoke.Namespace+"/") {
		return request, nil
	}
	request.URL.Path = strings.Replace(path, "/namespaces/"+spoke.Namespace, "/namespaces/"+w.system, 1)
	if request.Body == nil {
		return request, nil
	}
	body, err := io.ReadAll(request.Body)
	request.Body.Close()
	if err != nil {
		return nil, err
	}
	body = bytes.ReplaceAll(body, []byte(`"`+spoke.Namespace+`"`), []byte(`"`+w.system+`"`))
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	request.Header.Set("Content-Length", strconv.Itoa(len(body)))
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return request, nil
}

// witness holds a write against what the world allows, just before the API
// server has it.
func (w *world) witness(request *http.Request) error {
	id, ok := w.objectAt(request.URL.Path)
	if !ok {
		return nil // the record
	}
	var uid types.UID
	if request.Method == http.MethodDelete && request.Body != nil {
		body, err := io.ReadAll(request.Body)
		request.Body.Close()
		if err != nil {
			return err
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		var options metav1.DeleteOptions
		if json.Unmarshal(body, &options) == nil && options.Preconditions != nil && options.Preconditions.UID != nil {
			uid = *options.Preconditions.UID
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	reason := ""
	if request.Method == http.MethodDelete {
		reason = w.law.deleting(id, uid)
	} else {
		reason = w.law.writing(id)
	}
	// What was stopped in time is not sent, which is looked at last.
	if reason != "" && request.Context().Err() == nil {
		w.accuse("%s %s: %s", request.Method, id, reason)
	}
	return nil
}

// objectAt returns the object of the world that a path names.
func (w *world) objectAt(path string) (object.ID, bool) {
	for _, k := range kinds {
		prefix := k.path
		id := object.ID{Group: k.group, Kind: k.kind}
		if !k.clusterWide {
			i := strings.LastIndex(prefix, "/")
			prefix = prefix[:i] + "/namespaces/" + w.namespace + prefix[i:]
			id.Namespace = w.namespace
		}
		if name, ok := strings.CutPrefix(path, prefix+"/"); ok {
			id.Name, _, _ = strings.Cut(name, "/")
			return id, true
		}
	}
	return object.ID{}, false
}
