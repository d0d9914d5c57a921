package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/hub/alone"
	"nave.dev/internal/hub/socket"
	"nave.dev/internal/spoke"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// world is a fleet repository, a real API server as the cluster "one", and a hub
// that comes and goes.
type world struct {
	*testing.T
	repository, dir, kubeconfigs, namespace string
	env                                     *testenv.Env
	person                                  kubernetes.Interface
	ahead                                   atomic.Int64 // how far the hub's clock is
	log                                     bytes.Buffer // while no hub runs
	alone                                   *alone.Cluster
	stop                                    func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	env := testenv.New(t)
	person, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{ // of the test before
		person.CoreV1().Secrets(spoke.Namespace).Delete(t.Context(), "nave-record", metav1.DeleteOptions{}),
		person.CoordinationV1().Leases(spoke.Namespace).Delete(t.Context(), "nave-writer", metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "hub") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{T: t, repository: t.TempDir(), dir: dir, kubeconfigs: t.TempDir(), namespace: env.Namespace(t), env: env, person: person}
	// The fleet and its apps have the same names in every test: what one leaves, the next would prune.
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := person.CoreV1().ConfigMaps(w.namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	})
	w.git("init", "--quiet", "--initial-branch=main")
	return w
}

// git runs git in the repository without the settings of whoever runs the tests.
func (w *world) git(args ...string) string {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = w.repository
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Tess", "GIT_AUTHOR_EMAIL=tess@example.com", "GIT_COMMITTER_NAME=Tess", "GIT_COMMITTER_EMAIL=tess@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit changes files, of which those without content go, and returns the commit.
func (w *world) commit(files map[string]string) string {
	w.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(w.repository, name)
		if files[name] == "" {
			if err := os.Remove(path); err != nil {
				w.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	w.git("add", "--all")
	w.git("commit", "--quiet", "--allow-empty", "-m", "change")
	return w.git("rev-parse", "HEAD")
}

// fleet is a fleet of the cluster "one" with the apps a and b, of a ConfigMap each.
func (w *world) fleet() map[string]string {
	files := map[string]string{
		"fleet.yaml":        "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\n",
		"clusters/one.yaml": "apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata: {name: one}\n",
	}
	for _, app := range []string{"a", "b"} {
		files["deliveries/"+app+".yaml"] = fmt.Sprintf(
			"apiVersion: nave.dev/v1alpha1\nkind: Delivery\nmetadata: {name: %s}\nspec:\n  clusters: {all: true}\n  namespace: %s\n  source: {path: %s}\n", app, w.namespace, app)
		files[app+"/map.yaml"] = configMap(app, "1")
	}
	return files
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {key: %q}\n", name, value)
}

// kubeconfig makes the content of a file the way to the cluster "one".
func (w *world) kubeconfig(content string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.kubeconfigs, "one.kubeconfig"), []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}

// right is the content that leads there.
func (w *world) right() string {
	w.Helper()
	data, err := os.ReadFile(w.env.Kubeconfig)
	if err != nil {
		w.Fatal(err)
	}
	return string(data)
}

// start starts a hub, which ends with stop or the test.
func (w *world) start() {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{
			Dir: w.dir, Repository: desired.Repository{URL: "file://" + w.repository}, Kubeconfigs: w.kubeconfigs, Alone: w.alone,
			Interval: time.Hour, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
			Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
		})
	}()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
		if w.Failed() {
			w.Logf("hub:\n%s", w.log.String())
		}
	}
	w.Cleanup(w.stop)
	w.until("the hub answers", func() bool { return w.try(http.MethodGet, "fleet", nil, &Fleet{}) == nil })
}

// try asks the hub as the command line does.
func (w *world) try(method, path string, in, out any) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket.Path(w.dir))
	}}}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(w.Context(), method, "http://hub/api/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return json.NewDecoder(response.Body).Decode(out)
}

func (w *world) ask(method, path string, in, out any) {
	w.Helper()
	if err := w.try(method, path, in, out); err != nil {
		w.Fatalf("%s: %v", path, err)
	}
}

func (w *world) state() Fleet {
	w.Helper()
	var fleet Fleet
	w.ask(http.MethodGet, "fleet", nil, &fleet)
	return fleet
}

// refresh has the hub look at Git.
func (w *world) refresh() {
	w.Helper()
	w.ask(http.MethodPost, "refresh", nil, &struct{}{})
}

