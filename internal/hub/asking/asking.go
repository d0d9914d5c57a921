// Package asking passes questions about clusters as they are now on to whatever keeps
// each, and the answers back: as fast as they are read, a few at a time, and those of
// many clusters to one query together.
package asking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nave.dev/internal/live"
)

const (
	// atOnce are the questions that are passed on to one cluster at a time. What nobody
	// reads of their answers is less than what an agent's connection lets be under way,
	// so that other calls go on.
	atOnce = 6
	// answerTime is how long an answer may take: longer than any that live gives.
	answerTime = live.MaxFollow + time.Minute
	// queryTime is how long the answers to a query may take together.
	queryTime = 2 * time.Minute
	// queriedAtOnce are the clusters that a query is put to at a time: many, since those
	// that do not answer keep their places for half a minute.
	queriedAtOnce = 32
	// maxQueried is how many bytes all answers to a query have together, as agents write
	// them: what is read of them is held until the last one is there.
	maxQueried = 64 << 20
	// maxPoints are in all answers to a query together.
	maxPoints = 500_000
)

var (
	errAnswerTime = errors.New("the cluster gave no answer in time")
	errQueryTime  = errors.New("no answer from the cluster within 2m")
)

// Way is a way to ask one cluster: Here, or Put.
type Way struct {
	// Here returns what answers for a cluster that is kept from this process.
	Here func() (*live.Cluster, error)
	// Put puts a question to the agent that keeps the cluster. An error that is a
	// RefusedError is of an agent that understood.
	Put func(ctx context.Context, question string, form url.Values) (*http.Response, error)
}

// RefusedError is what an agent understood and did not do.
type RefusedError struct{ Text string }

// Error says what the agent said.
func (e *RefusedError) Error() string { return e.Text }

// Fleet is whom questions can be put to.
type Fleet interface {
	// Ways returns the ways to all clusters, or to the named one, and why there is none
	// to the others.
	Ways(cluster string) (ways map[string]Way, unreached map[string]string)
	// Absent answers that there is no way to a cluster, and why.
	Absent(w http.ResponseWriter, cluster string)
	// Sees returns of which clusters the caller of a request may know.
	Sees(*http.Request) func(cluster string) bool
}

// Desk passes questions on. It is safe for concurrent use.
type Desk struct {
	fleet Fleet

	mu    sync.Mutex
	asked map[string]int // questions that are being answered, by cluster
}

// New returns a Desk of a fleet.
func New(fleet Fleet) *Desk { return &Desk{fleet: fleet, asked: map[string]int{}} }

// ServeQuestion passes a question on to the cluster that it names, and the answer
// back, as fast as it is read.
func (d *Desk) ServeQuestion(w http.ResponseWriter, r *http.Request) {
	cluster, question := r.FormValue("cluster"), r.PathValue("question")
	if !slices.Contains(live.Questions, question) {
		http.Error(w, fmt.Sprintf("no question %q\nhint: %s", question, strings.Join(live.Questions, ", ")), live.StatusRefused)
		return
	}
	ways, _ := d.fleet.Ways(cluster)
	way, ok := ways[cluster]
	if !ok {
		d.fleet.Absent(w, cluster)
		return
	}
	done, err := d.begins(cluster)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	defer done()
	ctx, cancel := context.WithTimeoutCause(r.Context(), answerTime, errAnswerTime)
	defer cancel()
	if way.Put != nil {
		way.pass(w, r.WithContext(ctx), question)
		return
	}
	here, err := way.Here()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here.Serve(question, w, r.WithContext(ctx))
}

// begins counts a question to a cluster until done is called.
func (d *Desk) begins(cluster string) (done func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked[cluster] >= atOnce {
		return nil, fmt.Errorf("%d questions to cluster %q are being answered already\nhint: end one that follows logs, or try again", atOnce, cluster)
	}
	d.asked[cluster]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.asked[cluster]--; d.asked[cluster] == 0 {
			delete(d.asked, cluster)
		}
	}, nil
}

