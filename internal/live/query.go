package live

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxMetrics is how many bytes an answer to a query may have.
const MaxMetrics = 8 << 20

// Query is one of PromQL.
type Query struct {
	Text string
	// Time is the moment that is asked about; zero is now.
	Time time.Time
	// Range asks about that long before Time as well, at every Step; zero is one moment.
	Range, Step time.Duration
}

// Result is the answer to a query.
type Result struct {
	// Type is that of Prometheus: vector, matrix, scalar or string.
	Type     string   `json:"type"`
	Series   []Series `json:"series"`
	Warnings []string `json:"warnings,omitempty"`
}

// Series are the values of one.
type Series struct {
	Labels map[string]string `json:"labels,omitempty"`
	Points []Point           `json:"points"`
}

// Point is a value at a time.
type Point struct {
	Time  time.Time `json:"time"`
	Value string    `json:"value"` // as Prometheus writes it, such as "1.5" or "NaN"
}

// service is where a Prometheus is.
type service struct{ namespace, name, path string }

var serviceForm = regexp.MustCompile(`^([a-z0-9-]+)/((?:https:)?[a-z0-9-]+:[a-z0-9-]+)((?:/[A-Za-z0-9_-]+)*)/?$`)

// parseService reads the address of a Prometheus, NAMESPACE/[https:]SERVICE:PORT with
// a path before /api if there is one. Empty is none.
func parseService(text string) (*service, error) {
	if text == "" {
		return nil, nil
	}
	parts := serviceForm.FindStringSubmatch(text)
	if parts == nil {
		return nil, fmt.Errorf("the metrics %q are not NAMESPACE/SERVICE:PORT\nhint: monitoring/prometheus:9090, monitoring/https:prometheus:9090 or monitoring/mimir:80/prometheus", text)
	}
	return &service{parts[1], parts[2], parts[3]}, nil
}

// Bounds of a query.
const (
	maxQuery  = 16 << 10
	maxPoints = 11_000 // of a series, as Prometheus has it
	minStep   = time.Second
)

// values are the query as Prometheus takes it.
func (q Query) values() (path string, values url.Values, err error) {
	switch {
	case q.Text == "" || len(q.Text) > maxQuery:
		return "", nil, refuse("a query has 1 to %d bytes", maxQuery)
	case q.Range < 0 || q.Range > 0 && q.Step < minStep:
		return "", nil, refuse("a range needs a step of %s or more", minStep)
	case q.Range > 0 && q.Range/q.Step > maxPoints:
		return "", nil, refuse("a range has %d steps at most\nhint: a longer step", maxPoints)
	}
	values = url.Values{"query": {q.Text}, "timeout": {(askTime - 5*time.Second).String()}}
	if q.Range == 0 {
		if !q.Time.IsZero() {
			values.Set("time", stamp(q.Time))
		}
		return "/api/v1/query", values, nil
	}
	at := q.Time
	if at.IsZero() {
		at = time.Now()
	}
	values.Set("start", stamp(at.Add(-q.Range)))
	values.Set("end", stamp(at))
	values.Set("step", strconv.FormatFloat(q.Step.Seconds(), 'f', -1, 64))
	return "/api/v1/query_range", values, nil
}

func stamp(at time.Time) string {
	return strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)
}

// Query asks the Prometheus of the cluster, through the API server.
func (c *Cluster) Query(ctx context.Context, q Query) (Result, error) {
	if c.service == nil {
		return Result{}, refuse("where the Prometheus of the cluster is has not been said\nhint: nave agent --metrics NAMESPACE/SERVICE:PORT, or the same of nave hub for clusters with a kubeconfig")
	}
	path, values, err := q.values()
	if err != nil {
		return Result{}, err
	}
	to := c.core.CoreV1().RESTClient().Get().Namespace(c.service.namespace).Resource("services").Name(c.service.name).SubResource("proxy").
		Suffix(c.service.path + path).URL()
	to.RawQuery = values.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return Result{}, err
	}
	response, err := c.metrics.Do(request)
	if err != nil {
		return Result{}, fmt.Errorf("asking the Prometheus of the cluster: %w", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, MaxMetrics+1))
	if err != nil {
		return Result{}, fmt.Errorf("asking the Prometheus of the cluster: %w", err)
	}
	if len(data) > MaxMetrics {
		return Result{}, refuse("the answer has more than %d MiB\nhint: a query with fewer series, or a longer step", MaxMetrics>>20)
	}
	return readResult(response.StatusCode, data)
}

