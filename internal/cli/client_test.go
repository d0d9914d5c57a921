package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"nave.dev/internal/hub"
	"nave.dev/internal/hub/socket"
	"nave.dev/internal/spoke"
)

// served serves a hub's socket in a new directory, which it returns.
func served(t *testing.T, handler http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nave") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", socket.Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
		os.RemoveAll(dir)
	})
	return dir
}

// typed runs nave as somebody types it.
func typed(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	command := New("test", nil)
	command.SetArgs(args)
	command.SetOut(&out)
	command.SetErr(&talk)
	code = Report(ctx, command.ExecuteContext(ctx), &talk)
	return code, out.String(), talk.String()
}

func answers(value any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(value) }
}

// TestAskingAHub types commands at a hub with one troubled fleet.
func TestAskingAHub(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/fleet", func(w http.ResponseWriter, r *http.Request) {
		fleet := troubled()
		fleet.Clusters = slices.DeleteFunc(fleet.Clusters, func(c hub.Cluster) bool {
			return r.FormValue("cluster") != "" && r.FormValue("cluster") != c.Cluster
		})
		answers(fleet)(w, r)
	})
	mux.Handle("GET /api/v1/events", answers(hub.Events{Next: 1}))
	mux.Handle("POST /api/v1/refresh", answers(struct{}{}))
	mux.HandleFunc("POST /api/v1/sync", func(w http.ResponseWriter, r *http.Request) {
		var action hub.Action
		if json.NewDecoder(r.Body).Decode(&action) != nil || action.Actor == "" || action.App != "cart" {
			http.Error(w, "nobody", http.StatusNotFound)
			return
		}
		answers(hub.Outcome{"lab-1": "", "lab-2": "cluster lab-2 is offline"})(w, r)
	})
	mux.HandleFunc("POST /api/v1/confirm", http.NotFound)
	dir := served(t, mux)
	t.Setenv("NAVE_DIR", dir)
	for _, c := range []struct {
		reason string
		args   string
		code   int
		stdout string // is part of it
		stderr string
	}{
		{"a filter shows only what it asks for", "apps --health degraded", 0, "lab-1    cart", ""},
		{"a filter that finds nothing gives an empty list", "apps --cluster lab-2 -o json", 0, "[]\n", ""},
		{"a filter names a cluster that is not there", "apps --cluster lab-9", 1, "", "hint: it has lab-1, lab-2, prod-us-1, prod-us-2"},
		{"data in another form", "clusters -o yaml", 0, "cluster: lab-1", ""},
		{"no events are an empty list", "events -o json", 0, "[]\n", ""},
		{"who waits in vain is told what for", "wait --timeout 0s", 3, "", "waiting for lab-1, lab-2; Git's newest state is not in force: reading the tree: broken\nhint: nave status"},
		{"names of clusters complete", "__complete pause --cluster prod", 0, "prod-us-1\nprod-us-2\n", ""},
		{"names of apps complete", "__complete sync c", 0, "cart\n", ""},
		{"an action that some clusters could not do", "sync cart", 1, "lab-2: cluster lab-2 is offline\n", "1 of 2 clusters could not"},
		{"an app that is nowhere", "sync helo", 1, "", "no cluster has an app \"helo\"\nhint: nave apps lists them; one that a push has just brought"},
		{"a cluster that is not there", "sync helo --cluster lab-9", 1, "", "the hub keeps no cluster \"lab-9\"\nhint: nave clusters"},
		{"a list that is not held", "confirm 3f9a --reason x", 1, "", "no cluster holds a list \"3f9a\"\nhint:"},
	} {
		code, stdout, stderr := typed(t.Context(), strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: nave %s: exit code %d, want %d\n%s%s", c.reason, c.args, code, c.code, stdout, stderr)
		}
	}
}

// TestInterrupted stops commands that wait, as Ctrl-C does: for who follows that
// is the end, for who waits it is no success.
func TestInterrupted(t *testing.T) {
	for args, want := range map[string]struct {
		code   int
		stdout string
		stderr string
	}{
		"events --follow -o json": {0, `"message":"answers again"` + "}\n", ""},
		"wait":                    {1, "", "nave: interrupted\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		mux := http.NewServeMux()
		mux.Handle("GET /api/v1/fleet", answers(troubled()))
		mux.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, r *http.Request) {
			if r.FormValue("wait") == "0s" {
				answers(hub.Events{Next: 2, Events: []spoke.Event{{Cluster: "lab-1", Kind: spoke.EventOnline, Message: "answers again"}}})(w, r)
				return
			}
			cancel() // while it waits for news
			<-r.Context().Done()
		})
		code, stdout, stderr := typed(ctx, append(strings.Fields(args), "--dir", served(t, mux))...)
		if code != want.code || !strings.Contains(stdout, want.stdout) || !strings.HasSuffix(stderr, want.stderr) {
			t.Errorf("nave %s: exit code %d, want %d\n%s%s", args, code, want.code, stdout, stderr)
		}
		if want.stderr == "" && stderr != "" {
			t.Errorf("nave %s talks: %s", args, stderr)
		}
	}
}