// pass passes an answer of the agent on. What is read of it is what is taken: the
// agent makes no more than that. One that breaks off has no end of its own.
func (way Way) pass(w http.ResponseWriter, request *http.Request, question string) {
	response, err := way.Put(request.Context(), question, request.URL.Query())
	if err != nil {
		status := http.StatusBadGateway
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			status = live.StatusRefused
		}
		http.Error(w, err.Error(), status)
		return
	}
	defer response.Body.Close()
	kind := "application/json"
	if question == live.LogsQuestion {
		kind = "application/x-ndjson"
	}
	w.Header().Set("Content-Type", kind) // whatever the agent says
	w.Header().Set("X-Content-Type-Options", "nosniff")
	flow := http.NewResponseController(w)
	part := make([]byte, 32<<10)
	for {
		// Over HTTP/2 a deadline that passes ends the answer even if nothing is written
		// then: it is for who reads nothing, not for logs that have no news.
		flow.SetWriteDeadline(time.Now().Add(answerTime + live.StuckAfter))
		n, err := response.Body.Read(part)
		flow.SetWriteDeadline(time.Now().Add(live.StuckAfter))
		if _, failed := w.Write(part[:n]); failed != nil || n > 0 && flow.Flush() != nil || err != nil {
			return
		}
	}
}

// Queried is the answer of several clusters to one query.
type Queried struct {
	Results []ClusterResult `json:"results"` // by cluster
	// Errors say why clusters gave no answer.
	Errors map[string]string `json:"errors,omitempty"`
}

// ClusterResult is the answer of one cluster.
type ClusterResult struct {
	Cluster string `json:"cluster"`
	live.Result
}

// ServeQuery puts a query to all clusters, or to the named one. One that cannot be
// asked does not keep the others, and is named.
func (d *Desk) ServeQuery(w http.ResponseWriter, r *http.Request) {
	form := r.URL.Query()
	query, err := live.ParseQuery(form)
	if err != nil {
		http.Error(w, err.Error(), live.StatusRefused)
		return
	}
	cluster := form.Get("cluster")
	ways, unreached := d.fleet.Ways(cluster)
	if cluster != "" && len(ways) == 0 {
		d.fleet.Absent(w, cluster)
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), queryTime, errQueryTime)
	defer cancel()
	var (
		mu     sync.Mutex
		group  sync.WaitGroup
		points int
		out    = Queried{Results: []ClusterResult{}, Errors: unreached}
		sees   = d.fleet.Sees(r)
		turn   = make(chan struct{}, queriedAtOnce)
		left   atomic.Int64 // of maxQueried
	)
	left.Store(maxQueried)
	maps.DeleteFunc(out.Errors, func(name, _ string) bool { return !sees(name) })
	for name, way := range ways {
		if !sees(name) {
			continue
		}
		group.Go(func() {
			var result live.Result
			err := errNotAsked
			select {
			case turn <- struct{}{}:
				if ctx.Err() == nil {
					result, err = d.query(ctx, name, way, query, &left)
				}
				<-turn
			case <-ctx.Done():
			}
			mu.Lock()
			defer mu.Unlock()
			for _, series := range result.Series {
				points += 1 + len(series.Points)
			}
			if err == nil && points > maxPoints {
				err = fmt.Errorf("left out: the answers together have more than %d points", maxPoints)
			}
			if err != nil {
				out.Errors[name] = err.Error()
				return
			}
			out.Results = append(out.Results, ClusterResult{name, result})
		})
	}
	group.Wait()
	slices.SortFunc(out.Results, func(a, b ClusterResult) int { return strings.Compare(a.Cluster, b.Cluster) })
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out)
}

// share reads an answer as long as there is something left of what all of them may have.
type share struct {
	answer io.Reader
	left   *atomic.Int64
}

var errNotAsked = fmt.Errorf("was not asked: the other clusters took all of the %s that a query may take", queryTime)

var errAllAnswers = fmt.Errorf("left out: the answers together have more than %d MiB", maxQueried>>20)

// Read reads from the answer.
func (s share) Read(p []byte) (int, error) {
	n, err := s.answer.Read(p)
	if s.left.Add(-int64(n)) < 0 {
		return 0, errAllAnswers
	}
	return n, err
}

// query puts a query to one cluster, of which so many bytes are left for the answer.
func (d *Desk) query(ctx context.Context, cluster string, way Way, query live.Query, left *atomic.Int64) (result live.Result, err error) {
	done, err := d.begins(cluster)
	if err != nil {
		return result, err
	}
	defer done()
	if way.Put == nil {
		here, err := way.Here()
		if err != nil {
			return result, err
		}
		return here.Query(ctx, query)
	}
	response, err := way.Put(ctx, live.MetricsQuestion, query.Form())
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	// The agent writes times out, so that its answer is longer than the one it read.
	if err := json.NewDecoder(share{io.LimitReader(response.Body, 4*live.MaxMetrics), left}).Decode(&result); err != nil {
		return result, fmt.Errorf("reading the agent's answer: %w", err)
	}
	return result, nil
}
