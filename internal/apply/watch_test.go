package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
)

// follow watches ConfigMaps and returns a function that waits until an event
// satisfies the condition.
func (g *ground) follow(c *Client) func(what string, condition func(Event) bool) Event {
	g.Helper()
	ctx, cancel := context.WithCancel(g.Context())
	var mu sync.Mutex
	var events []Event
	ended := make(chan error, 1)
	go func() {
		ended <- c.Watch(ctx, schema.GroupKind{Kind: "ConfigMap"}, true, func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Type == Listed || e.Type == Interrupted || e.ID.Namespace == g.namespace {
				events = append(events, e)
			}
		})
	}()
	g.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			g.Errorf("the watch ended with %v", err)
		}
	})
	return func(what string, condition func(Event) bool) (found Event) {
		g.Helper()
		g.eventually(what, func() string {
			mu.Lock()
			defer mu.Unlock()
			for i, e := range events {
				if condition(e) {
					found, events = e, events[i+1:]
					return ""
				}
			}
			return fmt.Sprintf("%d other events", len(events))
		})
		return found
	}
}

func TestWatchShowsWhoTookAField(t *testing.T) {
	g := on(t)
	g.create("somebody", configMaps("unmarked"))
	target := g.target("web", configMaps("a", "b"))
	result := g.sync(target)
	known := result.Baselines[object.ID{Kind: "ConfigMap", Namespace: g.namespace, Name: "a"}]
	next := g.follow(g.client)
	first := next("a is told", func(e Event) bool { return e.Type == Added && e.ID.Name == "a" })
	if known.Differs(first) || first.Owner.App != "web" {
		t.Errorf("an object as it was applied: differs %v, owner %v", known.Differs(first), first.Owner)
	}
	next("all is told", func(e Event) bool { return e.Type == Listed })

	g.patch("some-controller", "ConfigMap", "a", `{"metadata":{"annotations":{"x":"y"}}}`)
	harmless := next("a is modified", func(e Event) bool { return e.Type == Modified && e.ID.Name == "a" })
	if known.Differs(harmless) {
		t.Error("a controller's annotation counts as a difference")
	}
	g.patch("kubectl-edit", "ConfigMap", "a", `{"data":{"extra":"1"}}`)
	added := next("a is added to", func(e Event) bool { return e.Type == Modified && e.ID.Name == "a" })
	if !known.Differs(added) {
		t.Error("a key that a person added goes unseen")
	}
	g.patch("kubectl-edit", "ConfigMap", "a", `{"data":{"k":"taken"}}`)
	taken := next("a field is taken", func(e Event) bool { return e.Type == Modified && e.ID.Name == "a" })
	if !known.Differs(taken) || taken.Fields == added.Fields {
		t.Error("a field that a person took goes unseen")
	}
	by := false
	for _, manager := range taken.Managers {
		by = by || manager.Name == "kubectl-edit" && !manager.Time.IsZero()
	}
	if !by {
		t.Errorf("managers %v", taken.Managers)
	}
	if taken.Object.Object["data"] != nil {
		t.Error("the event holds more than metadata")
	}
	g.patch("kubectl-label", "ConfigMap", "a", `{"metadata":{"labels":null}}`)
	gone := next("the label is removed", func(e Event) bool { return e.Type == Deleted && e.ID.Name == "a" })
	if !known.Differs(gone) {
		t.Error("a deleted event is no difference")
	}
	g.create("somebody", configMaps("other"))
	g.delete("ConfigMap", "b")
	next("b is deleted", func(e Event) bool {
		if e.ID.Name == "other" || e.ID.Name == "unmarked" {
			t.Errorf("an object without the label was told: %v", e.ID)
		}
		return e.Type == Deleted && e.ID.Name == "b"
	})
}

