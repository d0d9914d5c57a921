package hub

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"nave.dev/internal/desired"
	"nave.dev/internal/spoke"
)

func TestOneHubInADirectory(t *testing.T) {
	dir := t.TempDir()
	free, err := own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own(dir); err == nil {
		t.Fatal("two hubs own one directory")
	}
	free()
	free, err = own(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	free()
}

func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "hub") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &Hub{opts: Options{Dir: dir}}
	for range 2 { // the second time over what a dead hub left
		listener, err := h.socket()
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(Socket(dir))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("socket: %v, %v, want mode 0600", info, err)
		}
		listener.Close()
	}
}

func TestJournal(t *testing.T) {
	var j journal
	news := j.wait()
	for range journalSize + 2*journalTrim {
		j.add(spoke.Event{})
	}
	select {
	case <-news:
	default:
		t.Error("who waited was not woken")
	}
	total := int64(journalSize + 2*journalTrim)
	for _, c := range []struct {
		reason      string
		from        int64
		least, most int
	}{
		{"from the beginning: those that are kept", 0, journalSize, journalSize + journalTrim},
		{"the last one", total - 1, 1, 1},
		{"what is to come", total, 0, 0},
		{"a number of another hub's journal", 2 * total, 0, 0},
	} {
		events, next := j.since(c.from)
		if len(events) < c.least || len(events) > c.most || next != total {
			t.Errorf("%s: %d events, next %d", c.reason, len(events), next)
		}
	}
}

// TestClusterThatCannotBeAsked: before the hub has read the fleet, it does not say
// that there is no such cluster.
func TestClusterThatCannotBeAsked(t *testing.T) {
	h := &Hub{members: map[string]*member{}}
	for _, step := range []struct {
		reason string
		do     func()
		status int
		text   string
	}{
		{"nothing is read", func() {}, http.StatusServiceUnavailable, "has not read the fleet repository yet"},
		{"there is no way to it", func() { h.members["one"] = &member{err: "no kubeconfig"} }, http.StatusBadGateway, `cluster "one" cannot be asked: no kubeconfig`},
		{"there is none", func() { delete(h.members, "one"); h.pinned = &desired.Pinned{} }, http.StatusNotFound, "no such cluster"},
	} {
		step.do()
		for path, serve := range map[string]http.HandlerFunc{"diff": h.serveDiff, "orphans": h.serveOrphans, "sync": h.action(nil)} {
			recorder := httptest.NewRecorder()
			serve(recorder, httptest.NewRequest(http.MethodPost, "/?cluster=one", strings.NewReader(`{"cluster": "one", "actor": "test"}`)))
			if recorder.Code != step.status || !strings.Contains(recorder.Body.String(), step.text) {
				t.Errorf("%s, %s: %d %s", step.reason, path, recorder.Code, recorder.Body)
			}
		}
	}
}
