package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"nave.dev/internal/render/worker"
)

// chartOf is a repository with one chart of one template.
func chartOf(template string) fstest.MapFS {
	return fstest.MapFS{
		"chart/Chart.yaml":       {Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")},
		"chart/templates/a.yaml": {Data: []byte(template)},
	}
}

// gate is a repository that says when a file is read and holds the reader until it is opened.
type gate struct {
	fs.FS
	at      string
	reached chan struct{}
	open    chan struct{}
	once    sync.Once
}

func (g *gate) ReadFile(name string) ([]byte, error) {
	if name == g.at {
		g.once.Do(func() { close(g.reached) })
		<-g.open
	}
	return fs.ReadFile(g.FS, name)
}

// children lists the processes that this one started and that still run.
func children(t *testing.T) []int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("finding a worker to kill needs /proc: run this on Linux")
	}
	var pids []int
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		data, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // a thread that ended meanwhile
		}
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestKilledWorkerIsNoticedByNobodyElse(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t), Workers: 2})
	t.Cleanup(r.Close)
	files := sample()
	held := &gate{FS: files, at: "chart/templates/a.yaml", reached: make(chan struct{}), open: make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		_, err := r.Render(t.Context(), Request{Files: held, Path: "chart"})
		failed <- err
	}()
	<-held.reached
	victims := children(t)
	if len(victims) != 1 {
		t.Fatalf("%d workers run, want the one that waits for a file", len(victims))
	}
	others := make(chan error, 1)
	go func() {
		_, err := r.Render(t.Context(), Request{Files: files, Path: "overlays/prod"})
		others <- err
	}()
	if err := syscall.Kill(victims[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	close(held.open)
	if err := <-others; err != nil {
		t.Errorf("another render noticed: %v", err)
	}
	if err := <-failed; err != nil {
		t.Errorf("a render whose worker was killed from outside is done again, but: %v", err)
	}
}

func TestLoopIsStopped(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t), Workers: 2, Deadline: 4 * time.Second, Retry: time.Hour})
	t.Cleanup(r.Close)
	loop := chartOf("{{ range $i := int64 9000000000000000000 }}{{ end }}")
	stopped := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := r.Render(t.Context(), Request{Files: loop, Path: "chart"})
			stopped <- err
		}()
	}
	if _, err := r.Render(t.Context(), Request{Files: sample(), Path: "plain"}); err != nil {
		t.Errorf("a render beside the loop: %v", err)
	}
	for range 2 {
		err := <-stopped
		var typed *StoppedError
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), "took longer than 4s") || typed.File != "chart" || typed.Hint == "" {
			t.Errorf("error %v, want one that names the chart, the time and what to do", err)
		}
	}
	if renders := r.Stats().Renders; renders != 2 {
		t.Errorf("%d renders, want 2: one loop was waited for, the other caller learned of it", renders)
	}
}

func TestJsonnetIsStopped(t *testing.T) {
	const (
		loop = "local loop(i) = if i == 0 then 0 else loop(i - 1) tailstrict; loop(1e15)"
		grow = "local grow(s) = if std.length(s) == 0 then 0 else grow(s + s) tailstrict; grow('xy')"
	)
	for program, test := range map[string]struct {
		options Options
		want    string
	}{
		loop: {Options{Deadline: time.Second, MaxMemory: 8 << 30}, "took longer than 1s"}, // it takes memory as well
		grow: {Options{MaxMemory: 160 << 20, Deadline: time.Minute}, "more than 160 MiB of memory"},
	} {
		if test.options.MaxMemory > 0 && runtime.GOOS != "linux" {
			continue // the memory of a worker is watched on Linux only
		}
		test.options.WorkerCommand = workerCommand(t)
		r := New(test.options)
		_, err := r.Render(t.Context(), Request{Files: fstest.MapFS{"app/a.jsonnet": {Data: []byte(program)}}, Path: "app"})
		r.Close()
		if !errors.As(err, new(*StoppedError)) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error that says %q", program, err, test.want)
		}
	}
}

func TestExplosionIsStopped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a worker is watched on Linux only")
	}
	r := New(Options{WorkerCommand: workerCommand(t), MaxMemory: 160 << 20})
	t.Cleanup(r.Close)
	explosion := chartOf(`{{ $x := "0123456789abcdef" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}{{ $x }}`)
	_, err := r.Render(t.Context(), Request{Files: explosion, Path: "chart"})
	if !errors.As(err, new(*StoppedError)) || !strings.Contains(err.Error(), "more than 160 MiB of memory") {
		t.Errorf("error %v, want one that names the limit", err)
	}
	if _, err := r.Render(t.Context(), Request{Files: sample(), Path: "plain"}); err != nil {
		t.Errorf("the next render: %v", err)
	}
}