// answer is what Prometheus says, in its HTTP API, and an API server in its stead.
type answer struct {
	Status  string `json:"status"`
	Error   string `json:"error"`
	Message string `json:"message"` // of an API server
	Data    struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
}

// point is a pair of a time in seconds and a value.
type point [2]any

func (p point) read() (Point, error) {
	seconds, ok := p[0].(float64)
	value, isText := p[1].(string)
	if !ok || !isText || seconds < -1e11 || seconds > 1e11 {
		return Point{}, fmt.Errorf("%v is no point", [2]any(p))
	}
	return Point{Time: time.UnixMilli(int64(seconds * 1000)).UTC(), Value: value}, nil
}

// readResult reads an answer of Prometheus.
func readResult(status int, data []byte) (Result, error) {
	var a answer
	err := json.Unmarshal(data, &a)
	switch {
	case status == http.StatusNotFound, status == http.StatusServiceUnavailable, status == http.StatusForbidden:
		return Result{}, refuse("the Prometheus of the cluster: %s: %s\nhint: nave agent --metrics names its Service, and the agent needs the right to get services/proxy", http.StatusText(status), oneLine(a.Message, a.Error))
	case err != nil:
		return Result{}, fmt.Errorf("reading what the Prometheus of the cluster answered (%d): %w", status, err)
	case status != http.StatusOK || a.Status != "success":
		return Result{}, refuse("the Prometheus of the cluster: %s", oneLine(a.Error, a.Message, http.StatusText(status)))
	}
	result := Result{Type: a.Data.Type, Series: []Series{}, Warnings: a.Warnings}
	switch a.Data.Type {
	case "vector", "matrix":
		var series []struct {
			Metric     map[string]string `json:"metric"`
			Value      *point            `json:"value"`
			Values     []point           `json:"values"`
			Histogram  any               `json:"histogram"`
			Histograms []any             `json:"histograms"`
		}
		if err = json.Unmarshal(a.Data.Result, &series); err != nil {
			break
		}
		histograms := 0
		for _, s := range series {
			if s.Histogram != nil || len(s.Histograms) > 0 {
				histograms++
				continue
			}
			if s.Value != nil {
				s.Values = append(s.Values, *s.Value)
			}
			one := Series{Labels: s.Metric, Points: make([]Point, 0, len(s.Values))}
			for _, p := range s.Values {
				read, wrong := p.read()
				if wrong != nil {
					err = wrong
				}
				one.Points = append(one.Points, read)
			}
			result.Series = append(result.Series, one)
		}
		if histograms > 0 {
			result.Warnings = append(result.Warnings, fmt.Sprintf("%d native histograms are left out: histogram_quantile and its like show them", histograms))
		}
	case "scalar", "string":
		var p point
		var one Point
		if err = json.Unmarshal(a.Data.Result, &p); err == nil {
			one, err = p.read()
		}
		result.Series = append(result.Series, Series{Points: []Point{one}})
	default:
		err = fmt.Errorf("it is of the type %q", a.Data.Type)
	}
	if err != nil {
		return Result{}, fmt.Errorf("reading what the Prometheus of the cluster answered: %w", err)
	}
	return result, nil
}

// oneLine is the first of texts that says something, on one line and not too long.
func oneLine(texts ...string) string {
	for _, text := range texts {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			return fmt.Sprintf("%.500s", text)
		}
	}
	return "no reason given"
}