func TestWatchListsAgainWhenItsVersionIsTooOld(t *testing.T) {
	g := on(t)
	config := rest.CopyConfig(g.env.Config)
	var mu sync.Mutex
	broken, expired := false, 0
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return answering{next, func(r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			if !strings.Contains(r.URL.RawQuery, "watch=true") || !broken {
				return nil
			}
			broken = false
			expired++
			return status(200, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}}`+"\n",
				http.Header{"Content-Type": {"application/json"}})
		}}
	})
	c, err := New(config, Options{Fleet: g.env.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	broken = true
	g.sync(g.target("web", configMaps("a", "b")))
	next := g.follow(c)
	next("the first list", func(e Event) bool { return e.Type == Listed })
	next("the second list", func(e Event) bool { return e.Type == Listed })
	g.delete("ConfigMap", "a")
	next("events go on", func(e Event) bool { return e.Type == Deleted && e.ID.Name == "a" })
	if expired != 1 {
		t.Errorf("expired %d times", expired)
	}
}

// ending is the body of a watch that ends once it has begun.
type ending struct {
	begun <-chan struct{}
	end   func()
}

func (e ending) Read([]byte) (int, error) {
	<-e.begun
	e.end()
	return 0, io.EOF
}

func (ending) Close() error { return nil }

// TestWatchThatBreaksOffListsAgain ends a watch before its time, when the server
// may have been restored from an older state, and in its time.
func TestWatchThatBreaksOffListsAgain(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		want  string
	}{
		"before its time": {time.Minute, "list, watch, list, watch"},
		"in its time":     {11 * time.Minute, "list, watch, watch"},
	} {
		g := on(t)
		var mu sync.Mutex
		var ahead time.Duration
		var asked []string
		begun, over := make(chan struct{}), make(chan struct{})
		config := rest.CopyConfig(g.env.Config)
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			return answering{next, func(r *http.Request) *http.Response {
				if !strings.Contains(r.URL.Path, "configmaps") {
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				if r.URL.Query().Get("watch") == "" {
					asked = append(asked, "list")
					return nil
				}
				asked = append(asked, "watch")
				if strings.Count(strings.Join(asked, ""), "watch") > 1 {
					close(over)
					return nil
				}
				response := status(200, "", http.Header{"Content-Type": {"application/json"}})
				response.ContentLength = -1
				response.Body = ending{begun, func() { mu.Lock(); ahead = c.after; mu.Unlock() }}
				return response
			}}
		})
		first := sync.OnceFunc(func() { close(begun) })
		client, err := New(config, Options{
			Fleet: g.env.Prefix,
			Now: func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return time.Now().Add(ahead)
			},
			Listener: Listener{Watching: func(int) { first() }},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			client.Watch(ctx, schema.GroupKind{Kind: "ConfigMap"}, true, func(Event) {})
		}()
		<-over
		cancel()
		<-done
		if got := strings.Join(asked, ", "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestWatchTellsWhatWentWhileItWasInterrupted(t *testing.T) {
	g := on(t)
	g.sync(g.target("web", configMaps("a", "b", "c")))
	var told []string
	f := &follower{
		client: g.client, kind: schema.GroupKind{Kind: "ConfigMap"}, seen: map[object.ID]Tracked{},
		tell: func(e Event) {
			if e.Type == Listed || e.ID.Namespace == g.namespace {
				told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s", e.Type, e.ID.Name)))
			}
		},
	}
	f.options.LabelSelector = object.AppLabel
	if err := f.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.delete("ConfigMap", "a")
	g.patch("x", "ConfigMap", "b", `{"data":{"k":"w"}}`)
	told = nil
	if err := f.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, ", "); got != "modified b, deleted a, listed" {
		t.Errorf("told %s", got)
	}
}

func TestWatchOfAnUnknownKindEnds(t *testing.T) {
	g := on(t)
	err := g.client.Watch(t.Context(), schema.GroupKind{Group: "none.example.org", Kind: "None"}, true, func(Event) {})
	var unknown *cluster.UnknownKindError
	if !errors.As(err, &unknown) {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestWatchObjectsHasStatusAndHidesSecrets(t *testing.T) {
	g := on(t)
	g.sync(g.target("web", `
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: NS}
stringData: {password: hunter2}
`))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var data string
	err := g.client.WatchObjects(ctx, schema.GroupKind{Kind: "Secret"}, true, func(e Event) {
		if e.ID.Namespace == g.namespace {
			data = fmt.Sprint(e.Object.Object["data"])
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(data, "redacted:") {
		t.Errorf("%v, data %s", err, data)
	}
}
