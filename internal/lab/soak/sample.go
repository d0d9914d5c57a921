package soak

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/lab"
)

// figure is one thing that is sampled.
type figure struct {
	key, name, unit string
	allow           allowed
	judged          bool
}

const mebibyte = 1 << 20

// figures are what is sampled, in the order of the table and the CSV file.
var figures = []figure{
	{"anonymous", "hub, anonymous memory", "MiB", allowed{16, 16, 0.10, 0.10}, true},
	{"file", "hub, file memory", "MiB", allowed{16, 16, 0.10, 0.10}, true},
	{"heap", "hub, live Go heap", "MiB", allowed{16, 16, 0.10, 0.10}, true},
	{"workers", "render workers, anonymous memory", "MiB", allowed{32, 32, 0.10, 0.10}, true},
	{"goroutines", "hub, goroutines", "", allowed{40, 15, 0.10, 0.01}, true},
	{"descriptors", "hub, open file descriptors", "", allowed{15, 8, 0.10, 0.02}, true},
	{"watches", "watches of the hub, per cluster", "", allowed{2, 0.5, 0.10, 0}, true},
	{"watchers", "watches at the API server, per cluster", "", allowed{5, 2, 0.05, 0}, true},
	{"cpu", "hub, processor", "cores", allowed{0.1, 0.1, 0.25, 0.25}, true},
	{"away", "clusters that are away", "", allowed{}, false},
}

// sample is all figures at one moment; those that could not be had are not in it.
type sample struct {
	at     time.Duration
	phase  string
	values map[string]float64
}

// The phases of a soak.
const (
	warmUp     = "warm-up"
	settling   = "settling"
	restBefore = "rest before"
	underLoad  = "load"
	restAfter  = "rest after"
)

// sampler takes samples in regular intervals.
type sampler struct {
	*world
	mu      sync.Mutex
	phase   string
	samples []sample
	pid     int     // of the hub in the last sample
	cpu     float64 // seconds that it had used by then
	cpuAt   time.Time
}

func (s *sampler) enter(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
}

// serversEvery is how many samples pass between two looks at the metrics of the
// API servers, which are large.
const serversEvery = 4

// run samples until ctx ends.
func (s *sampler) run(ctx context.Context, every time.Duration) {
	for n := 0; ; n++ {
		began := time.Now()
		values := map[string]float64{}
		s.ofHub(ctx, values)
		if n%serversEvery == 0 {
			s.ofServers(ctx, values)
		}
		away := 0
		for _, c := range s.clusters {
			if gone, _ := c.fault(); gone {
				away++
			}
		}
		values["away"] = float64(away)
		s.mu.Lock()
		s.samples = append(s.samples, sample{began.Sub(s.began), s.phase, values})
		s.mu.Unlock()
		if lab.Pause(ctx, every-time.Since(began)) != nil {
			return
		}
	}
}

// ofHub enters what the system and the hub itself say of its process. Between
// two hubs there is nothing to say.
func (s *sampler) ofHub(ctx context.Context, values map[string]float64) {
	pid, err := s.lab.HubPID()
	if err != nil {
		return
	}
	if anonymous, resident, err := memory(pid); err == nil {
		values["anonymous"] = anonymous / mebibyte
		values["file"] = (resident - anonymous) / mebibyte
	}
	workers := 0.0
	for _, child := range children(pid) {
		if anonymous, _, err := memory(child); err == nil {
			workers += anonymous / mebibyte
		}
	}
	values["workers"] = workers
	if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		values["descriptors"] = float64(len(open))
	}
	metrics, err := s.hubMetrics(ctx)
	if err != nil {
		return
	}
	now := time.Now()
	values["goroutines"] = metrics.sum("go_goroutines")
	values["heap"] = metrics.sum("go_gc_heap_live_bytes") / mebibyte
	values["watches"] = metrics.sum("nave_cluster_watches") / float64(len(s.clusters))
	cpu := metrics.sum("process_cpu_seconds_total")
	if s.pid == pid {
		values["cpu"] = (cpu - s.cpu) / now.Sub(s.cpuAt).Seconds()
	}
	s.pid, s.cpu, s.cpuAt = pid, cpu, now
}

// ofServers enters how many watches are open at an API server, on the average of
// those that are there.
func (s *sampler) ofServers(ctx context.Context, values map[string]float64) {
	var (
		group     sync.WaitGroup
		mu        sync.Mutex
		sum, have float64
	)
	for _, c := range s.clusters {
		if away, _ := c.fault(); away {
			continue
		}
		group.Go(func() {
			body, err := c.metrics.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
			if err != nil {
				return
			}
			open := 0.0
			for name, value := range parseMetrics(bytes.NewReader(body), "apiserver_longrunning_requests") {
				if strings.Contains(name, `verb="WATCH"`) {
					open += value
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum, have = sum+open, have+1
		})
	}
	group.Wait()
	if have > 0 {
		values["watchers"] = sum / have
	}
}

// memory returns a process's anonymous and resident memory in bytes.
func memory(pid int) (anonymous, resident float64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kilobytes, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "Anonymous:":
			anonymous = kilobytes * 1024
		case "Rss:":
			resident = kilobytes * 1024
		}
	}
	return anonymous, resident, nil
}

// children returns the processes that a process has started and that still run.
func children(pid int) (found []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		data, _ := os.ReadFile(file)
		for _, field := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// metrics are series with their labels, as Prometheus' text format has them, and
// their values.
type metrics map[string]float64

// hubMetrics asks the hub for its metrics, as Prometheus does.
func (w *world) hubMetrics(ctx context.Context) (metrics, error) {
	url, err := w.lab.HubURL()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the hub's metrics: %s", response.Status)
	}
	return parseMetrics(response.Body, ""), nil
}

// parseMetrics reads the series whose names begin with a prefix. Lines of another
// form are passed over.
func parseMetrics(in io.Reader, prefix string) metrics {
	found := metrics{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, mebibyte)
	for lines.Scan() {
		line := lines.Text()
		space := strings.LastIndexByte(line, ' ')
		if space < 0 || strings.HasPrefix(line, "#") || !strings.HasPrefix(line, prefix) {
			continue
		}
		if value, err := strconv.ParseFloat(line[space+1:], 64); err == nil && !math.IsNaN(value) {
			found[line[:space]] = value
		}
	}
	return found
}

// sum adds up all series of a name.
func (m metrics) sum(name string) (total float64) {
	for series := range maps.Keys(m) {
		if series == name || strings.HasPrefix(series, name+"{") {
			total += m[series]
		}
	}
	return total
}

// has reports whether a series of a name with a label of that value is there.
func (m metrics) has(name, value string) bool {
	for series := range maps.Keys(m) {
		if strings.HasPrefix(series, name+"{") && strings.Contains(series, strconv.Quote(value)) {
			return true
		}
	}
	return false
}

// trouble says what keeps a cluster from being online and Synced, with healthy
// also from being Healthy, or nothing.
func (m metrics) trouble(cluster string, healthy bool) string {
	for _, condition := range []string{"online", "synced", "healthy"} {
		if condition == "healthy" && !healthy {
			continue
		}
		if m[fmt.Sprintf("nave_cluster_%s{cluster=%q}", condition, cluster)] != 1 {
			return fmt.Sprintf("the hub says that %s is not %s", cluster, condition)
		}
	}
	return ""
}
