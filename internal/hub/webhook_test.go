package hub

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nave.dev/internal/desired"
	"nave.dev/internal/hub/alone"
)

// TestWebhooks counts the looks at Git that calls cause: a storm of them causes
// one more after the one under way, and forged ones cause none.
func TestWebhooks(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("it is a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipeline, err := desired.Open(t.Context(), desired.Options{Dir: dir, Repository: desired.Repository{URL: "https://git.example.com/org/fleet.git"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipeline.Close() })
	sign := func(body, secret string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	const push = `{"url":"https://git.example.com/org/fleet"}`
	const other = `{"url":"https://git.example.com/org/other"}`
	for _, c := range []struct {
		reason, file, body, signature string
		status, looks                 int
	}{
		{"a push to the fleet repository", secret, push, sign(push, "it is a secret"), 200, 1},
		{"a push to a repository of somebody else's", secret, other, sign(other, "it is a secret"), 200, 0},
		{"a forged call", secret, push, sign(push, "a guess"), 401, 0},
		{"a call without a signature", secret, push, "", 401, 0},
		{"an empty secret lets nobody in", os.DevNull, push, sign(push, ""), 401, 0},
		{"a secret that cannot be read", filepath.Join(dir, "none"), push, sign(push, ""), 500, 0},
		{"no secret: no webhooks", "", push, sign(push, ""), 404, 0},
	} {
		h := &Hub{opts: Options{WebhookSecretFile: c.file, Log: slog.New(slog.DiscardHandler)}, pipeline: pipeline, trigger: make(chan struct{}, 1)}
		for range 1000 {
			call := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(c.body))
			call.Header.Set("Content-Type", "application/json")
			if c.signature != "" {
				call.Header.Set("X-Nave-Signature", c.signature)
			}
			answer := httptest.NewRecorder()
			h.serveWebhook(answer, call)
			if answer.Code != c.status {
				t.Fatalf("%s: answered %d %s, want %d", c.reason, answer.Code, answer.Body, c.status)
			}
		}
		if looks := len(h.trigger); looks != c.looks {
			t.Errorf("%s: %d looks at Git wait after 1000 calls, want %d", c.reason, looks, c.looks)
		}
	}
}

// TestReady asks a hub, and one in the place of an agent before and after it keeps its
// cluster.
func TestReady(t *testing.T) {
	for _, c := range []struct {
		reason string
		hub    *Hub
		status int
	}{
		{"a hub that knows no cluster yet", &Hub{}, http.StatusOK},
		{"an agent without a hub that knows nothing", &Hub{opts: Options{Alone: &alone.Cluster{Name: "one"}}}, http.StatusServiceUnavailable},
		{"one whose cluster is in error", &Hub{opts: Options{Alone: &alone.Cluster{Name: "one"}}, members: map[string]*member{"one": {err: "e"}}}, http.StatusServiceUnavailable},
		{"one that keeps it", &Hub{opts: Options{Alone: &alone.Cluster{Name: "one"}}, members: map[string]*member{"one": {spoke: &still{}}}}, http.StatusOK},
	} {
		recorder := httptest.NewRecorder()
		c.hub.serveReady(recorder, nil)
		if recorder.Code != c.status {
			t.Errorf("%s: %d %s", c.reason, recorder.Code, recorder.Body)
		}
	}
}
