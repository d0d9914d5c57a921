package spoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/fight"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/spoke/releases"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// ground is a cluster without a record, and a person with a client of it.
type ground struct {
	*testing.T
	env       *testenv.Env
	namespace string
	person    kubernetes.Interface
	checker   Checker
	renderer  releases.Renderer
	ahead     atomic.Int64 // how far the spokes' clock is
}

func on(t *testing.T) *ground {
	t.Helper()
	env := testenv.New(t)
	checker, err := NewChecker(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	person, err := kubernetes.NewForConfig(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	g := &ground{T: t, env: env, namespace: env.Namespace(t), person: person, checker: checker}
	t.Cleanup(g.clear) // once its spokes have ended
	for _, err := range []error{
		person.CoreV1().Secrets(record.Namespace).Delete(t.Context(), record.Name, metav1.DeleteOptions{}),
		person.CoordinationV1().Leases(record.Namespace).Delete(t.Context(), record.LeaseName, metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	return g
}

// clear deletes what the test left: there is nobody who deletes namespaces, and the
// next test's apps may have the same names.
func (g *ground) clear() {
	ctx, all := context.WithoutCancel(g.Context()), metav1.ListOptions{}
	for _, collection := range []interface {
		DeleteCollection(context.Context, metav1.DeleteOptions, metav1.ListOptions) error
	}{
		g.person.CoreV1().ConfigMaps(g.namespace), g.person.CoreV1().ServiceAccounts(g.namespace), g.person.CoreV1().Secrets(g.namespace),
		g.person.AppsV1().Deployments(g.namespace), g.person.NetworkingV1().Ingresses(g.namespace),
		g.person.AutoscalingV2().HorizontalPodAutoscalers(g.namespace),
	} {
		if err := collection.DeleteCollection(ctx, metav1.DeleteOptions{}, all); err != nil {
			g.Errorf("removing what the test left: %v", err)
		}
	}
}

// spoke runs a spoke of the fleet "fleet" until stop or the end of the test.
func (g *ground) spoke(writer string) (s *Spoke, stop func()) {
	g.Helper()
	return g.through(writer, &faulty{})
}

// through is spoke with a fault on the way to the cluster.
func (g *ground) through(writer string, fault *faulty) (s *Spoke, stop func()) {
	g.Helper()
	s = New(Options{
		Cluster: "one", Fleet: "fleet", Config: fault.through(g.env.Config), Health: g.checker, Writer: writer, Renderer: g.renderer,
		Now: func() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) },
	})
	ctx, cancel := context.WithCancel(g.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	g.Cleanup(stop)
	return s, stop
}

// configMap is one in the test's namespace.
func (g *ground) configMap(name, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": g.namespace},
		"data":     map[string]any{"key": value},
	}}
}

// desired is an app with objects.
func (g *ground) desired(name string, objects ...*unstructured.Unstructured) app.Desired {
	g.Helper()
	bundle, err := app.NewBundle(objects, nil)
	if err != nil {
		g.Fatal(err)
	}
	return app.Desired{Name: name, Bundle: bundle, Options: app.Options{Prune: true, CorrectDrift: true}}
}

func assigned(apps ...app.Desired) *Assigned {
	return &Assigned{Assignment: &app.Assignment{Cluster: "one", Fleet: "fleet", Apps: apps}}
}

// until waits for a condition.
func (g *ground) until(what string, condition func() bool) {
	g.Helper()
	err := wait.PollUntilContextTimeout(g.Context(), 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		g.Fatalf("waiting until %s: %v", what, err)
	}
}

func (g *ground) synced(s *Spoke) {
	g.Helper()
	defer func() {
		if g.Failed() {
			g.Logf("state: %s", describe(s.State()))
		}
	}()
	g.until("the cluster is Synced", func() bool { state := s.State(); return state.Online && state.Sync == Synced })
}

func describe(state State) string {
	data, err := json.Marshal(state)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// value is that of a ConfigMap on the cluster, or "" if there is none.
func (g *ground) value(name string) string {
	g.Helper()
	found, err := g.person.CoreV1().ConfigMaps(g.namespace).Get(g.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		g.Fatal(err)
	}
	return found.Data["key"]
}

func (g *ground) delete(name string) {
	g.Helper()
	if err := g.person.CoreV1().ConfigMaps(g.namespace).Delete(g.Context(), name, metav1.DeleteOptions{}); err != nil {
		g.Fatal(err)
	}
}

// record is the cluster record as it is on the cluster.
func (g *ground) record() record.Record {
	g.Helper()
	secret, err := g.person.CoreV1().Secrets(record.Namespace).Get(g.Context(), record.Name, metav1.GetOptions{})
	if err != nil {
		g.Fatal(err)
	}
	var r record.Record
	if err := json.Unmarshal(secret.Data[record.Key], &r); err != nil {
		g.Fatal(err)
	}
	return r
}

// edit changes the record as a person would.
func (g *ground) edit(do func(*record.Record)) {
	g.Helper()
	store := record.New(g.person, "fleet", nil)
	if err := store.Load(g.Context()); err != nil {
		g.Fatal(err)
	}
	if err := store.Change(g.Context(), do); err != nil {
		g.Fatal(err)
	}
}

func TestTwoWriters(t *testing.T) {
	g := on(t)
	first, stop := g.spoke("first")
	first.Assign(assigned(g.desired("web", g.configMap("a", "first"))))
	g.synced(first)

	second, _ := g.spoke("second")
	second.Assign(assigned(g.desired("web", g.configMap("a", "second"))))
	g.until("the second says who writes", func() bool {
		state := second.State()
		return state.Online && state.Holder == "first" && len(state.Apps) == 1 &&
			state.Apps[0].Sync == Unknown && strings.Contains(state.Apps[0].Message, "first")
	})
	if second.State().Writer {
		t.Error("both say that they write")
	}
	err := second.Pause(t.Context(), Pause{App: "web", Until: time.Now().Add(time.Hour), Actor: "test"})
	if err == nil || !strings.Contains(err.Error(), "another process writes") {
		t.Errorf("pausing through the second: %v, want that another process writes", err)
	}
	// What the first one records is what the second one finds.
	if err := first.Pause(t.Context(), Pause{App: "web", Until: time.Now().Add(time.Hour), Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	if got := g.value("a"); got != "first" {
		t.Errorf("the second wrote %q beside the first", got)
	}
	stop()
	g.until("the second writes", func() bool { return second.State().Writer })
	g.until("the second keeps the pause", func() bool { return strings.Contains(second.State().Apps[0].Message, "paused") })
	if got := g.value("a"); got != "first" {
		t.Errorf("the second wrote %q in spite of the pause", got)
	}
	if err := second.Pause(t.Context(), Pause{App: "web", Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	g.until("the second takes over", func() bool { return g.value("a") == "second" })
}

func TestOtherFleet(t *testing.T) {
	g := on(t)
	other := record.New(g.person, "other", nil)
	if err := other.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Change(t.Context(), func(*record.Record) {}); err != nil {
		t.Fatal(err)
	}
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.until("it is refused", func() bool { return strings.Contains(s.State().Error, `belongs to fleet "other"`) })
	if g.value("a") != "" || s.State().Online {
		t.Errorf("a cluster of another fleet was written to: %s", describe(s.State()))
	}
	_, err := g.person.CoordinationV1().Leases(record.Namespace).Get(t.Context(), record.LeaseName, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("reading the lease: %v, want none", err)
	}
}

func TestRecordLostAndChanged(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	key := string(g.record().DigestKey)
	if err := g.person.CoreV1().Secrets(record.Namespace).Delete(t.Context(), record.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.ahead.Store(int64(2 * recordCheck))
	g.until("the record is back", func() bool {
		_, err := g.person.CoreV1().Secrets(record.Namespace).Get(t.Context(), record.Name, metav1.GetOptions{})
		return err == nil
	})
	if r := g.record(); string(r.DigestKey) != key || fmt.Sprint(r.Kinds) != "map[web:[ConfigMap]]" || fmt.Sprint(r.Applied) != "[web]" {
		t.Errorf("the record came back as %+v", r)
	}
	g.edit(func(r *record.Record) {
		r.Pauses = append(r.Pauses, Pause{App: "web", Until: time.Now().Add(time.Hour), Actor: "kubectl"})
	})
	account := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "a", "namespace": g.namespace},
	}}
	s.Assign(assigned(g.desired("web", g.configMap("a", "two"), account)))
	g.until("the pause counts", func() bool { return strings.Contains(s.State().Apps[0].Message, "kubectl") })
	if got := g.value("a"); got != "one" {
		t.Errorf("a = %q while paused", got)
	}
	if r := g.record(); fmt.Sprint(r.Kinds) != "map[web:[ConfigMap ServiceAccount]]" {
		t.Errorf("kinds before the first apply: %v", r.Kinds)
	}
	g.ahead.Store(int64(2 * time.Hour)) // the pause ends by the clock
	g.until("the app is written again", func() bool { return g.value("a") == "two" })
	g.synced(s)
	if !s.State().Online || len(g.record().Pauses) != 0 {
		t.Errorf("after the pause: %s", describe(s.State()))
	}
}

func TestPauseShowsDriftAndDoesNotCorrect(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	if err := s.Pause(t.Context(), Pause{App: "web", Until: time.Now().Add(time.Hour), Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	g.delete("a")
	g.until("the drift is shown", func() bool {
		state := s.State()
		return state.Sync == OutOfSync && len(state.Apps[0].Drift) == 1 && state.Apps[0].Drift[0].Object.Name == "a"
	})
	if got := g.value("a"); got != "" {
		t.Errorf("a = %q: it was corrected while paused", got)
	}
	if err := s.Sync(t.Context(), "web"); err == nil {
		t.Error("a paused app was said to be synced")
	}
	g.ahead.Store(int64(2 * time.Hour))
	g.until("the drift is corrected", func() bool { return g.value("a") == "one" })
	g.synced(s)
}

func TestLeavingAndComingBack(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	web, other := g.desired("web", g.configMap("a", "one")), g.desired("other", g.configMap("b", "one"))
	s.Assign(assigned(other, web))
	g.synced(s)
	// An incomplete evaluation says nothing of what is missing in it.
	part := assigned(g.desired("other", g.configMap("b", "two")))
	part.Incomplete = errors.New("a file cannot be read")
	s.Assign(part)
	g.until("the part is applied", func() bool { return g.value("b") == "two" })
	g.delete("a")
	g.until("what is missing stays in force", func() bool { return g.value("a") == "one" })
	before, err := g.person.CoreV1().ConfigMaps(g.namespace).Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}

	s.Assign(assigned(g.desired("other", g.configMap("b", "three"))))
	g.until("the app has left", func() bool { return len(s.State().Apps) == 1 && g.value("b") == "three" })
	s.Assign(assigned(g.desired("other", g.configMap("b", "four")), web))
	g.until("the app is back", func() bool { return len(s.State().Apps) == 2 && g.value("b") == "four" })
	g.synced(s)
	after, err := g.person.CoreV1().ConfigMaps(g.namespace).Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the object was written: %v, %v, want version %s", after, err, before.ResourceVersion)
	}
}

// TestErrorWithoutBundle restarts a spoke while an app is in error: what that app
// has in Git is not known, so that nothing is pruned, and its objects stay.
func TestErrorWithoutBundle(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("first")
	moved := g.configMap("moved", "one")
	s.Assign(assigned(g.desired("from", g.configMap("a", "one"), moved), g.desired("to", g.configMap("b", "one"))))
	g.synced(s)
	stop()

	s, _ = g.spoke("second")
	from := g.desired("from", g.configMap("a", "two"))
	s.Assign(assigned(from, app.Desired{Name: "to", Err: errors.New("rendering fails")}))
	g.until("the other app is applied", func() bool {
		state := s.State()
		return g.value("a") == "two" && !state.Apps[0].SyncedAt.IsZero()
	})
	if state := s.State(); state.Apps[1].Sync != Unknown || state.Apps[1].Message != "rendering fails" {
		t.Errorf("the app in error is shown as %+v", state.Apps[1])
	}
	if g.value("moved") == "" || g.value("b") == "" {
		t.Error("an object was deleted while an app could not be told")
	}
	s.Assign(assigned(from, g.desired("to", g.configMap("b", "two"))))
	g.until("absence counts again", func() bool { return g.value("b") == "two" })
	g.synced(s)
}

// TestErrorKeepsTheLastGoodBundle has an app fail to render, and one of its objects
// be deleted, also over a break of the session.
func TestErrorKeepsTheLastGoodBundle(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	s.Assign(assigned(app.Desired{Name: "web", Err: errors.New("rendering fails")}))
	s.Reach(g.env.Config) // as when credentials are another
	g.until("the error is shown", func() bool { return s.State().Apps[0].Message == "rendering fails" })
	g.delete("a")
	g.until("the drift is corrected", func() bool { return g.value("a") == "one" })
	if state := s.State(); state.Apps[0].Sync != Unknown {
		t.Errorf("the app in error is shown as %+v", state.Apps[0])
	}
}

func TestConfirm(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	var objects []*unstructured.Unstructured
	for i := range 8 {
		objects = append(objects, g.configMap(fmt.Sprintf("m%d", i), "one"))
	}
	s.Assign(assigned(g.desired("web", objects...)))
	g.synced(s)
	held := func() *Held {
		g.Helper()
		var held *Held
		g.until("deletions are held", func() bool {
			held = s.State().Apps[0].Held
			return held != nil
		})
		return held
	}
	s.Assign(assigned(g.desired("web", objects[0])))
	first := held()
	if err := s.Confirm(t.Context(), "another"); err == nil {
		t.Error("a list that is not held was confirmed")
	}
	if g.value("m7") == "" {
		t.Error("what is held was deleted")
	}
	if err := s.Confirm(t.Context(), first.Digest); err != nil {
		t.Fatal(err)
	}
	g.synced(s)
	if g.value("m7") != "" || g.value("m0") != "one" {
		t.Error("the list was not deleted as it was confirmed")
	}
	g.until("what was confirmed is forgotten", func() bool { return len(g.record().Confirmed) == 0 })
}

func TestNothingWaitsForIgnoredHealth(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	ingress := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
		"metadata": map[string]any{
			"name": "web", "namespace": g.namespace,
			"annotations": map[string]any{health.IgnoreAnnotation: "true"}, // no controller will give it an address
		},
		"spec": map[string]any{"defaultBackend": map[string]any{"service": map[string]any{"name": "web", "port": map[string]any{"number": int64(80)}}}},
	}}
	s.Assign(assigned(g.desired("web", ingress, g.configMap("old", "one"), g.configMap("kept", "one"))))
	g.synced(s)
	s.Assign(assigned(g.desired("web", ingress, g.configMap("kept", "one"))))
	g.synced(s)
	if g.value("old") != "" {
		t.Error("the deletion waits for an object whose health is ignored")
	}
}

func TestOldAndForeignAssignments(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	number := func(n int64, value string) *Assigned {
		a := assigned(g.desired("web", g.configMap("a", value)))
		a.Number = n
		return a
	}
	five := number(5, "five")
	s.Assign(five)
	g.synced(s)
	foreign := assigned(g.desired("web", g.configMap("a", "foreign")))
	foreign.Fleet = "other"
	for _, c := range []struct {
		reason string
		given  *Assigned
		want   string
	}{
		{"a lower number than the accepted one is a replay", number(4, "four"), "older than 5"},
		{"another fleet's assignment was sent to the wrong place", foreign, `of fleet "other"`},
	} {
		s.Assign(c.given)
		g.until(c.reason, func() bool { state := s.State(); return state.Online && strings.Contains(state.Error, c.want) })
		if got := g.value("a"); got != "five" {
			t.Errorf("%s: a = %q", c.reason, got)
		}
		s.Assign(five)
		g.until(c.reason+", which is over once the accepted one comes again", func() bool { return s.State().Error == "" })
	}
	s.Assign(number(6, "six"))
	g.until("a higher number is taken", func() bool { return g.value("a") == "six" })
}

func TestWatchesAreCountedAndEnd(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("a")
	s.Assign(assigned(g.desired("web", g.configMap("web", "1"))))
	g.synced(s)
	g.until("definitions and ConfigMaps are watched", func() bool { return s.State().Watches == 2 })
	stop()
	if open := s.State().Watches; open != 0 {
		t.Errorf("%d watches are open after the end", open)
	}
}

// TestContested has what somebody fights over be looked at later.
func TestContested(t *testing.T) {
	w := newWork("web", time.Time{})
	id := object.ID{Kind: "ConfigMap", Name: "a"}
	now := time.Unix(1_000_000, 0)
	var waits time.Duration
	for range fight.Usual + 3 {
		waits = w.fights.Correct(id, now)
	}
	w.drift(id, now)
	if from := w.drifted[id]; waits == 0 || from.Before(now.Add(waits)) {
		t.Errorf("the next correction is at %s, %s after now, want %s", from, from.Sub(now), waits)
	}
}

// TestHealthOfWhatWasThere gives a spoke an app whose objects are there already,
// and are told by the watches before the app is known: no further event comes.
func TestHealthOfWhatWasThere(t *testing.T) {
	g := on(t)
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": "web", "namespace": g.namespace},
		"spec":     map[string]any{"ports": []any{map[string]any{"port": int64(80)}}},
	}}
	web := g.desired("web", service)
	healthy := func(s *Spoke) {
		g.Helper()
		g.synced(s)
		g.until("the app is Healthy", func() bool {
			apps := s.State().Apps
			return len(apps) == 1 && apps[0].Health.Status == health.Healthy
		})
	}
	s, stop := g.spoke("first")
	s.Assign(assigned(web))
	healthy(s)
	s.Assign(assigned())
	g.until("the app is let go of", func() bool { return len(s.State().Apps) == 0 })
	s.Assign(assigned(web))
	healthy(s)
	stop()

	s, _ = g.spoke("second")
	g.until("the kinds are watched", func() bool { return s.State().Watches > 1 })
	s.Assign(assigned(web))
	healthy(s)
}
