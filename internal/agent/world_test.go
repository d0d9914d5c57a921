package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
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
	"nave.dev/internal/tunnel"
	"nave.dev/internal/tunnel/authority"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// world is a real cluster, a hub that gives it one assignment, and what the agent
// told of it.
type world struct {
	t         *testing.T
	config    *rest.Config
	client    kubernetes.Interface
	namespace string
	key       *authority.Authority
	address   string // of the hub

	mu      sync.Mutex
	given   protocol.Assignment
	bundles map[string][]byte
	served  int // bytes of bundles that the hub wrote
	link    *tunnel.Link
	links   []*tunnel.Link // in turn
	second  int            // times that two processes were there
	mirror  protocol.Mirror
	reports int
	events  []spoke.Event
	refused []string // why the agent did not take the assignment
}

// newWorld starts a hub of a fleet of its own. On the cluster nothing is kept.
func newWorld(t *testing.T, limits tunnel.Limits) *world {
	t.Helper()
	env := testenv.New(t)
	w := &world{t: t, config: env.Config, client: kubernetes.NewForConfigOrDie(env.Config), namespace: env.Namespace(t), bundles: map[string][]byte{}}
	w.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: spoke.Namespace}}, metav1.CreateOptions{}) // which may be there
	if err := w.client.CoreV1().Secrets(spoke.Namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.client.CoordinationV1().Leases(spoke.Namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := authority.Init(dir, w.namespace, time.Now()); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.key, err = authority.Open(dir); err != nil {
		t.Fatal(err)
	}
	server, err := tunnel.NewServer(tunnel.ServerOptions{
		Authority: w.key, Handler: w.handler(), Linked: w.linked, Limits: limits,
		Accepts: func(tunnel.Identity) error { return nil },
		Used:    func(context.Context, authority.Claims, string) error { return nil },
		Second: func(_ context.Context, older, _ *tunnel.Link) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.second++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

// gives has the hub give apps of one ConfigMap each, with so many bytes that do not
// compress to less than four fifths.
func (w *world) gives(number int64, sizes map[string]int) {
	w.t.Helper()
	given := protocol.Assignment{Cluster: "one", Fleet: w.namespace, Number: number, Key: fmt.Sprint("key ", number), Apps: []protocol.App{}}
	bundles := map[string][]byte{}
	for name, size := range sizes {
		random := rand.New(rand.NewPCG(uint64(size), uint64(number)))
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(' ' + 1 + random.IntN(90))
		}
		bundle, err := app.NewBundle([]*unstructured.Unstructured{{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": w.namespace}, "data": map[string]any{"text": string(text)},
		}}}, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if bundles[bundle.Digest], err = protocol.EncodeBundle(bundle); err != nil {
			w.t.Fatal(err)
		}
		given.Apps = append(given.Apps, protocol.App{Name: name, Bundle: bundle.Digest})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given, w.bundles, w.served = given, bundles, 0
}

// bytes is how many all bundles have as they are sent.
func (w *world) bytes() (all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, data := range w.bundles {
		all += len(data)
	}
	return all
}

// linked gives what is to be given while an agent is connected.
func (w *world) linked(ctx context.Context, link *tunnel.Link) {
	w.mu.Lock()
	w.link, w.links = link, append(w.links, link)
	w.mirror.Restart()
	w.mu.Unlock()
	for wait := time.Duration(0); ; wait = 50 * time.Millisecond {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		given, begun := w.given, w.mirror.Begun()
		w.mu.Unlock()
		if !begun {
			continue
		}
		if said := w.put(ctx, link, given); said == "" {
			break
		} else if ctx.Err() == nil {
			w.mu.Lock()
			w.refused = append(w.refused, said)
			w.mu.Unlock()
		}
	}
	<-ctx.Done()
}

// put gives the agent an assignment, and returns why it did not take it.
func (w *world) put(ctx context.Context, link *tunnel.Link, given protocol.Assignment) string {
	body, err := protocol.Compressed(given)
	if err != nil {
		return err.Error()
	}
	return w.call(ctx, link, http.MethodPut, protocol.AssignmentPath, string(body), nil)
}

// call asks the agent, and returns what it says where it does not do it.
func (w *world) call(ctx context.Context, link *tunnel.Link, method, path, body string, into any) string {
	request, err := http.NewRequestWithContext(ctx, method, tunnel.AgentURL+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	response, err := link.Client().Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err.Error()
	case response.StatusCode != http.StatusOK:
		return fmt.Sprintf("%d %s", response.StatusCode, text)
	case into != nil:
		if err := json.Unmarshal(text, into); err != nil {
			return err.Error()
		}
	}
	return ""
}

// handler serves the agent's calls.
func (w *world) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+protocol.ReportPath, func(rw http.ResponseWriter, r *http.Request) {
		var report protocol.Report
		if err := protocol.Read(r.Body, &report); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		taken := w.link != nil && w.link.Carries(r.Context()) && w.mirror.Take(report)
		if taken {
			w.reports++
			w.events = append(w.events, w.mirror.News(w.link.Hello().Instance, report)...)
		}
		json.NewEncoder(rw).Encode(protocol.Taken{Whole: !taken})
	})
	mux.HandleFunc("GET "+protocol.BundlePath+"{digest}", func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		data := w.bundles[r.PathValue("digest")]
		w.mu.Unlock()
		if data == nil {
			http.Error(rw, "no such bundle", http.StatusForbidden)
			return
		}
		http.ServeContent(counted{rw, w}, r, "", time.Time{}, bytes.NewReader(data))
	})
	return mux
}

// counted counts the bytes of bundles.
type counted struct {
	http.ResponseWriter
	world *world
}

func (c counted) Write(data []byte) (int, error) {
	n, err := c.ResponseWriter.Write(data)
	c.world.mu.Lock()
	c.world.served += n
	c.world.mu.Unlock()
	return n, err
}

// start runs the agent until the test ends, which reaches its hub at an address.
func (w *world) start(address string, change func(*Options)) {
	w.t.Helper()
	token, _, err := w.key.Token("one", 1, 0, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	opts := Options{
		Cluster: "one", Hub: address, Token: func() (string, error) { return token, nil }, Roots: w.key.Roots(), Config: w.config,
		Log: slog.New(slog.NewTextHandler(testLog{w.t}, nil)), Product: "v0-test",
	}
	if change != nil {
		change(&opts)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, opts) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the agent ended: %v", err)
		}
	})
}

// testLog is shown where a test fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(text []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(text))
	return len(text), nil
}

// until waits for a condition, which may use the world.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		w.mu.Lock()
		done := is()
		w.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%s: not within %s; it was told %q", what, patience, w.refused)
		}
	}
}

// synced waits until the agent has told that what was given is on the cluster.
func (w *world) synced() {
	w.t.Helper()
	w.until("the cluster holds what it was given", func() bool {
		if w.mirror.Shows != w.given.Key || w.mirror.State().Sync != spoke.Synced {
			return false
		}
		return len(w.mirror.State().Apps) == len(w.given.Apps)
	})
}

// applied is how often a sync of each app changed objects, as the agent told.
func (w *world) applied() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	times := map[string]int{}
	for _, e := range w.events {
		if e.Kind == spoke.EventApplied {
			times[e.App]++
		}
	}
	return times
}
