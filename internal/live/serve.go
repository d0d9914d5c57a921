package live

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StatusRefused is the HTTP status of a question that has no answer, and about which
// who asks can do something.
const StatusRefused = http.StatusUnprocessableEntity

const (
	// askTime is how long an answer that is no log may take.
	askTime = 30 * time.Second
	// logsTime is how long one with logs may take that does not follow.
	logsTime = 3 * time.Minute
	// StuckAfter is how long who asks may read nothing before the answer is given up.
	StuckAfter = 30 * time.Second
)

// Serve answers a question of Questions, whose form is the query of the request. Logs
// are entries of JSON, one to a line; every other answer is one value of JSON.
func (c *Cluster) Serve(question string, w http.ResponseWriter, r *http.Request) {
	if question == LogsQuestion {
		c.serveLogs(w, r)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), askTime, fmt.Errorf("the cluster gave no answer within %s", askTime))
	defer cancel()
	var (
		value any
		err   error
		form  = r.URL.Query()
	)
	switch question {
	case ObjectQuestion:
		value, err = c.Object(ctx, refOf(form), form.Get("managedFields") == "true")
	case EventsQuestion:
		value, err = c.Events(ctx, refOf(form))
	case MetricsQuestion:
		var query Query
		if query, err = ParseQuery(form); err == nil {
			value, err = c.Query(ctx, query)
		}
	default:
		err = refuse("no question %q\nhint: %s", question, strings.Join(Questions, ", "))
	}
	if err != nil {
		fail(w, cmp.Or(context.Cause(ctx), err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		status = StatusRefused
	}
	http.Error(w, err.Error(), status)
}

func (c *Cluster) serveLogs(w http.ResponseWriter, r *http.Request) {
	request, err := ParseLogRequest(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	ctx := r.Context()
	if !request.Follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, logsTime, fmt.Errorf("the logs took longer than %s", logsTime))
		defer cancel()
	}
	sink := newSink(w)
	end, err := c.Logs(ctx, request, sink)
	switch {
	case err != nil && !sink.begun:
		fail(w, cmp.Or(context.Cause(ctx), err))
	case err == nil: // otherwise it stays without an end
		if _, err := sink.Put(Entry{End: &end}); err == nil {
			sink.Flush()
		}
	}
}

// sink writes entries to an answer.
type sink struct {
	answer http.ResponseWriter
	flow   *http.ResponseController
	buffer *bufio.Writer
	begun  bool
}

func newSink(w http.ResponseWriter) *sink {
	s := &sink{answer: w, flow: http.NewResponseController(w)}
	s.buffer = bufio.NewWriterSize(s, 32<<10)
	s.flow.SetWriteDeadline(time.Now().Add(MaxFollow + StuckAfter)) // of a server, it may be sooner
	return s
}

// Put implements Sink.
func (s *sink) Put(e Entry) (int, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	return s.buffer.Write(append(data, '\n'))
}

// Flush implements Sink.
func (s *sink) Flush() error { return s.buffer.Flush() }

// Write sends what was put. A reader that takes nothing for StuckAfter ends it, and
// one that waits while there is nothing does not.
func (s *sink) Write(p []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.answer.Header().Set("Content-Type", "application/x-ndjson")
	}
	s.flow.SetWriteDeadline(time.Now().Add(StuckAfter))
	n, err := s.answer.Write(p)
	if err == nil {
		err = s.flow.Flush()
	}
	s.flow.SetWriteDeadline(time.Now().Add(MaxFollow + StuckAfter))
	return n, err
}

// refOf reads an object's name out of a form.
func refOf(form url.Values) Ref {
	return Ref{Kind: form.Get("kind"), Namespace: form.Get("namespace"), Name: form.Get("name")}
}

// Form is the reference as Serve reads it.
func (r Ref) Form() url.Values {
	return url.Values{"kind": {r.Kind}, "namespace": {r.Namespace}, "name": {r.Name}}
}

// Form is the request as Serve reads it.
func (r LogRequest) Form() url.Values {
	form := r.Ref.Form()
	form.Set("container", r.Container)
	form.Set("tail", strconv.FormatInt(r.Tail, 10))
	if r.Since > 0 {
		form.Set("since", r.Since.String())
	}
	for name, set := range map[string]bool{"allContainers": r.AllContainers, "previous": r.Previous, "follow": r.Follow} {
		if set {
			form.Set(name, "true")
		}
	}
	for _, container := range slices.Sorted(maps.Keys(r.After)) {
		form.Add("after", container+"@"+r.After[container].Format(time.RFC3339Nano))
	}
	return form
}

// ParseLogRequest reads a request for logs. Without tail it is for all lines.
func ParseLogRequest(form url.Values) (r LogRequest, err error) {
	r = LogRequest{
		Ref: refOf(form), Container: form.Get("container"), AllContainers: form.Get("allContainers") == "true",
		Previous: form.Get("previous") == "true", Follow: form.Get("follow") == "true", Tail: -1,
	}
	if text := form.Get("tail"); text != "" {
		if r.Tail, err = strconv.ParseInt(text, 10, 64); err != nil {
			return r, refuse("tail %.40q is no number", text)
		}
	}
	if text := form.Get("since"); text != "" {
		if r.Since, err = time.ParseDuration(text); err != nil || r.Since < 0 {
			return r, refuse("since %.40q is no time to look back", text)
		}
	}
	if known := form["after"]; len(known) > 0 {
		if len(known) > 4*MaxStreams {
			return r, refuse("of %d containers it is said what is known, more than %d", len(known), 4*MaxStreams)
		}
		r.After = map[string]time.Time{}
		for _, text := range known {
			container, stamp, _ := strings.Cut(text, "@")
			at, err := time.Parse(time.RFC3339Nano, stamp)
			if err != nil {
				return r, refuse("after %.80q is not POD/CONTAINER@TIME", text)
			}
			r.After[container] = at
		}
	}
	return r, r.Ref.valid()
}

// Form is the query as Serve reads it.
func (q Query) Form() url.Values {
	form := url.Values{"query": {q.Text}}
	if !q.Time.IsZero() {
		form.Set("time", q.Time.Format(time.RFC3339Nano))
	}
	if q.Range > 0 {
		form.Set("range", q.Range.String())
		form.Set("step", q.Step.String())
	}
	return form
}

// ParseQuery reads a query.
func ParseQuery(form url.Values) (q Query, err error) {
	q.Text = form.Get("query")
	if text := form.Get("time"); text != "" {
		if q.Time, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return q, refuse("the time %.40q is not as in RFC 3339", text)
		}
	}
	for name, into := range map[string]*time.Duration{"range": &q.Range, "step": &q.Step} {
		if text := form.Get(name); text != "" {
			if *into, err = time.ParseDuration(text); err != nil {
				return q, refuse("the %s %.40q is no length of time", name, text)
			}
		}
	}
	return q, nil
}
