package asking

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nave.dev/internal/live"
)

// timed is an answer of which the last deadline of writing is known.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

// SetWriteDeadline implements what http.ResponseController looks for.
func (t *timed) SetWriteDeadline(at time.Time) error {
	t.deadline = at
	return nil
}

// quiet is the body of an answer that has one line, and notes before each reading
// how long the reading may take.
type quiet struct {
	answer *timed
	lines  []string
	left   []time.Duration
}

func (q *quiet) Read(p []byte) (int, error) {
	q.left = append(q.left, time.Until(q.answer.deadline))
	if len(q.lines) == 0 {
		return 0, io.EOF
	}
	n := copy(p, q.lines[0])
	q.lines = q.lines[1:]
	return n, nil
}

func (q *quiet) Close() error { return nil }

func TestLogsWithoutNewsAreNotStuck(t *testing.T) {
	answer := &timed{ResponseRecorder: httptest.NewRecorder()}
	body := &quiet{answer: answer, lines: []string{"{}\n"}}
	way := Way{Put: func(context.Context, string, url.Values) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
	}}
	way.pass(answer, httptest.NewRequest(http.MethodGet, "/api/v1/live/logs?cluster=a", nil), live.LogsQuestion)
	if len(body.left) != 2 {
		t.Fatalf("the answer of the agent was read %d times, not 2", len(body.left))
	}
	for i, left := range body.left {
		if left < live.MaxFollow {
			t.Errorf("reading %d of the agent's answer may take %s, and logs are followed for %s", i, left, live.MaxFollow)
		}
	}
	if left := time.Until(answer.deadline); left > live.StuckAfter {
		t.Errorf("who reads nothing is waited for %s, more than %s", left, live.StuckAfter)
	}
}

// wide is a fleet of clusters whose answers to any query are of so many bytes each.
type wide struct {
	clusters int
	bytes    int
}

func (f wide) Ways(string) (map[string]Way, map[string]string) {
	ways := map[string]Way{}
	for i := range f.clusters {
		ways[fmt.Sprintf("c%d", i)] = Way{Put: func(context.Context, string, url.Values) (*http.Response, error) {
			body := `{"type": "vector", "series": []` + strings.Repeat(" ", f.bytes) + "}"
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
		}}
	}
	return ways, map[string]string{}
}

func (wide) Absent(http.ResponseWriter, string) {}

func (wide) Sees(*http.Request) func(string) bool { return func(string) bool { return true } }

// TestAnswersTogether bounds what is held of all answers to a query, whatever each of
// them may have, and names those that are left out.
func TestAnswersTogether(t *testing.T) {
	for _, c := range []struct {
		fleet wide
		most  int // answers that are given
	}{
		{wide{3, 1 << 20}, 3},
		{wide{6, maxQueried / 4}, 3},
	} {
		answer := httptest.NewRecorder()
		New(c.fleet).ServeQuery(answer, httptest.NewRequest(http.MethodGet, "/api/v1/query?promql=up", nil))
		var have Queried
		if err := json.Unmarshal(answer.Body.Bytes(), &have); err != nil {
			t.Fatalf("%d %v: %s", answer.Code, err, answer.Body)
		}
		if len(have.Results) > c.most || len(have.Results)+len(have.Errors) != c.fleet.clusters {
			t.Errorf("%+v: %d answers, at most %d are within the bound; and %d errors", c.fleet, len(have.Results), c.most, len(have.Errors))
		}
		if c.most == c.fleet.clusters && len(have.Errors) > 0 {
			t.Errorf("%+v: %v", c.fleet, have.Errors)
		}
		for _, text := range have.Errors {
			if !strings.Contains(text, errAllAnswers.Error()) {
				t.Errorf("left out because of %q", text)
			}
		}
	}
}

// silent is a fleet of clusters that answer nothing.
type silent struct {
	wide
	asked *atomic.Int64
}

func (f silent) Ways(string) (map[string]Way, map[string]string) {
	ways := map[string]Way{}
	for i := range f.clusters {
		ways[fmt.Sprintf("c%d", i)] = Way{Put: func(ctx context.Context, _ string, _ url.Values) (*http.Response, error) {
			f.asked.Add(1)
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}}
	}
	return ways, map[string]string{}
}

// TestNotAsked tells apart who gave no answer and who was not asked for want of time.
func TestNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fleet, answer := silent{wide{clusters: queriedAtOnce + 5}, &atomic.Int64{}}, httptest.NewRecorder()
		New(fleet).ServeQuery(answer, httptest.NewRequest(http.MethodGet, "/api/v1/query?promql=up", nil))
		var have Queried
		if err := json.Unmarshal(answer.Body.Bytes(), &have); err != nil {
			t.Fatal(err)
		}
		told := map[string]int{}
		for _, text := range have.Errors {
			told[text]++
		}
		asked := int(fleet.asked.Load())
		if asked != queriedAtOnce || told[errQueryTime.Error()] != asked || told[errNotAsked.Error()] != fleet.clusters-asked {
			t.Errorf("%d clusters were asked: %v", asked, told)
		}
	})
}
