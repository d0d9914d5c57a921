package metamorphic

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// line is one spoke's connection to its world. It fails as it is told, it tells
// the world of every write before the API server has it, and it makes a cluster
// of the world's share of an API server: what the spoke keeps in its namespace
// goes into one of the world's, and lists of all that is marked show the world's
// apps alone.
type line struct {
	world *world

	mu      sync.Mutex
	dead    bool     // as after the end of the process
	down    bool     // as while the network is away
	fuse    int      // writes until the process ends; 0 for never
	fault   int      // writes until one of them fails
	late    bool     // what fails has reached the API server before
	refused int      // how many requests the API server refuses
	answer  int      // with which status
	writes  int      // that were sent, or would have been
	touched []string // of them, those of objects
	streams map[*stream]bool
}

var (
	errCrashed = errors.New("the process has ended")
	errDown    = errors.New("the network is away")
	errLost    = errors.New("the connection was reset")
)

// wire is one of the clients of a line: a spoke has some for each user that it writes
// as.
type wire struct {
	*line
	base http.RoundTripper
}

// RoundTrip sends a request, or fails.
func (l wire) RoundTrip(request *http.Request) (*http.Response, error) {
	request, err := l.world.relocate(request)
	if err != nil {
		return nil, err
	}
	writing := request.Method != http.MethodGet && request.URL.Query().Get("dryRun") == "" &&
		!strings.Contains(request.URL.Path, "/leases") && !strings.HasPrefix(request.URL.Path, "/apis/authorization.k8s.io/")
	what := ""
	if id, object := l.world.objectAt(request.URL.Path); object {
		what = request.Method + " " + id.String()
	}
	if answer := l.refuse(request); answer != nil {
		return answer, nil
	}
	err, late := l.admit(writing, what)
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
func (l *line) admit(writing bool, object string) (err error, late bool) {
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
	if object != "" {
		l.touched = append(l.touched, object)
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

// count returns how many writes there were, and which were of objects.
func (l *line) count() (writes int, touched []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writes, l.touched
}

// refuse answers a request in the API server's place, if it is to be refused.
func (l *line) refuse(request *http.Request) *http.Response {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead || l.down || l.refused == 0 || strings.Contains(request.URL.Path, "/leases") {
		return nil
	}
	l.refused--
	status := metav1.Status{Status: metav1.StatusFailure, Code: int32(l.answer), Reason: reasons[l.answer], Message: "not now"}
	status.APIVersion, status.Kind = "v1", "Status"
	body, err := json.Marshal(status)
	if err != nil {
		panic(err) // plain data
	}
	return &http.Response{
		StatusCode: l.answer, ProtoMajor: 1, ProtoMinor: 1, Request: request, ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}
}

// reasons are what an API server gives for its refusals.
var reasons = map[int]metav1.StatusReason{
	http.StatusTooManyRequests:     metav1.StatusReasonTooManyRequests,
	http.StatusForbidden:           metav1.StatusReasonForbidden,
	http.StatusUnauthorized:        metav1.StatusReasonUnauthorized,
	http.StatusInternalServerError: metav1.StatusReasonInternalError,
	http.StatusServiceUnavailable:  metav1.StatusReasonServiceUnavailable,
	http.StatusGatewayTimeout:      metav1.StatusReasonTimeout,
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
	if kindPaths[path] && request.Method == http.MethodGet {
		if query := request.URL.Query(); query.Get("labelSelector") == object.AppLabel {
			query.Set("labelSelector", object.AppLabel+" in ("+strings.Join(w.apps, ",")+")")
			request.URL.RawQuery = query.Encode()
		}
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
	overwrites, err := w.overwrites(request, id)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	reason := w.law.signing(id, request.Header.Get("Impersonate-User"))
	if request.Method == http.MethodDelete {
		reason = cmp.Or(w.law.deleting(id, uid), reason)
	} else {
		reason = cmp.Or(w.law.writing(id), reason)
	}
	if reason == "" && overwrites && w.law.once[id] {
		reason = "it is only to be created, and would be changed"
	}
	// What was stopped in time is not sent, which is looked at last.
	if reason != "" && request.Context().Err() == nil {
		w.accuse("%s %s: %s", request.Method, id, reason)
	}
	return nil
}

// overwrites reports whether a patch would change the data of an object that is
// there, or prepares for that.
func (w *world) overwrites(request *http.Request, id object.ID) (bool, error) {
	switch {
	case request.Method != http.MethodPatch || !once.Match(id):
		return false, nil
	case request.Header.Get("Content-Type") != string(types.ApplyPatchType):
		return true, nil // of whose the fields are, which goes before an apply of all
	}
	body, err := io.ReadAll(request.Body)
	request.Body.Close()
	if err != nil {
		return false, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	var sent unstructured.Unstructured
	if err := json.Unmarshal(body, &sent.Object); err != nil {
		return false, err
	}
	live, err := w.of(id).Get(request.Context(), id.Name, metav1.GetOptions{})
	switch {
	case sent.GetResourceVersion() == "":
		return true, nil
	case err != nil || sent.GetResourceVersion() != live.GetResourceVersion():
		return false, nil // it conflicts, unless there is nothing
	}
	data, _, _ := unstructured.NestedMap(live.Object, "data")
	wanted, _, _ := unstructured.NestedMap(sent.Object, "data")
	for key, value := range wanted {
		if data[key] != value {
			return true, nil
		}
	}
	return false, nil
}

// objectAt returns the object of the world that a path names.
func (w *world) objectAt(path string) (object.ID, bool) {
	for _, k := range kinds {
		id := object.ID{Group: k.group, Kind: k.kind}
		if k.clusterWide {
			name, ok := strings.CutPrefix(path, k.path+"/")
			if id.Name = name; ok && !strings.Contains(name, "/") && name != w.system {
				return id, true
			}
			continue
		}
		i := strings.LastIndex(k.path, "/")
		for _, id.Namespace = range []string{w.namespace, w.more} {
			if name, ok := strings.CutPrefix(path, k.path[:i]+"/namespaces/"+id.Namespace+k.path[i:]+"/"); ok {
				id.Name, _, _ = strings.Cut(name, "/")
				return id, true
			}
		}
	}
	return object.ID{}, false
}
