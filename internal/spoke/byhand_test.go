package spoke

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/app"
)

// stateOf returns the state of an app, empty if there is none yet.
func stateOf(s *Spoke, name string) AppState {
	for _, state := range s.State().Apps {
		if state.Name == name {
			return state
		}
	}
	return AppState{}
}

func (g *ground) byHand(name string, objects ...*unstructured.Unstructured) app.Desired {
	g.Helper()
	desired := g.desired(name, objects...)
	desired.Options.Manual, desired.Options.CorrectDrift = true, false
	return desired
}

// waits waits until an app is OutOfSync with a message.
func (g *ground) waits(s *Spoke, name, message string) {
	g.Helper()
	var state AppState
	defer func() {
		if g.Failed() {
			g.Logf("state: %+v", state)
		}
	}()
	g.until(name+" says "+message, func() bool {
		state = stateOf(s, name)
		return state.Sync == OutOfSync && strings.Contains(state.Message, message)
	})
}

// change changes a ConfigMap as a person does.
func (g *ground) change(name, value string) {
	g.Helper()
	patch := fmt.Appendf(nil, `{"data":{"key":%q}}`, value)
	_, err := g.person.CoreV1().ConfigMaps(g.namespace).Patch(g.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		g.Fatal(err)
	}
}

func TestAppThatIsSyncedByHand(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("a")
	s.Assign(assigned(g.byHand("web", g.configMap("a", "one"), g.configMap("b", "one"))))
	g.waits(s, "web", "waits for nave sync: 2 objects differ")
	if g.value("a") != "" {
		t.Fatal("it was synced, and nobody asked")
	}
	if err := s.Sync(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.synced(s)
	if g.value("a") != "one" {
		t.Fatal("nothing was synced")
	}
	g.until("the cluster remembers that it is done", func() bool { return g.record().Asked["web"].Done })

	// What others do is reported and stays, also what is deleted, and also after a
	// restart, which knows nothing but what the cluster remembers.
	g.delete("b")
	g.waits(s, "web", "1 objects differ")
	stop()
	s, _ = g.spoke("b")
	next := assigned(g.byHand("web", g.configMap("a", "one"), g.configMap("b", "one")))
	s.Assign(next)
	g.waits(s, "web", "1 objects differ")
	if g.value("b") != "" {
		t.Error("what somebody deleted was made again")
	}

	// A later commit is not what was asked for.
	s.Assign(assigned(g.byHand("web", g.configMap("a", "two"))))
	g.waits(s, "web", "waits for nave sync: 1 objects differ")
	if drift := stateOf(s, "web").Drift; g.value("a") != "one" || len(drift) != 1 || drift[0].Fields[0].To != "two" {
		t.Errorf("%s with %v", g.value("a"), drift)
	}
	if err := s.Sync(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.synced(s)
	if g.value("a") != "two" {
		t.Error("it was asked for, and is not done")
	}
}

// A sync that was asked for brings back what others changed, whether Git has changed
// too or not.
func TestAskedSyncUndoesDrift(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	for _, test := range []struct{ reason, value, message string }{
		{"it is not there yet", "one", "waits for nave sync: 1 objects differ"},
		{"somebody changed it", "one", "1 objects differ, which is only reported"},
		{"somebody and Git changed it", "two", "waits for nave sync: 1 objects differ"},
	} {
		s.Assign(assigned(g.byHand("web", g.configMap("a", test.value))))
		g.waits(s, "web", test.message)
		if err := s.Sync(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		g.until(test.reason+", and Git's value is back", func() bool { return g.value("a") == test.value })
		g.synced(s)
		g.until("the cluster remembers that it is done", func() bool { return g.record().Asked["web"].Done })
		g.change("a", "by hand")
		g.waits(s, "web", "1 objects differ, which is only reported")
	}
}

// The same goes for an app that is synced by itself and only reports drift.
func TestAskedSyncUndoesReportedDrift(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	desired := g.desired("web", g.configMap("a", "one"))
	desired.Options.CorrectDrift = false
	s.Assign(assigned(desired))
	g.synced(s)
	for range 2 {
		g.change("a", "by hand")
		g.waits(s, "web", "1 objects differ, which is only reported")
		if err := s.Sync(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		g.until("Git's value is back", func() bool { return g.value("a") == "one" })
		g.synced(s)
	}
}

// What is reported is read again when it changes, and not all the time.
func TestReportedDriftIsLeftAlone(t *testing.T) {
	for _, manual := range []bool{false, true} {
		t.Run(fmt.Sprintf("by hand %t", manual), func(t *testing.T) {
			g := on(t)
			fault := &faulty{}
			s, _ := g.through("a", fault)
			desired := g.desired("web", g.configMap("a", "one"))
			desired.Options.CorrectDrift, desired.Options.Manual = false, manual
			s.Assign(assigned(desired, g.desired("zoo", g.configMap("b", "one"))))
			g.until("the cluster has it", func() bool { return g.value("b") == "one" })
			if err := s.Sync(t.Context(), "web"); err != nil {
				t.Fatal(err)
			}
			g.synced(s)
			for _, value := range []string{"theirs", "another"} {
				g.change("a", value)
				g.until("it is reported", func() bool {
					drift := stateOf(s, "web").Drift
					return len(drift) == 1 && len(drift[0].Fields) == 1 && drift[0].Fields[0].From == value
				})
			}
			var reads atomic.Int32
			fault.set(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/configmaps/a") {
					reads.Add(1)
				}
				return nil, nil
			})
			for range 3 {
				g.ahead.Add(int64(time.Minute))
				g.change("b", "by hand")
				g.until("the other app is corrected", func() bool { return g.value("b") == "one" })
			}
			if n := reads.Load(); n > 0 {
				t.Errorf("%d requests for what nobody touched", n)
			}
			g.change("a", "one") // which is seen, and is no drift
			g.synced(s)
		})
	}
}

// A sync that was asked for is done by the process that comes after the one that
// was asked.
func TestAskedSyncOutlivesItsProcess(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("a")
	desired := g.byHand("web", g.configMap("a", "one"))
	s.Assign(assigned(desired))
	g.waits(s, "web", "waits for nave sync")
	pause := Pause{App: "web", Until: time.Now().Add(time.Hour), Actor: "x", Reason: "y"}
	err := s.ask(t.Context(), func(ctx context.Context, session *session) error { return session.request(ctx, session.apps["web"]) })
	if err == nil {
		err = s.Pause(t.Context(), pause)
	}
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if asked := g.record().Asked["web"]; asked.Digest != desired.Bundle.Digest {
		t.Fatalf("the cluster remembers %+v", asked)
	}
	s, _ = g.spoke("b")
	s.Assign(assigned(desired))
	pause.Until = time.Time{}
	g.until("the pause ends", func() bool { return s.Pause(t.Context(), pause) == nil })
	g.until("it is synced", func() bool { return g.value("a") == "one" })
}

func TestDriftOfAnAppByHandThatCorrects(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	desired := g.byHand("web", g.configMap("a", "one"))
	desired.Options.CorrectDrift = true
	s.Assign(assigned(desired))
	g.waits(s, "web", "waits for nave sync")
	if err := s.Sync(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.synced(s)
	g.delete("a")
	g.until("it is there again", func() bool { return g.value("a") == "one" })
}

// Windows hold back a commit and what would be corrected, until their time comes.
func TestWindows(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("a")
	desired := func(value string, windows ...app.Window) *Assigned {
		d := g.desired("web", g.configMap("a", value))
		d.Options.Windows = windows
		return assigned(d)
	}
	s.Assign(desired("one"))
	g.synced(s)
	always := app.Window{Schedule: "* * * * *", Duration: 2 * time.Minute}
	s.Assign(desired("two", always))
	g.waits(s, "web", "sync windows let nothing through")
	g.delete("a")
	g.until("what was deleted is seen", func() bool {
		d := stateOf(s, "web").Drift
		return len(d) == 1 && strings.Contains(d[0].Reason, "would be created")
	})
	if err := s.Sync(t.Context(), "web"); err == nil || !strings.Contains(err.Error(), "sync windows") {
		t.Errorf("somebody got through: %v", err)
	}
	if g.value("a") != "" {
		t.Fatal("something was written")
	}
	people := always
	people.Manual = true
	s.Assign(desired("two", people))
	g.waits(s, "web", ", but nave sync")
	if err := s.Sync(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	g.until("a person gets through", func() bool { return g.value("a") == "two" })
	g.synced(s)

	// It opens by the clock alone.
	soon := time.Now().UTC().Add(24 * time.Hour)
	later := app.Window{Allow: true, Schedule: soon.Format("4 15 2 1 *"), Duration: time.Hour}
	s.Assign(desired("three", later))
	g.waits(s, "web", "until "+soon.Truncate(time.Minute).Format(time.RFC3339))
	g.ahead.Store(int64(24 * time.Hour))
	g.until("the window opens", func() bool { return g.value("a") == "three" })
	s.Assign(desired("four", app.Window{Allow: true, Schedule: "often", Duration: time.Hour}))
	g.waits(s, "web", "cannot be read")
}