// until waits for a condition.
func (w *world) until(what string, condition func() bool) {
	w.Helper()
	err := wait.PollUntilContextTimeout(w.Context(), 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		var fleet Fleet
		w.try(http.MethodGet, "fleet", nil, &fleet)
		data, _ := json.Marshal(fleet)
		w.Fatalf("waiting until %s: %v\n%s", what, err, data)
	}
}

// synced waits until the fleet is Synced at a commit.
func (w *world) synced(commit string) {
	w.Helper()
	w.until("the fleet is Synced", func() bool {
		fleet := w.state()
		return fleet.Revision.Commit == commit && len(fleet.Clusters) == 1 && fleet.Sync == spoke.Synced
	})
}

// object returns the value and the resource version of a ConfigMap; both are
// empty if there is none.
func (w *world) object(name string) (value, version string) {
	w.Helper()
	found, err := w.person.CoreV1().ConfigMaps(w.namespace).Get(w.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", ""
	}
	if err != nil {
		w.Fatal(err)
	}
	return found.Data["key"], found.ResourceVersion
}

func (w *world) delete(name string) {
	w.Helper()
	if err := w.person.CoreV1().ConfigMaps(w.namespace).Delete(w.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.Fatal(err)
	}
}

func TestRestartAppliesNothing(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	commit := w.commit(w.fleet())
	w.start()
	w.synced(commit)
	_, before := w.object("a")
	w.stop()
	w.start()
	w.synced(commit)
	if _, after := w.object("a"); after != before {
		t.Errorf("a was written: version %s, then %s", before, after)
	}
	var events Events
	w.ask(http.MethodGet, "events", nil, &events)
	for _, event := range events.Events {
		if event.Kind == spoke.EventApplied {
			t.Errorf("the second hub applied: %+v", event)
		}
	}
	if len(events.Events) == 0 {
		t.Error("there are no events at all")
	}
}

// TestNothingNewIsNotCompiled has a hub look at Git again and again: once a compilation
// changed nothing there is none until there is something new, in Git or on the cluster.
func TestNothingNewIsNotCompiled(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	commit := w.commit(w.fleet())
	w.start()
	w.synced(commit)
	look := func() (compiled time.Time) {
		for range 2 { // when the second one has begun the first one is over
			before := w.state().Sources[0].LastAttempt
			w.refresh()
			w.until("the hub has looked", func() bool { return w.state().Sources[0].LastAttempt.After(before) })
		}
		return w.state().Revision.Compiled
	}
	still := func(what string) {
		t.Helper()
		w.until(what, func() bool { return look().Equal(look()) })
	}
	still("what settled is written down, and that is all")
	first := look()
	for range 3 {
		if again := look(); !again.Equal(first) {
			t.Errorf("compiled at %s, and at %s with nothing new", first, again)
		}
	}
	commit = w.commit(map[string]string{"a/map.yaml": configMap("a", "2")})
	w.refresh()
	w.synced(commit)
	still("the commit has settled")
	w.ask(http.MethodPost, "pause", Action{Cluster: "one", App: "a", For: time.Hour, Actor: "tess", Reason: "test"}, &Outcome{})
	w.delete("a")
	w.until("a is missing", func() bool { return w.state().Sync == spoke.OutOfSync })
	before := w.state().Revision.Compiled
	if again := look(); again.Equal(before) {
		t.Error("an app that is not Synced any more makes no difference")
	}
	w.commit(map[string]string{"deliveries/b.yaml": "apiVersion: nave.dev/v1alpha1\nkind: Delivery\nmetadata: {name: b}\nspec: {what: 1}\n"})
	one := look()
	if two := look(); two.Equal(one) {
		t.Error("what is in error is not tried again")
	}
}

func TestAppInErrorKeepsWhatWasGivenOverARestart(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	files := w.fleet()
	files["b/more.yaml"] = configMap("more", "1")
	w.commit(files)
	w.start()
	w.synced(w.git("rev-parse", "HEAD"))
	w.commit(map[string]string{"a/map.yaml": "kind: ["})
	w.refresh()
	w.until("the error shows", func() bool { return len(w.state().Revision.Problems) == 1 })
	w.stop()
	w.delete("a")
	w.commit(map[string]string{"b/map.yaml": configMap("b", "2"), "b/more.yaml": ""})
	w.start()
	w.until("the app in error is repaired", func() bool { value, _ := w.object("a"); return value == "1" })
	w.until("the other one goes on", func() bool { value, _ := w.object("b"); return value == "2" })
	w.until("and prunes", func() bool { value, _ := w.object("more"); return value == "" })
	for _, app := range w.state().Clusters[0].Apps {
		if app.Name == "a" && (app.Sync != spoke.Unknown || app.Objects != 1) {
			t.Errorf("the app in error: %+v", app)
		}
	}
}

