package apply

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/change"
)

// dying lets some requests through and then breaks every connection.
type dying struct {
	next http.RoundTripper
	only string // the method that counts

	mu    sync.Mutex
	after int
}

func (d *dying) wrap(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		d.next = next
		return d
	})
}

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	dead := false
	if r.Method == d.only {
		dead = d.after <= 0
		d.after--
	}
	d.mu.Unlock()
	if dead {
		return nil, errors.New("connection refused")
	}
	return d.next.RoundTrip(r)
}

// answering answers some requests in the server's place.
type answering struct {
	next   http.RoundTripper
	answer func(*http.Request) *http.Response
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if response := a.answer(r); response != nil {
		response.Request = r
		return response, nil
	}
	return a.next.RoundTrip(r)
}

func status(code int, body string, header http.Header) *http.Response {
	return &http.Response{
		StatusCode: code, Status: fmt.Sprint(code), ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func TestPushbackOfTheServerIsHeeded(t *testing.T) {
	g := on(t)
	config := rest.CopyConfig(g.env.Config)
	var mu sync.Mutex
	refused := 0
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return answering{next, func(r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			if r.Method != "PATCH" || refused >= 3 {
				return nil
			}
			refused++
			return status(429, "too many requests", http.Header{"Retry-After": {"1"}})
		}}
	})
	var throttles []Throttle
	c, err := New(config, Options{Fleet: g.env.Prefix, Concurrency: 8, Listener: Listener{Throttled: func(told Throttle) {
		mu.Lock()
		throttles = append(throttles, told)
		mu.Unlock()
	}}})
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Sync(t.Context(), g.target("web", configMaps("a", "b", "c", "d")))
	if err != nil || result.Changes.Count(change.Created) != 4 {
		t.Errorf("%v:\n%s", err, result.Changes)
	}
	if len(throttles) == 0 || throttles[0].Limit != 4 || throttles[0].Wait != time.Second {
		t.Errorf("throttles %+v", throttles)
	}
}

func TestHangingObjectDelaysNoOther(t *testing.T) {
	g := on(t)
	config := rest.CopyConfig(g.env.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return answering{next, func(r *http.Request) *http.Response {
			if r.Method == "PATCH" && strings.Contains(r.URL.Path, "/b") {
				<-r.Context().Done()
				return status(504, "the request context ended", nil)
			}
			return nil
		}}
	})
	c, err := New(config, Options{Fleet: g.env.Prefix, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Sync(t.Context(), g.target("web", configMaps("a", "b", "c")))
	if err != nil {
		t.Fatal(err)
	}
	g.want("created ConfigMap a; created ConfigMap c; failed ConfigMap b", "one hangs", result.Changes)
	if reason := entryOf(result.Changes, "ConfigMap", "b").Reason; reason != cluster.ErrTimeout.Error() {
		t.Errorf("reason %q", reason)
	}
}

func TestDiscoveryThatPartlyFailsKeepsTheRest(t *testing.T) {
	g := on(t)
	config := rest.CopyConfig(g.env.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return answering{next, func(r *http.Request) *http.Response {
			if r.URL.Path == "/apis" { // as servers answer that do not aggregate
				return status(200, `{"kind":"APIGroupList","apiVersion":"v1","groups":[
					{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}},
					{"name":"down.example.org","versions":[{"groupVersion":"down.example.org/v1","version":"v1"}],"preferredVersion":{"groupVersion":"down.example.org/v1","version":"v1"}}]}`,
					http.Header{"Content-Type": {"application/json"}})
			}
			if strings.HasPrefix(r.URL.Path, "/apis/down.example.org") {
				return status(503, "the server is down", nil)
			}
			return nil
		}}
	})
	c, err := New(config, Options{Fleet: g.env.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Sync(t.Context(), g.target("web", web+`
---
apiVersion: down.example.org/v1
kind: Lost
metadata: {name: l, namespace: NS}
`))
	if err != nil {
		t.Fatal(err)
	}
	g.want("created ConfigMap settings; created Deployment web; created Service web; failed Lost l", "one group is down", result.Changes)
	if reason := entryOf(result.Changes, "Lost", "l").Reason; !strings.Contains(reason, `asking for its group "down.example.org"`) {
		t.Errorf("reason %q", reason)
	}
}