func TestEndlessRecursionIsStopped(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t)})
	t.Cleanup(r.Close)
	recursion := chartOf(`{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`)
	if _, err := r.Render(t.Context(), Request{Files: recursion, Path: "chart"}); err == nil || !strings.Contains(err.Error(), "chart/templates/a.yaml") {
		t.Errorf("error %v, want one that names the template", err)
	}
}

func TestCallerThatLeavesStopsItsRender(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t), Deadline: time.Hour})
	t.Cleanup(r.Close)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	held := &gate{FS: chartOf("{{ range $i := int64 9000000000000000000 }}{{ end }}"), at: "chart/templates/a.yaml", reached: make(chan struct{}), open: make(chan struct{})}
	close(held.open)
	go func() {
		<-held.reached
		cancel(gone)
	}()
	if _, err := r.Render(ctx, Request{Files: held, Path: "chart"}); !errors.Is(err, gone) {
		t.Errorf("error %v, want %v", err, gone)
	}
}

// testedMemory is the limit under which an app at its limit is rendered; 0 is the
// usual one.
var testedMemory int64

// TestAppAtTheLimit renders as many objects as an app may have.
func TestAppAtTheLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("renders 50,000 objects: run without -short")
	}
	const most = 50_000
	var b strings.Builder
	for i := range most {
		fmt.Fprintf(&b, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m%d, namespace: shop}\ndata: {k: v}\n---\n", i)
	}
	files := fstest.MapFS{"app/all.yaml": {Data: []byte(b.String())}}
	r := New(Options{WorkerCommand: workerCommand(t), MaxMemory: testedMemory})
	t.Cleanup(r.Close)
	result, err := r.Render(t.Context(), Request{Files: files, Path: "app"})
	if err != nil || len(result.Bundle.Objects) != most {
		t.Fatalf("%v, want %d objects", err, most)
	}
	files["app/more.yaml"] = &fstest.MapFile{Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n")}
	if _, err := r.Render(t.Context(), Request{Files: files, Path: "app"}); err == nil || !strings.Contains(err.Error(), "more than 50000 objects") {
		t.Errorf("one more: %v, want that it is too many", err)
	}
}

func TestTooMuchOutput(t *testing.T) {
	many := fstest.MapFS{}
	for i := range 20 {
		many[fmt.Sprintf("app/%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%d}\ndata: {text: %q}\n", i, strings.Repeat("x", 1000))}
	}
	for _, options := range []Options{{}, {WorkerCommand: workerCommand(t)}} {
		for want, limited := range map[string]Options{
			"more than 10 objects": {WorkerCommand: options.WorkerCommand, MaxObjects: 10},
			"larger than":          {WorkerCommand: options.WorkerCommand, MaxBytes: 10_000},
		} {
			r := New(limited)
			_, err := r.Render(t.Context(), Request{Files: many, Path: "app"})
			r.Close()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
}

func TestWorkersAreUsedAgainAndEnd(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t), Workers: 1})
	files := sample()
	for _, path := range []string{"overlays/prod", "version", "chart"} {
		if _, err := r.Render(t.Context(), Request{Files: files, Path: path}); err != nil {
			t.Fatal(err)
		}
		if running := children(t); len(running) != 1 {
			t.Errorf("%d workers run after %s, want 1", len(running), path)
		}
	}
	r.Close()
	if running := children(t); len(running) != 0 {
		t.Errorf("workers %v run after Close", running)
	}
	if _, err := r.Render(t.Context(), Request{Files: files, Path: "base"}); err == nil {
		t.Error("a closed renderer started a worker")
	}
}

func TestIdleWorkersEnd(t *testing.T) {
	r := New(Options{WorkerCommand: workerCommand(t), Idle: time.Millisecond})
	t.Cleanup(r.Close)
	if _, err := r.Render(t.Context(), Request{Files: sample(), Path: "chart"}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(children(t)) > 0 {
		if time.Now().After(deadline) {
			t.Fatal("an idle worker does not end")
		}
		runtime.Gosched()
	}
}

func TestWorkerSeesNoSecretsAndNoNetwork(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	r := New(Options{WorkerCommand: workerCommand(t)})
	t.Cleanup(r.Close)
	held := &gate{FS: sample(), at: "chart/templates/a.yaml", reached: make(chan struct{}), open: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := r.Render(t.Context(), Request{Files: held, Path: "chart"})
		done <- err
	}()
	<-held.reached
	for _, pid := range children(t) {
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(environment), "secret") {
			t.Errorf("the worker's environment is %q", environment)
		}
		if r.Stats().Isolation != worker.NetworkNamespace {
			t.Logf("the network is not cut off here: %s", r.Stats().Isolation)
			continue
		}
		interfaces, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(interfaces), ":"); lines != 1 || !strings.Contains(string(interfaces), "lo:") {
			t.Errorf("the worker has the interfaces\n%s", interfaces)
		}
	}
	close(held.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
