package hub

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/people/gate"
	"nave.dev/internal/spoke"
)

// FuzzAPI sends what the command line would not to a hub of one cluster that is
// not reached. Each call is answered, and none is taken for a success.
func FuzzAPI(f *testing.F) {
	f.Add("sync", `{"actor":"a","app":"web"}`, "0", "0s")
	f.Add("pause", `{"actor":"a","for":-9223372036854775808}`, "-1", "1ns")
	f.Add("confirm", `{"actor":"a","digest":"d","cluster":"one"}`, "99999999999999999999", "-1h")
	f.Add("confirm", `{"actor":1}`, "x", "1")
	f.Add("pause", `{`, "", "")
	f.Fuzz(func(t *testing.T, path, body, from, wait string) {
		h := &Hub{opts: Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}, members: map[string]*member{"one": {err: "no kubeconfig"}}}
		h.journal.Add(spoke.Event{Message: "one"})
		serve := func(method, target, body string) int {
			answer := httptest.NewRecorder()
			gate.Owner(h.api()).ServeHTTP(answer, httptest.NewRequest(method, target, strings.NewReader(body)))
			return answer.Code
		}
		if code := serve(http.MethodPost, "/api/v1/"+url.PathEscape(path), body); code < 400 && path != "refresh" {
			t.Errorf("%s %s was answered %d", path, body, code)
		}
		if d, err := time.ParseDuration(wait); err == nil && d > time.Millisecond {
			wait = "1ms"
		}
		if code := serve(http.MethodGet, "/api/v1/events?"+url.Values{"from": {from}, "wait": {wait}}.Encode(), ""); code != 200 {
			t.Errorf("events from %q were answered %d", from, code)
		}
	})
}
