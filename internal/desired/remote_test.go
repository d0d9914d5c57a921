package desired

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
)

// withRemote is a fleet whose web is built on a base in another repository.
func withRemote(base *repository, ref string) map[string]string {
	files := fleetFiles()
	files["fleet.yaml"] += "spec:\n  sources:\n  - {name: base, url: 'file://" + base.dir + "', revision: {branch: main}, deliveries: [web]}\n"
	files["web/base/kustomization.yaml"] = "resources:\n- file://" + base.dir + "//deploy" + ref + "\n"
	return files
}

// tag names the head of the repository.
func (r *repository) tag(name string) { r.git("", "tag", "--force", name) }

// image is that of the app web on a cluster.
func image(t *testing.T, compiled map[string]*Compiled, cluster string) string {
	t.Helper()
	for _, desired := range compiled[cluster].Apps {
		if desired.Name != "web" {
			continue
		}
		if desired.Err != nil {
			return desired.Err.Error()
		}
		return imageOf(desired)
	}
	t.Fatalf("no web on %s", cluster)
	return ""
}

// imageOf is that of an app's one Deployment.
func imageOf(desired app.Desired) string {
	spec := desired.Bundle.Objects[0].Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	return strings.TrimPrefix(spec["containers"].([]any)[0].(map[string]any)["image"].(string), "example.org/")
}

func TestRemoteReference(t *testing.T) {
	base := newRepository(t)
	first := base.commit(map[string]string{
		"deploy/kustomization.yaml": "resources: [../parts/web.yaml]\n", "parts/web.yaml": deployment("web:1"),
	})
	base.tag("v1")
	r := newRepository(t)
	r.commit(withRemote(base, "?ref=v1"))
	p := r.open(nil)
	pinned := pin(t, p)
	before := pinned.ID()
	// The source was never fetched, and is when it is needed.
	if got := image(t, compile(t, p, pinned), "prod-eu"); got != "web:1" {
		t.Fatalf("built on the tag: %s", got)
	}
	if diff := cmp.Diff(map[string]string{"base@ref:v1": first}, pinned.Sources); diff != "" || pinned.ID() == before {
		t.Errorf("the commit is not pinned (-want +have):\n%s", diff)
	}

	// What a ref stands for moves; a snapshot does not.
	base.commit(map[string]string{"parts/web.yaml": deployment("web:2")})
	base.tag("v2")
	second := base.commit(map[string]string{"parts/web.yaml": deployment("web:3")})
	base.tag("v1")
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pinned), "prod-eu"); got != "web:1" {
		t.Errorf("the same snapshot again: %s", got)
	}
	moved := pin(t, p)
	if got := image(t, compile(t, p, moved), "prod-eu"); got != "web:3" || moved.Sources["base@ref:v1"] != second {
		t.Errorf("after the tag was moved: %s, %v", got, moved.Sources)
	}

	// A commit of the fleet repository refers to another tag, or to none.
	r.commit(withRemote(base, "?ref=v2"))
	fetch(t, p, moved)
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:2" {
		t.Errorf("with another ref: %s", got)
	}
	r.commit(withRemote(base, ""))
	fetch(t, p, moved)
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:3" {
		t.Errorf("with the source's own revision: %s", got)
	}
}

// A commit in another repository that touches nothing that was read costs no render.
func TestRemoteReferenceIsRemembered(t *testing.T) {
	base := newRepository(t)
	base.commit(map[string]string{"deploy/kustomization.yaml": "resources: [web.yaml]\n", "deploy/web.yaml": deployment("web:1")})
	r := newRepository(t)
	r.commit(withRemote(base, ""))
	p := r.open(nil)
	pinned := pin(t, p)
	compile(t, p, pinned)
	renders := p.render.Stats().Renders
	base.commit(map[string]string{"README.md": "more\n"})
	fetch(t, p, pinned)
	after := pin(t, p)
	if image(t, compile(t, p, after), "dev-1") != "web:1" || p.render.Stats().Renders != renders {
		t.Errorf("%d renders after a commit that touches nothing, want %d", p.render.Stats().Renders, renders)
	}
	base.commit(map[string]string{"deploy/web.yaml": deployment("web:2")})
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pin(t, p)), "dev-1"); got != "web:2" || p.render.Stats().Renders == renders {
		t.Errorf("after a change of the base: %s", got)
	}
}

