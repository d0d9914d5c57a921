package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/spoke"
)

func bundle(t testing.TB, name string) *app.Bundle {
	t.Helper()
	b, err := app.NewBundle([]*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name},
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func assigned(t testing.TB) (*spoke.Assigned, map[string]*app.Bundle) {
	web, empty := bundle(t, "web"), bundle(t, "gone")
	return &spoke.Assigned{
		Assignment: &app.Assignment{Cluster: "one", Fleet: "acme", Incomplete: app.ErrRendering, Apps: []app.Desired{
			{Name: "broken", Err: errors.New("line 3")},
			{Name: "gone", Removed: true, Bundle: empty},
			{Name: "kept", Bundle: web, Err: errors.New("line 4")},
			{Name: "web", Bundle: web, Options: app.Options{Prune: true, Deadline: time.Minute, Limits: app.Limits{Namespaces: []string{"shop"}}}},
		}},
		Number: 7, Sources: map[string]string{"web": "apps/web"}, Holds: map[string]string{"gone": "too much"},
	}, map[string]*app.Bundle{web.Digest: web, empty.Digest: empty}
}

func TestAssignment(t *testing.T) {
	want, bundles := assigned(t)
	checks, err := NewChecks(fstest.MapFS{"health/apps/Deployment/health.lua": {Data: []byte("x")}, "other": {}}, "health", "c")
	if err != nil {
		t.Fatal(err)
	}
	data, err := Compressed(NewAssignment(want, "k", checks))
	if err != nil {
		t.Fatal(err)
	}
	var message Assignment
	if err := Read(bytes.NewReader(data), &message); err != nil {
		t.Fatal(err)
	}
	if len(message.Bundles()) != 2 || message.Key != "k" {
		t.Errorf("%+v", message)
	}
	files, err := message.Checks.Files()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := fs.ReadFile(files, "apps/Deployment/health.lua"); string(text) != "x" {
		t.Error(err)
	}
	have, err := message.Assigned(func(digest string) (*app.Bundle, error) { return bundles[digest], nil })
	if err != nil {
		t.Fatal(err)
	}
	if have.Digest() != want.Digest() || !errors.Is(have.Incomplete, app.ErrRendering) || have.Number != 7 {
		t.Errorf("%+v", have)
	}
	compareErrors := cmp.Comparer(func(a, b error) bool { return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error()) })
	if diff := cmp.Diff(want, have, compareErrors); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}

