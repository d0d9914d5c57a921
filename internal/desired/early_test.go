package desired

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

// TestEarly has a cluster that has nothing, and one that waits for the whole.
func TestEarly(t *testing.T) {
	const plain = 80
	files := fleetFiles()
	for i := range plain {
		name := fmt.Sprintf("plain-%02d", i)
		files["deliveries/"+name+".yaml"] = delivery(name, "source: {path: "+name+"}")
		files[name+"/map.yaml"] = configMap(name, "a")
	}
	files["deliveries/broken.yaml"] = delivery("broken", "source: {path: broken}")
	files["broken/map.yaml"] = "kind: [\n"
	files["deliveries/gears.yaml"] = delivery("gears", "source: {path: gears}")
	files["gears/gear.yaml"] = "apiVersion: example.org/v1\nkind: Gear\nmetadata: {name: a}\n"
	files["deliveries/maker.yaml"] = delivery("maker", "source: {path: settings}", "createNamespace: true")
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	pinned := pin(t, p)
	var mu sync.Mutex
	var told []*Compiled
	compiled, err := p.CompileFor(t.Context(), pinned, map[string]Member{
		"dev-1":   {Early: func(c *Compiled) { mu.Lock(); defer mu.Unlock(); told = append(told, c) }},
		"prod-eu": {},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) == 0 {
		t.Fatal("nothing is told early")
	}
	next := firstEarly
	whole := compiled["dev-1"]
	for _, c := range told {
		if len(c.Apps) < next {
			t.Errorf("told of %d apps, want %d first", len(c.Apps), next)
		}
		next = 2 * len(c.Apps)
		if !errors.Is(c.Incomplete, app.ErrRendering) || c.Cluster != "dev-1" || c.Fleet != "acme" {
			t.Errorf("%d apps for the cluster %q of %q, incomplete: %v", len(c.Apps), c.Cluster, c.Fleet, c.Incomplete)
		}
		if !slices.IsSortedFunc(c.Apps, func(a, b app.Desired) int { return strings.Compare(a.Name, b.Name) }) {
			t.Error("the apps are not in order")
		}
		for _, early := range c.Apps {
			switch early.Name {
			case "broken", "gears", "maker":
				t.Errorf("%s does not wait for the rest", early.Name)
			}
			i := slices.IndexFunc(whole.Apps, func(d app.Desired) bool { return d.Name == early.Name })
			if diff := cmp.Diff(whole.Apps[i].Options, early.Options); diff != "" || whole.Apps[i].Bundle.Digest != early.Bundle.Digest {
				t.Errorf("%s is another one in the end:\n%s", early.Name, diff)
			}
			if !slices.Equal(c.Sources[early.Name], whole.Sources[early.Name]) {
				t.Errorf("the source of %s is %v", early.Name, c.Sources[early.Name])
			}
		}
	}
	if whole.Incomplete != nil || len(whole.Apps) != plain+5 {
		t.Errorf("in the end %d apps, incomplete: %v", len(whole.Apps), whole.Incomplete)
	}
}

// What cannot be told at all is why an assignment is incomplete, whatever is
// being rendered.
func TestNothingEarlyOfWhatCannotBeTold(t *testing.T) {
	files := fleetFiles()
	for i := range 2 * firstEarly {
		name := fmt.Sprintf("plain-%02d", i)
		files["deliveries/"+name+".yaml"] = delivery(name, "source: {path: settings}")
	}
	files["deliveries/torn.yaml"] = "apiVersion: nave.dev/v1alpha1\nkind: Delivery\nmetadata: {name: [\n"
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	compiled, err := p.CompileFor(t.Context(), pin(t, p), map[string]Member{
		"dev-1": {Early: func(c *Compiled) { t.Errorf("%d apps are told early", len(c.Apps)) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := compiled["dev-1"]; c.Incomplete == nil || errors.Is(c.Incomplete, app.ErrRendering) {
		t.Errorf("incomplete: %v", c.Incomplete)
	}
}