func TestRemoteReferenceRefused(t *testing.T) {
	base, other := newRepository(t), newRepository(t)
	base.commit(map[string]string{"deploy/kustomization.yaml": "resources: [web.yaml]\n", "deploy/web.yaml": deployment("web:1"),
		"nested/kustomization.yaml": "resources:\n- file://" + other.dir + "//deploy\n"})
	other.commit(map[string]string{"deploy/kustomization.yaml": "resources: [web.yaml]\n", "deploy/web.yaml": deployment("web:9")})
	for name, test := range map[string]struct {
		change map[string]string
		want   []string
	}{
		"no source": {
			map[string]string{"fleet.yaml": fleetFiles()["fleet.yaml"]},
			[]string{"web/base/kustomization.yaml:2: ", "is no source of the fleet", `spec.sources: {name: `, `revision: {branch: main}, deliveries: [web]}`},
		},
		"not this Delivery's": {
			map[string]string{"fleet.yaml": strings.Replace(withRemote(base, "")["fleet.yaml"], "[web]", "[team-*]", 1)},
			[]string{"web/base/kustomization.yaml:2: ", `source "base" may not be used by Delivery "web", only by team-*`},
		},
		"no such ref": {
			map[string]string{"web/base/kustomization.yaml": "resources:\n- file://" + base.dir + "//deploy?ref=gone\n"},
			[]string{"web/base/kustomization.yaml:2: ", `source "base" has no branch, tag or commit "gone"`},
		},
		"a ref like an option": {
			map[string]string{"web/base/kustomization.yaml": "resources:\n- file://" + base.dir + "//deploy?ref=--upload-pack=touch\n"},
			[]string{"web/base/kustomization.yaml:2: ", `source "base" has no branch, tag or commit "--upload-pack=touch"`},
		},
		"a ref without end": {
			map[string]string{"web/base/kustomization.yaml": "resources:\n- file://" + base.dir + "//deploy?ref=" + strings.Repeat("a", 1<<20) + "\n"},
			[]string{"web/base/kustomization.yaml:2: ", "…\": it is too long"},
		},
		"from another repository to one that is no source": {
			map[string]string{"web/base/kustomization.yaml": "resources:\n- file://" + base.dir + "//nested\n"},
			[]string{".nave-remote/base/nested/kustomization.yaml:2: ", "is no source of the fleet"},
		},
		"unsigned": {
			map[string]string{"fleet.yaml": strings.Replace(withRemote(base, "")["fleet.yaml"], "deliveries:", "verify: {allowedSignersFile: signers}, deliveries:", 1),
				"signers": func() string { _, line := newKey(t, "tess"); return line }()},
			[]string{"web/base/kustomization.yaml:2: ", "is refused: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := withRemote(base, "")
			maps.Copy(files, test.change)
			r := newRepository(t)
			r.commit(withRemote(base, ""))
			p := r.open(nil)
			if name == "not this Delivery's" { // what was rendered while it was allowed does not count
				compile(t, p, pin(t, p))
			}
			r.commit(files)
			fetch(t, p, nil)
			compiled := compile(t, p, pin(t, p))
			got := image(t, compiled, "prod-eu")
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("%s\nlacks %q", got, want)
				}
			}
			if i := slices.IndexFunc(compiled["prod-eu"].Apps, func(d app.Desired) bool { return d.Name == "settings" }); compiled["prod-eu"].Apps[i].Err != nil {
				t.Error("another app fails with it")
			}
		})
	}
}

// A source that is away stops the apps that are built on it, once, and others not at all.
func TestRemoteReferenceToSourceThatIsDown(t *testing.T) {
	base := newRepository(t)
	base.commit(map[string]string{"deploy/kustomization.yaml": "resources: [web.yaml]\n", "deploy/web.yaml": deployment("web:1")})
	r := newRepository(t)
	old := r.commit(withRemote(base, ""))
	away := base.dir + ".away"
	if err := os.Rename(base.dir, away); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(away) })
	p := r.open(nil)
	pinned := pin(t, p)
	if got := image(t, compile(t, p, pinned), "dev-1"); !strings.Contains(got, "web/base/kustomization.yaml:2: ") {
		t.Errorf("%s", got)
	}
	if err := os.Rename(away, base.dir); err != nil {
		t.Fatal(err)
	}
	if got := image(t, compile(t, p, pin(t, p)), "dev-1"); got != "web:1" {
		t.Errorf("when it is back: %s", got)
	}
	// Away once more, what was fetched serves, for an old commit and by a new pipeline too.
	if err := os.Rename(base.dir, away); err != nil {
		t.Fatal(err)
	}
	r.commit(map[string]string{"README.md": "more\n"})
	fetch(t, p, nil)
	at, err := p.PinAt(t.Context(), v1alpha1.Revision{Commit: old})
	if err != nil {
		t.Fatal(err)
	}
	if got := image(t, compile(t, p, at), "dev-1"); got != "web:1" {
		t.Errorf("the old commit: %s", got)
	}
}

// TestUnchanged compiles a fleet that is built on another repository, and asks of newer
// snapshots whether there is anything new in them.
func TestUnchanged(t *testing.T) {
	base := newRepository(t)
	base.commit(map[string]string{"deploy/kustomization.yaml": "resources: [web.yaml]\n", "deploy/web.yaml": deployment("web:1")})
	base.tag("v1")
	r := newRepository(t)
	p := r.open(nil)
	for _, ref := range []string{"", "?ref=v1"} {
		r.commit(withRemote(base, ref))
		fetch(t, p, nil)
		compiled := pin(t, p)
		compile(t, p, compiled)
		unchanged := func(reason string, want bool) {
			t.Helper()
			if p.Unchanged(t.Context(), compiled, pin(t, p)) != want {
				t.Errorf("with %q, %s: unchanged is %t", ref, reason, !want)
			}
		}
		unchanged("at once", true)
		fetch(t, p, compiled)
		unchanged("after a fetch that brought nothing", true)
		base.commit(map[string]string{"README.md": ref + "\n"})
		base.tag("v1")
		unchanged("before the base's commit is fetched", true)
		fetch(t, p, compiled)
		unchanged("after a commit to the base", false)
		compiled = pin(t, p)
		compile(t, p, compiled)
		unchanged("once that is compiled", true)
		r.commit(map[string]string{"README.md": ref + "\n"})
		fetch(t, p, compiled)
		unchanged("after a commit to the fleet repository", false)
	}
	r.commit(withRemote(base, "?ref=missing"))
	fetch(t, p, nil)
	compiled := pin(t, p)
	compile(t, p, compiled)
	if p.Unchanged(t.Context(), compiled, pin(t, p)) {
		t.Error("an error that may go away counts as unchanged")
	}
}
