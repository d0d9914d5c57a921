package live

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
)

// TestQuery asks by the path of an API server's proxy.
func TestQuery(t *testing.T) {
	stolen := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen = true }))
	defer other.Close()
	answers := map[string]http.HandlerFunc{
		"up": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"web"},"value":[1700000000.5,"1"]}]}}`)
		},
		"bad": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"status":"error","error":"parse error"}`)
		},
		"large": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat(" ", MaxMetrics+1)) },
		"away":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query"; r.URL.Path != want {
			t.Errorf("asked at %s, want %s", r.URL.Path, want)
		}
		answers[r.FormValue("query")](w, r)
	}))
	defer server.Close()
	c, err := New(Options{Config: &rest.Config{Host: server.URL, BearerToken: "secret"}, Metrics: "monitoring/prometheus:9090"})
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.Query(t.Context(), Query{Text: "up"})
	want := Result{Type: "vector", Series: []Series{{Labels: map[string]string{"job": "web"}, Points: []Point{{time.UnixMilli(1700000000500).UTC(), "1"}}}}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
	for query, text := range map[string]string{"bad": "parse error", "large": "more than 8 MiB", "away": ""} {
		if _, err := c.Query(t.Context(), Query{Text: query}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one with %q", query, err, text)
		}
	}
	if stolen {
		t.Error("a redirection took the credentials of the cluster elsewhere")
	}
}

func TestReadLogs(t *testing.T) {
	tests := []struct {
		reason, in string
		shown      int
		broken     bool
	}{
		{"an end ends it", `{"text":"a"}` + "\n" + `{"end":{"reason":"complete"}}` + "\n" + `{"text":"b"}`, 1, false},
		{"without an end it was broken off", `{"text":"a"}` + "\n", 1, true},
	}
	for _, test := range tests {
		shown := 0
		_, err := ReadLogs(strings.NewReader(test.in), func(Entry) error { shown++; return nil })
		if shown != test.shown || errors.Is(err, ErrBrokenOff) != test.broken {
			t.Errorf("%s: %d shown and error %v", test.reason, shown, err)
		}
	}
}

// TestLongLine shows the beginning of a line that is too long, and what follows it.
func TestLongLine(t *testing.T) {
	in := bufio.NewReaderSize(strings.NewReader("2026-01-01T00:00:00.5Z "+strings.Repeat("x", 3*MaxLine)+"\nnext"), MaxLine+64)
	line, _, err := readLine(in)
	if entry := parseLine(line); err != nil || len(entry.Text) != MaxLine || !entry.Cut || entry.Time.Nanosecond() != 5e8 {
		t.Errorf("%d bytes, cut %v, at %s, error %v", len(entry.Text), entry.Cut, entry.Time, err)
	}
	if line, cut, _ := readLine(in); string(line) != "next" || cut {
		t.Errorf("then %.20q, cut %v", line, cut)
	}
}

// TestVeil hides values in objects that were encrypted in Git, or of which nothing is
// known.
func TestVeil(t *testing.T) {
	config := func(name string, content map[string]any) *unstructured.Unstructured {
		content["apiVersion"], content["kind"] = "v1", "ConfigMap"
		content["metadata"] = map[string]any{"namespace": "shop", "name": name, "labels": map[string]any{"nave.dev/app": name}}
		return &unstructured.Unstructured{Object: content}
	}
	sealed := config("sealed", map[string]any{"sops": map[string]any{"mac": "x"}})
	known := secretive([]app.Desired{
		{Name: "sealed", Bundle: &app.Bundle{Objects: []*unstructured.Unstructured{sealed, config("plain", map[string]any{})}}}, {Name: "lost"},
	})
	for name, want := range map[string]bool{"sealed": true, "plain": false, "lost": true} {
		if why := known.why(config(name, map[string]any{})); (why != "") != want {
			t.Errorf("%s: %q", name, why)
		}
	}
	shown := veiled(config("sealed", map[string]any{"data": map[string]any{"password": "hunter2"}}))
	want := config("sealed", map[string]any{"data": map[string]any{"password": "redacted"}})
	want.SetLabels(map[string]string{"nave.dev/app": "redacted"})
	if diff := cmp.Diff(want.Object, shown.Object); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseLogRequest(f *testing.F) {
	f.Add("kind=pod&name=web&after=web/c@2026-01-01T00:00:00Z")
	f.Fuzz(func(t *testing.T, text string) {
		request, err := http.NewRequest(http.MethodGet, "http://hub/?"+text, nil)
		if err != nil {
			return
		}
		read, err := ParseLogRequest(request.URL.Query())
		if err != nil {
			return
		}
		again, err := ParseLogRequest(read.Form())
		if diff := cmp.Diff(read, again); err != nil || diff != "" {
			t.Errorf("error %v, difference:\n%s", err, diff)
		}
	})
}