// A directory that is lost costs prunes that wait, and nothing that is deleted.
func TestLostLedgerHoldsPrunes(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	files := w.fleet()
	files["a/more.yaml"] = configMap("more", "1")
	w.commit(files)
	w.start()
	w.synced(w.git("rev-parse", "HEAD"))
	w.stop()
	if err := os.RemoveAll(filepath.Join(w.dir, "ledger")); err != nil {
		t.Fatal(err)
	}
	commit := w.commit(map[string]string{"a/more.yaml": ""})
	w.start()
	var held *spoke.Held
	w.until("the prune is held", func() bool {
		for _, c := range w.state().Clusters {
			for _, app := range c.Apps {
				held = app.Held
				if held != nil {
					return true
				}
			}
		}
		return false
	})
	if !strings.Contains(held.Reason, "not known what the cluster was given") {
		t.Errorf("the reason is %q", held.Reason)
	}
	w.stop()
	w.start()
	w.until("the next hub holds it too", func() bool {
		fleet := w.state()
		return len(fleet.Clusters) == 1 && slices.ContainsFunc(fleet.Clusters[0].Apps, func(app spoke.AppState) bool { return app.Held != nil })
	})
	if value, _ := w.object("more"); value == "" {
		t.Fatal("it was deleted unasked")
	}
	w.ask(http.MethodPost, "confirm", Action{Digest: held.Digest, Actor: "test", Reason: "the test says so"}, &Outcome{})
	w.synced(commit)
	if value, _ := w.object("more"); value != "" {
		t.Error("it was confirmed and is still there")
	}
	// In order again: what is small goes by itself.
	w.commit(map[string]string{"a/more.yaml": configMap("more", "2")})
	w.refresh()
	w.until("it is back", func() bool { value, _ := w.object("more"); return value == "2" })
	commit = w.commit(map[string]string{"a/more.yaml": ""})
	w.refresh()
	w.synced(commit)
	if value, _ := w.object("more"); value != "" {
		t.Error("it is still there")
	}
}

func TestKubeconfigThatChanges(t *testing.T) {
	w := newWorld(t)
	commit := w.commit(w.fleet())
	w.start()
	problem := func(text string) {
		t.Helper()
		w.until("the cluster says "+text, func() bool {
			fleet := w.state()
			return len(fleet.Clusters) == 1 && strings.Contains(fleet.Clusters[0].Error, text)
		})
	}
	problem("no kubeconfig")
	for text, content := range map[string]string{"reading": "kind: [", "refused": strings.ReplaceAll(w.right(), w.env.Config.Host, "https://127.0.0.1:1")} {
		w.kubeconfig(content)
		w.refresh()
		problem(text)
	}
	w.kubeconfig(w.right())
	w.refresh()
	w.synced(commit)
	if value, _ := w.object("a"); value != "1" {
		t.Errorf("a = %q", value)
	}
}