// A bundle that cannot be had puts its app in error, and says nothing of others.
func TestBundleThatCannotBeHad(t *testing.T) {
	a, bundles := assigned(t)
	missing := a.Apps[3].Bundle.Digest
	have, err := NewAssignment(a, "k", Checks{}).Assigned(func(digest string) (*app.Bundle, error) {
		if digest == missing {
			return nil, errors.New("it is damaged")
		}
		return bundles[digest], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if web := have.Apps[3]; web.Bundle != nil || web.Err == nil || have.Apps[1].Bundle == nil {
		t.Errorf("%+v", have.Apps)
	}
}

func TestAssignmentsThatAreRefused(t *testing.T) {
	for want, apps := range map[string][]App{
		"twice":                        {{Name: "a", Error: "x"}, {Name: "a", Error: "x"}},
		"without a name":               {{Error: "x"}},
		"neither objects nor an error": {{Name: "a"}},
	} {
		if _, err := (Assignment{Apps: apps}).Assigned(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, have %v", want, err)
		}
	}
}

// What a newer one adds is left out of account; what an older one lacks is zero.
func TestOtherVersions(t *testing.T) {
	var newer Assignment
	if err := json.Unmarshal([]byte(`{"cluster":"one","number":1,"shiny":{"a":1},"apps":[{"name":"a","error":"x","polish":true}]}`), &newer); err != nil || newer.Apps[0].Name != "a" {
		t.Errorf("%+v, %v", newer, err)
	}
	var older Report
	if err := json.Unmarshal([]byte(`{"sequence":1,"whole":true,"state":{"cluster":"one"}}`), &older); err != nil || older.Applied != nil {
		t.Errorf("%+v, %v", older, err)
	}
}

func TestBundle(t *testing.T) {
	b := bundle(t, "web")
	data, err := EncodeBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := DecodeBundle(data, b.Digest); err != nil || have.Digest != b.Digest {
		t.Error(err)
	}
	if _, err := DecodeBundle(data, "other"); err == nil {
		t.Error("another bundle than the wanted one is taken")
	}
	if _, err := DecodeBundle(data[:len(data)/2], b.Digest); err == nil {
		t.Error("half a bundle is taken")
	}
}

func state(apps ...spoke.AppState) spoke.State {
	return spoke.State{Cluster: "one", Online: true, Apps: apps}
}

func TestReports(t *testing.T) {
	web, db := spoke.AppState{Name: "web", Sync: spoke.Synced}, spoke.AppState{Name: "db", Sync: spoke.Synced}
	facts := app.Facts{KubernetesVersion: "v1.36.3"}
	var (
		reporter Reporter
		mirror   Mirror
	)
	send := func(reason string, now Known, events []spoke.Event, apps, gone int, withFacts bool) {
		t.Helper()
		r := reporter.Next(now, events)
		if r == nil {
			t.Fatalf("%s: no report", reason)
		}
		data, err := Compressed(r)
		if err != nil {
			t.Fatal(err)
		}
		var read Report
		if err := Read(bytes.NewReader(data), &read); err != nil {
			t.Fatal(err)
		}
		if len(read.Apps) != apps || len(read.Gone) != gone || (read.Facts != nil) != withFacts {
			t.Errorf("%s: %d apps, %d gone, facts %v: %+v", reason, len(read.Apps), len(read.Gone), read.Facts != nil, read)
		}
		if !mirror.Take(read) {
			t.Errorf("%s: not taken", reason)
		}
		if have := mirror.State(); !reflect.DeepEqual(have, now.State) {
			t.Errorf("%s:\n%s", reason, cmp.Diff(now.State, have))
		}
		if mirror.Shows != now.Shows || !reflect.DeepEqual(mirror.Facts, facts) {
			t.Errorf("%s: shows %q, facts %+v", reason, mirror.Shows, mirror.Facts)
		}
	}
	now := Known{State: state(db, web), Facts: facts}
	send("the first is whole", now, nil, 2, 0, true)
	if mirror.Applied != nil {
		t.Error("what was applied is taken for known")
	}
	now.Applied = []string{}
	send("nothing was applied before", now, nil, 0, 0, false)
	if mirror.Applied == nil {
		t.Error("that nothing was applied is not known")
	}
	if r := reporter.Next(now, nil); r != nil {
		t.Errorf("a report without news: %+v", r)
	}
	web.Sync = spoke.OutOfSync
	now.State = state(db, web)
	send("one app is another", now, nil, 1, 0, false)
	now.Shows = "k"
	send("it tells of another assignment", now, nil, 0, 0, false)
	send("an event alone", now, []spoke.Event{{Cluster: "one", Kind: spoke.EventDrift}}, 0, 0, false)
	now.State = state(web)
	send("one is gone", now, nil, 0, 1, false)
	now.State.Number = 3
	send("the state alone", now, nil, 0, 0, false)
	now.Applied = []string{"web"}
	reporter.Restart()
	mirror.Restart()
	send("whole again", now, nil, 1, 0, true)
	if len(mirror.Applied) != 0 {
		t.Error("what was applied since is taken for applied before")
	}
}

func TestMirrorThatMissedOne(t *testing.T) {
	var (
		reporter Reporter
		mirror   Mirror
	)
	first := reporter.Next(Known{State: state()}, nil)
	second := reporter.Next(Known{State: state(spoke.AppState{Name: "web"})}, nil)
	third := reporter.Next(Known{State: state()}, nil)
	if mirror.Take(*second) || mirror.Reported {
		t.Error("a delta is taken without what it builds on")
	}
	if !mirror.Take(*first) || mirror.Take(*third) {
		t.Error("a gap is not noticed")
	}
	mirror.Restart()
	if mirror.Take(*second) {
		t.Error("a delta of another connection is taken")
	}
}

// TestNews sends events again, as after acknowledgements that were lost: each is news
// once, also when the agent's process or the counting is another one.
func TestNews(t *testing.T) {
	events := func(texts ...string) (out []spoke.Event) {
		for _, text := range texts {
			out = append(out, spoke.Event{Message: text})
		}
		return out
	}
	var m Mirror
	for _, c := range []struct {
		reason, instance string
		first            int64
		sent, news       []spoke.Event
	}{
		{"the first ones", "a", 1, events("1", "2"), events("1", "2")},
		{"the acknowledgement was lost", "a", 1, events("1", "2"), events()},
		{"and one is new", "a", 1, events("1", "2", "3"), events("3")},
		{"acknowledged", "a", 4, events("4"), events("4")},
		{"an older report comes late", "a", 2, events("2", "3"), events()},
		{"some went where there was no room", "a", 9, events("9"), events("9")},
		{"nothing", "a", 10, nil, events()},
		{"and then one", "a", 10, events("10"), events("10")},
		{"another process", "b", 1, events("1"), events("1")},
		{"a hostile number", "b", -1 << 63, events("x"), events("x")},
		{"and one too far ahead", "b", 1<<63 - 1, events("x"), events("x")},
		{"an agent that does not count", "b", 0, events("1"), events("1")},
		{"one that does not say which it is", "", 1, events("1"), events("1")},
	} {
		news := m.News(c.instance, Report{First: c.first, Events: c.sent})
		if len(news) != len(c.news) || len(news) > 0 && !reflect.DeepEqual(news, c.news) {
			t.Errorf("%s: %v, want %v", c.reason, news, c.news)
		}
	}
}

func FuzzRead(f *testing.F) {
	a, _ := assigned(f)
	for _, message := range []any{NewAssignment(a, "k", Checks{}), Report{Whole: true, Sequence: 1}, 1, nil} {
		data, err := Compressed(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var message Assignment
		if Read(bytes.NewReader(data), &message) == nil {
			message.Bundles()
			message.Checks.Files()
			message.Assigned(func(string) (*app.Bundle, error) { return nil, errors.New("none") })
		}
		var report Report
		if Read(bytes.NewReader(data), &report) == nil {
			var mirror Mirror
			mirror.Take(report)
			mirror.State().Settled(a.Apps)
		}
	})
}

func TestTooLarge(t *testing.T) {
	data, err := compress(make([]byte, MaxMessage+1))
	if err != nil {
		t.Fatal(err)
	}
	var message Report
	if err := Read(bytes.NewReader(data), &message); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}
