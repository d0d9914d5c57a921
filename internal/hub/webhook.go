package hub

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
)

// public serves what others than the hub's owner may reach.
func (h *Hub) public() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.serveReady)
	mux.HandleFunc("POST /webhook", h.serveWebhook)
	return mux
}

// serveReady says whether the process does its work: a hub does once it can be asked,
// also while Git is away; one in the place of an agent once it keeps its cluster.
func (h *Hub) serveReady(w http.ResponseWriter, _ *http.Request) {
	if h.opts.Alone != nil && len(h.running(h.opts.Alone.Name)) == 0 {
		http.Error(w, "neither the fleet repository nor the cluster has said yet what the cluster is to hold", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// serveWebhook has the hub look at Git when a signed call tells of a push. A storm
// of calls costs one look after another, never two at once.
func (h *Hub) serveWebhook(w http.ResponseWriter, r *http.Request) {
	if h.opts.WebhookSecretFile == "" {
		http.Error(w, "this hub takes no webhooks: it was given no --webhook-secret-file", http.StatusNotFound)
		return
	}
	secret, err := os.ReadFile(h.opts.WebhookSecretFile)
	if err != nil {
		h.opts.Log.Error("reading the webhook secret", "error", err)
		http.Error(w, "the secret cannot be read", http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	pinned := h.pinned
	h.mu.Unlock()
	concerned, status, err := h.pipeline.ReadWebhook(r, bytes.TrimSpace(secret), pinned)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	if concerned {
		h.Trigger()
	}
}
