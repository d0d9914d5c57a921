package told

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/spoke"
	"nave.dev/internal/strictyaml"
)

// given is an assignment of two apps, changed.
func given(change func(*spoke.Assigned)) *spoke.Assigned {
	a := &spoke.Assigned{Assignment: &app.Assignment{Cluster: "one", Fleet: "acme", Apps: []app.Desired{
		{Name: "api", Bundle: &app.Bundle{Digest: "d1"}}, {Name: "web", Bundle: &app.Bundle{Digest: "d2"}},
	}}, Holds: map[string]string{}}
	change(a)
	return a
}

// TestKey has all that a cluster is to be told be another key, and what it need not
// be told the same.
func TestKey(t *testing.T) {
	news := map[string]func(*spoke.Assigned){
		"nothing":                   func(*spoke.Assigned) {},
		"another bundle":            func(a *spoke.Assigned) { a.Apps[0].Bundle = &app.Bundle{Digest: "d3"} },
		"an app less":               func(a *spoke.Assigned) { a.Apps = a.Apps[:1] },
		"an app is removed":         func(a *spoke.Assigned) { a.Apps[0].Removed = true },
		"not all is known":          func(a *spoke.Assigned) { a.Incomplete = errors.New("a path is missing") },
		"of another reason":         func(a *spoke.Assigned) { a.Incomplete = errors.New("a file cannot be read") },
		"an app is in error":        func(a *spoke.Assigned) { a.Apps[0].Err = errors.New("no such file") },
		"of another reason, an app": func(a *spoke.Assigned) { a.Apps[0].Err = errors.New("no such chart") },
		"another app is in error":   func(a *spoke.Assigned) { a.Apps[1].Err = errors.New("no such file") },
		"an app is held":            func(a *spoke.Assigned) { a.Holds["api"] = "its objects are not known" },
		"for another reason":        func(a *spoke.Assigned) { a.Holds["api"] = "the ledger is lost" },
		"another app is held":       func(a *spoke.Assigned) { a.Holds["web"] = "the ledger is lost" },
	}
	seen := map[string]string{}
	for reason, change := range news {
		key := Key(given(change))
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q have one key", reason, other)
		}
		seen[key] = reason
	}
	for reason, change := range map[string]func(*spoke.Assigned){
		"its number":                        func(a *spoke.Assigned) { a.Number = 7 },
		"where apps come from":              func(a *spoke.Assigned) { a.Sources = map[string]string{"api": "api"} },
		"a hold of an app that it has not":  func(a *spoke.Assigned) { a.Holds["db"] = "the ledger is lost" },
		"a hold that says nothing of why":   func(a *spoke.Assigned) { a.Holds["api"] = "" },
		"another assignment of the same is": func(a *spoke.Assigned) { a.Assignment = given(func(*spoke.Assigned) {}).Assignment },
	} {
		if seen[Key(given(change))] != "nothing" {
			t.Errorf("%s is news", reason)
		}
	}
}

func TestSources(t *testing.T) {
	got := Sources(map[string][]app.Source{
		"own":   {{Path: "apps/own", Commit: "c1"}},
		"other": {{Repository: "https://git/team", Path: "deploy", Commit: "c2"}},
		"chart": {{Repository: "https://charts", Path: ".", Chart: "nginx"}, {Path: "values"}},
		"none":  nil,
	})
	want := map[string]string{"own": "apps/own", "other": "https://git/team:deploy", "chart": "https://charts:nginx, values", "none": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}

// TestProblems has each problem once, whichever clusters have it, and what the fleet's
// documents have wrong not again with each app.
func TestProblems(t *testing.T) {
	document := strictyaml.Problem{File: "fleet.yaml", Line: 3, Column: 5, Message: "no such field"}
	pinned := &desired.Pinned{Problems: strictyaml.Problems{document}}
	compiled := func(apps ...app.Desired) *desired.Compiled {
		return &desired.Compiled{Assignment: &app.Assignment{Apps: apps}, Problems: []error{errors.New("two Deliveries make one app")}}
	}
	missing := errors.New("no such path")
	got := Problems(pinned, map[string]*desired.Compiled{
		"one": compiled(app.Desired{Name: "api", Err: missing}, app.Desired{Name: "web", Err: strictyaml.Problems{document}}, app.Desired{Name: "db"}),
		"two": compiled(app.Desired{Name: "api", Err: missing}, app.Desired{Name: "web", Err: missing}),
	})
	want := []string{"api: no such path", "fleet.yaml:3:5: no such field", "two Deliveries make one app", "web: no such path"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}
