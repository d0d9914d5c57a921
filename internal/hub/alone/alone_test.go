package alone

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// cluster is a real one on which nothing is kept.
func cluster(t *testing.T) (*rest.Config, kubernetes.Interface) {
	t.Helper()
	config := testenv.New(t).Config
	client := kubernetes.NewForConfigOrDie(config)
	client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: spoke.Namespace}}, metav1.CreateOptions{}) // which may be there
	if err := client.CoreV1().Secrets(spoke.Namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	return config, client
}

func home(t *testing.T, name string, config *rest.Config) *Home {
	t.Helper()
	h, err := New(Cluster{Name: name, Config: config}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// assigned is an assignment of one app, with a text in its object.
func assigned(t *testing.T, namespace, text string) *spoke.Assigned {
	t.Helper()
	bundle, err := app.NewBundle([]*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "web", "namespace": namespace}, "data": map[string]any{"text": text},
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &spoke.Assigned{Assignment: &app.Assignment{Cluster: "one", Fleet: "acme", Apps: []app.Desired{{Name: "web", Bundle: bundle}}}}
}

// TestHome keeps assignments and finds them in another process.
func TestHome(t *testing.T) {
	config, client := cluster(t)
	ctx := t.Context()
	first, second := assigned(t, "default", "1"), assigned(t, "default", "2")
	finds := func(reason string, want *spoke.Assigned, number int64) {
		t.Helper()
		_, have, err := home(t, "one", config).Load(ctx)
		switch {
		case err != nil:
			t.Errorf("%s: %v", reason, err)
		case want == nil && have != nil:
			t.Errorf("%s: there is an assignment", reason)
		case want != nil && (have == nil || have.Digest() != want.Digest() || have.Number != number):
			t.Errorf("%s: there is %+v, want number %d", reason, have, number)
		}
	}
	finds("nothing is kept", nil, 0)
	one, other := home(t, "one", config), home(t, "one", config)
	for _, h := range []*Home{one, other} { // both know that nothing is kept
		if _, _, err := h.Load(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.keep(ctx, first, 3, protocol.Checks{}); err != nil {
		t.Fatal(err)
	}
	finds("what was kept", first, 3)
	if err := other.keep(ctx, second, 4, protocol.Checks{}); err != nil {
		t.Errorf("another process holds the lease now, and cannot keep: %v", err)
	}
	finds("what the other kept after it", second, 4)
	if _, have, err := home(t, "two", config).Load(ctx); err == nil || have != nil || !strings.Contains(err.Error(), `was given to the cluster "one"`) {
		t.Errorf("a process of another cluster finds %v, %v", have, err)
	}
	secrets := client.CoreV1().Secrets(spoke.Namespace)
	index, err := secrets.Get(ctx, "nave-kept", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for key := range index.Data {
		index.Data[key] = []byte("damaged")
	}
	if _, err := secrets.Update(ctx, index, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	finds("it is damaged", nil, 0)
	damaged := home(t, "one", config)
	if _, _, err := damaged.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if err := damaged.keep(ctx, first, 5, protocol.Checks{}); err != nil {
		t.Error(err)
	}
	finds("it is kept anew", first, 5)
}

// trips answers in place of a cluster.
type trips func(*http.Request) (*http.Response, error)

func (f trips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestLoadWaits asks a cluster that does not answer again, less and less often, and
// gives up when it is told to.
func TestLoadWaits(t *testing.T) {
	for _, test := range []struct {
		reason string
		fails  func(*http.Request) error // each time but the last
		times  int
		least  time.Duration
		most   time.Duration
	}{
		{"it cannot be reached", func(*http.Request) error { return errors.New("no route") }, 7, (1 + 2 + 4 + 8 + 16 + 30 + 30) * time.Second, 92 * time.Second},
		{"it does not answer", func(r *http.Request) error { <-r.Context().Done(); return r.Context().Err() }, 2, 2*timeout + 3*time.Second, 2*timeout + 4*time.Second},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				times := 0
				h := home(t, "one", &rest.Config{Host: "http://cluster", QPS: -1, Transport: trips(func(r *http.Request) (*http.Response, error) {
					if times++; times <= test.times {
						return nil, test.fails(r)
					}
					return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
						Body: io.NopCloser(bytes.NewBufferString(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`))}, nil
				})})
				began := time.Now()
				if _, have, err := h.Load(t.Context()); have != nil || err != nil {
					t.Errorf("it has %v, %v", have, err)
				}
				if took := time.Since(began); took < test.least || took > test.most {
					t.Errorf("it took %s, want %s", took, test.least)
				}
			})
		})
	}
	t.Run("it is told to stop", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := home(t, "one", &rest.Config{Host: "http://cluster", QPS: -1, Transport: trips(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") })})
			why := errors.New("it is told to stop")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Second, why)
			defer cancel()
			if _, _, err := h.Load(ctx); !errors.Is(err, why) {
				t.Error(err)
			}
		})
	})
}

// TestKeptBeforeAccepted has a cluster that cannot keep an assignment not be given
// it, until it can.
func TestKeptBeforeAccepted(t *testing.T) {
	config, client := cluster(t)
	namespace := testenv.New(t).Namespace(t)
	var fails atomic.Bool
	var tried atomic.Int64
	fails.Store(true)
	guarded := rest.CopyConfig(config)
	guarded.Wrap(func(to http.RoundTripper) http.RoundTripper {
		return trips(func(r *http.Request) (*http.Response, error) {
			if fails.Load() && r.Method != http.MethodGet {
				tried.Add(1)
				return nil, errors.New("the disk of the cluster is full")
			}
			return to.RoundTrip(r)
		})
	})
	h := home(t, "one", guarded)
	checker, err := spoke.NewChecker(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var k *Keeper
	made := make(chan struct{})
	s := spoke.New(spoke.Options{Cluster: "one", Fleet: namespace, Config: config, Health: checker, Writer: h.Writer, Listener: spoke.Listener{
		Changed: func(string) { <-made; k.Wake() },
	}})
	k = h.Keeper(s, nil, protocol.Checks{})
	close(made)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.Run(ctx)
	}()
	defer func() { cancel(); <-ended }()
	wanted := assigned(t, namespace, "1")
	wanted.Fleet = namespace
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !is(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %+v", what, k.State())
			}
		}
	}
	there := func() bool {
		_, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "web", metav1.GetOptions{})
		return err == nil
	}
	k.Assign(wanted)
	until("the cluster is not asked to keep it again", func() bool { return tried.Load() >= 2 })
	if there() || k.State().Sync == spoke.Synced {
		t.Errorf("it was applied before the cluster kept it; the cluster is %s", k.State().Sync)
	}
	fails.Store(false)
	until("it is not applied", func() bool { return there() && k.State().Sync == spoke.Synced })
	if _, have, err := home(t, "one", config).Load(t.Context()); err != nil || have == nil || have.Digest() != wanted.Digest() {
		t.Errorf("the cluster keeps %v, %v", have, err)
	}
}
