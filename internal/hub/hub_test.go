package hub

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nave.dev/internal/desired"
	"nave.dev/internal/people/gate"
)

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
		for path, serve := range map[string]http.HandlerFunc{"diff": h.serveDiff, "orphans": h.serveOrphans, "sync": h.action(operation{})} {
			recorder := httptest.NewRecorder()
			gate.Owner(serve).ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/?cluster=one", strings.NewReader(`{"cluster": "one", "actor": "test"}`)))
			if recorder.Code != step.status || !strings.Contains(recorder.Body.String(), step.text) {
				t.Errorf("%s, %s: %d %s", step.reason, path, recorder.Code, recorder.Body)
			}
		}
	}
}