func TestClusterThatExpires(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	files := w.fleet()
	files["clusters/one.yaml"] += fmt.Sprintf("spec: {expires: %q}\n", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	commit := w.commit(files)
	w.start()
	w.synced(commit)
	w.ahead.Store(int64(2 * time.Hour))
	w.refresh()
	w.until("it is expired", func() bool {
		c := w.state().Clusters[0]
		return strings.Contains(c.Error, "expired at") && len(c.Apps) == 0
	})
	w.commit(map[string]string{"a/map.yaml": configMap("a", "2")})
	w.refresh()
	head := w.git("rev-parse", "HEAD")
	w.until("the next commit is in force", func() bool { return w.state().Revision.Commit == head })
	if value, _ := w.object("a"); value != "1" {
		t.Errorf("a = %q: an expired cluster was written to", value)
	}
}

func TestClusterThatLeaves(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	w.commit(w.fleet())
	w.start()
	w.synced(w.git("rev-parse", "HEAD"))
	given := filepath.Join(w.dir, "ledger", "*", "*", "*")
	w.until("it is remembered", func() bool { files, err := filepath.Glob(given); return len(files) == 3 && err == nil })
	document := w.fleet()["clusters/one.yaml"]
	w.commit(map[string]string{"clusters/one.yaml": "", "a/map.yaml": configMap("a", "2")})
	w.refresh()
	w.until("it has left", func() bool { return len(w.state().Clusters) == 0 })
	if value, _ := w.object("a"); value != "1" {
		t.Errorf("a = %q, want it to stay as it was", value)
	}
	if files, err := filepath.Glob(given); len(files) != 0 || err != nil {
		t.Errorf("the hub remembers %v, %v", files, err)
	}
	commit := w.commit(map[string]string{"clusters/one.yaml": document})
	w.refresh()
	w.synced(commit)
	if value, _ := w.object("a"); value != "2" {
		t.Errorf("a = %q after it came back", value)
	}
}

// A source that never answers delays nothing that does not need it.
func TestSourceThatHangs(t *testing.T) {
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	w := newWorld(t)
	w.kubeconfig(w.right())
	files := w.fleet()
	files["fleet.yaml"] += "spec:\n  sources:\n  - {name: team, url: 'https://" + hanging.Addr().String() + "/team.git', deliveries: [b], revision: {branch: main}}\n"
	files["deliveries/b.yaml"] = strings.Replace(files["deliveries/b.yaml"], "source: {path: b}", "source: {name: team, path: b}\n  limits: {namespaces: ["+w.namespace+"]}", 1)
	w.commit(files)
	began := time.Now()
	w.start()
	w.until("the app of the fleet repository is there", func() bool { value, _ := w.object("a"); return value == "1" })
	w.commit(map[string]string{"a/map.yaml": configMap("a", "2")})
	w.refresh()
	w.until("a commit is in force", func() bool { value, _ := w.object("a"); return value == "2" })
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if next := w.state().NextFetch; !next.After(time.Now()) {
		t.Errorf("it is tried again at %v", next)
	}
	if problems := w.state().Revision.Problems; len(problems) != 1 || !strings.Contains(problems[0], "has not been fetched yet") {
		t.Errorf("problems are %v", problems)
	}
}

// TestWhatCannotBeKeptIsNotGiven has a commit bring an object, and the next one
// take it away again, while the hub's disk takes nothing.
func TestWhatCannotBeKeptIsNotGiven(t *testing.T) {
	w := newWorld(t)
	w.kubeconfig(w.right())
	w.commit(w.fleet())
	w.start()
	w.synced(w.git("rev-parse", "HEAD"))
	clusters := filepath.Join(w.dir, "ledger", "ledger-1", "clusters")
	if err := os.Rename(clusters, clusters+".away"); err != nil {
		t.Fatal(err)
	}
	commit := w.commit(map[string]string{"a/more.yaml": configMap("more", "1")})
	w.refresh()
	w.until("it says why", func() bool {
		fleet := w.state()
		return fleet.Revision.Commit == commit && fleet.Sync == spoke.OutOfSync && strings.Contains(fleet.Clusters[0].Error, "is given")
	})
	w.delete("a")
	w.until("drift is corrected", func() bool { value, _ := w.object("a"); return value == "1" })
	if value, _ := w.object("more"); value != "" {
		t.Error("an object is there that nobody will remember")
	}
	if err := os.Rename(clusters+".away", clusters); err != nil {
		t.Fatal(err)
	}
	w.refresh()
	w.synced(commit)
	if value, _ := w.object("more"); value != "1" {
		t.Error("the disk takes it, and it is not given")
	}
}

// A cluster that never was given anything is given what is rendered before all is;
// any other one waits for the whole.
func TestEarly(t *testing.T) {
	given, _, err := ledger.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &Hub{ledger: given, lost: map[string]bool{}, opts: Options{Log: slog.New(slog.DiscardHandler)}}
	newMember := func() *member { return &member{spoke: local{spoke.New(spoke.Options{Cluster: "one"})}} }
	pinned, m := &desired.Pinned{}, newMember()
	give := h.early(pinned, "one", m, 0)
	if give == nil {
		t.Fatal("a new cluster waits for the whole")
	}
	bundle, err := app.NewBundle(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	give(&desired.Compiled{Assignment: &app.Assignment{
		Cluster: "one", Fleet: "acme", Apps: []app.Desired{{Name: "a", Bundle: bundle}}, Incomplete: app.ErrRendering,
	}})
	if m.given == nil || len(m.given.Apps) != 1 || !errors.Is(m.given.Incomplete, app.ErrRendering) {
		t.Errorf("the cluster is given %+v", m.given)
	}
	if entry, _ := given.Entry("one"); entry.Apps["a"].Bundle != bundle.Digest {
		t.Errorf("what is kept of it is %+v", entry)
	}
	if h.early(pinned, "one", m, 0) != nil {
		t.Error("a cluster that has something does not wait for the whole")
	}
	if h.early(pinned, "one", newMember(), 0) != nil {
		t.Error("after a restart a cluster that has something does not wait for the whole")
	}
}
