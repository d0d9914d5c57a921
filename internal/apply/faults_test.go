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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// TestAdmissionThatRefuses has a webhook that is down refuse ConfigMaps. They fail
// alone, a refused deletion deletes nothing, and both are done once it is gone.
func TestAdmissionThatRefuses(t *testing.T) {
	g := on(t)
	target := g.target("web", configMaps("old"))
	g.sync(target)
	g.onEnd("ValidatingWebhookConfiguration", "PREFIX-down")
	g.create("kubectl", `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: PREFIX-down}
webhooks:
- name: down.example.org
  clientConfig: {url: "https://127.0.0.1:1/"}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: ["*"]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}
  failurePolicy: Fail
  timeoutSeconds: 1
  sideEffects: None
  admissionReviewVersions: [v1]
`)
	g.eventually("the webhook counts", func() string {
		probe := g.objects(configMaps("probe"))[0]
		if _, err := g.at("ConfigMap").Create(t.Context(), probe, metav1.CreateOptions{DryRun: []string{"All"}}); err == nil || apierrors.IsAlreadyExists(err) {
			return "a ConfigMap is let through"
		}
		return ""
	})
	next := g.with(target, configMaps("a")+serviceWeb)
	result := g.sync(next)
	g.want("created Service web; failed ConfigMap a; skipped ConfigMap old", "the ConfigMap is refused", result.Changes)
	if reason := entryOf(result.Changes, "ConfigMap", "a").Reason; !strings.Contains(reason, `failed calling webhook "down.example.org"`) {
		t.Errorf("reason %q", reason)
	}
	result = g.sync(g.with(target, serviceWeb))
	g.want("failed ConfigMap old; unchanged Service web", "the deletion is refused", result.Changes)
	if g.live("ConfigMap", "old") == nil {
		t.Error("it is gone all the same")
	}
	g.delete("ValidatingWebhookConfiguration", "PREFIX-down")
	g.eventually("all is done", func() string {
		got := summary(g.sync(next).Changes)
		if g.live("ConfigMap", "a") != nil && g.live("ConfigMap", "old") == nil {
			return ""
		}
		return got
	})
}

const serviceWeb = `
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec: {selector: {app: web}, ports: [{port: 80}]}
`

// TestObjectsTooLarge has objects that the API server, and its database, do not
// take. They fail alone, and say why.
func TestObjectsTooLarge(t *testing.T) {
	g := on(t)
	result := g.sync(g.target("web", configMaps("a")+fmt.Sprintf(`
---
apiVersion: v1
kind: ConfigMap
metadata: {name: validated, namespace: NS}
data: {k: %s}
---
%s
---
%s
---
%s
`, strings.Repeat("x", 1<<20+1), deploymentOf("stored", 7<<18), deploymentOf("passed-on", 2<<20), deploymentOf("sent", 4<<20))))
	g.want("created ConfigMap a; failed ConfigMap validated; failed Deployment passed-on; failed Deployment sent; failed Deployment stored",
		"four are too large", result.Changes)
	for _, c := range []struct{ kind, name, want string }{
		{"ConfigMap", "validated", "Too long"},
		{"Deployment", "stored", "larger than the cluster's database takes"},
		{"Deployment", "passed-on", "larger than the cluster's database takes"},
		{"Deployment", "sent", "too large"},
	} {
		if reason := entryOf(result.Changes, c.kind, c.name).Reason; !strings.Contains(reason, c.want) || len(reason) > 2000 {
			t.Errorf("%s: reason %.300q", c.name, reason)
		}
	}
}

func deploymentOf(name string, size int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: NS}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: web, image: x, args: [%[2]s]}]}
`, name, strings.Repeat("x", size))
}
