package desired

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
)

func TestClustersThatShareAnOverlay(t *testing.T) {
	r := newRepository(t)
	head := r.commit(fleetFiles())
	p := r.open(nil)
	pinned := pin(t, p)
	if pinned.Snapshot.Fleet != head || pinned.Commit.Hash != head || len(pinned.Problems) > 0 {
		t.Fatalf("pinned %+v with %v", pinned.Snapshot, pinned.Problems)
	}
	compiled := compile(t, p, pinned)
	digests := map[string]string{}
	for name, c := range compiled {
		if diff := cmp.Diff([]string{"settings: ConfigMap/settings", "web: Deployment/web"}, describe(c)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
		if c.Cluster != name || c.Fleet != "acme" || c.Incomplete != nil {
			t.Errorf("%s: %+v", name, c.Assignment)
		}
		want := []app.Source{{Commit: head, Path: "settings"}}
		if diff := cmp.Diff(want, c.Sources["settings"]); diff != "" {
			t.Errorf("%s: source (-want +have):\n%s", name, diff)
		}
		digests[name] = c.Digest()
	}
	if digests["prod-eu"] != digests["prod-us"] || digests["prod-eu"] == digests["dev-1"] {
		t.Errorf("digests are %v", digests)
	}
	if n := p.render.Stats().Renders; n != 3 {
		t.Errorf("%d renders, want one for settings and one for each overlay", n)
	}

	// A commit that changes nothing for the clusters.
	r.commit(map[string]string{"README.md": "words\n"})
	again := pin(t, p)
	for name, c := range compile(t, p, again) {
		if c.Digest() != digests[name] {
			t.Errorf("%s: the commit shows in the digest", name)
		}
	}
	if n := p.render.Stats().Renders; n != 3 || again.ID() == pinned.ID() {
		t.Errorf("%d renders, snapshots %s and %s", n, pinned.ID(), again.ID())
	}
}

func TestBrokenManifest(t *testing.T) {
	r := newRepository(t)
	r.commit(fleetFiles())
	r.commit(map[string]string{"web/overlays/dev/kustomization.yaml": "resources: [../../base, gone.yaml]\n"})
	p := r.open(nil)
	compiled := compile(t, p, pin(t, p))
	for name, c := range compiled {
		lines := describe(c)
		if len(lines) != 2 || lines[0] != "settings: ConfigMap/settings" || c.Incomplete != nil {
			t.Errorf("%s: %v, %v", name, lines, c.Incomplete)
		}
		broken := strings.Contains(lines[1], "rendering web/overlays/dev: ") && strings.Contains(lines[1], "gone.yaml")
		if broken != (name == "dev-1") {
			t.Errorf("%s: %s", name, lines[1])
		}
	}
}

func TestBrokenDocuments(t *testing.T) {
	tests := []struct {
		reason     string
		files      map[string]string
		cluster    string
		want       []string // contained in the lines
		incomplete bool
	}{
		{"a Delivery in error has its app, in error", map[string]string{"deliveries/web.yaml": delivery("web", "sauce: {path: web}")}, "dev-1",
			[]string{"settings: ConfigMap/settings", "web: deliveries/web.yaml:4:1: spec.source.path: is missing"}, false},
		{"a cluster in a file that cannot be read", map[string]string{"clusters/dev-1.yaml": "kind: ["}, "dev-1", nil, true},
		{"other clusters beside it", map[string]string{"clusters/dev-1.yaml": "kind: ["}, "prod-eu",
			[]string{"settings: ConfigMap/settings", "web: Deployment/web"}, true},
		{"no Fleet", map[string]string{"fleet.yaml": ""}, "prod-eu", nil, true},
	}
	for _, test := range tests {
		r := newRepository(t)
		r.commit(fleetFiles())
		r.commit(test.files)
		p := r.open(nil)
		pinned := pin(t, p)
		// All at once, as a hub asks that knows the clusters from before.
		c := compile(t, p, pinned, "dev-1", "prod-eu", "prod-us")[test.cluster]
		lines := describe(c)
		if len(lines) != len(test.want) || (c.Incomplete != nil) != test.incomplete || len(pinned.Problems) == 0 {
			t.Fatalf("%s: %v, %v, %v", test.reason, lines, c.Incomplete, pinned.Problems)
		}
		for i, want := range test.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("%s: %q, want %q", test.reason, lines[i], want)
			}
		}
	}
}

func TestUnknownCluster(t *testing.T) {
	r := newRepository(t)
	r.commit(fleetFiles())
	p := r.open(nil)
	_, err := p.Compile(t.Context(), pin(t, p), []string{"dev-1", "prod-eX"}, unknown)
	if err == nil || !strings.Contains(err.Error(), `no cluster "prod-eX" in the fleet, did you mean "prod-eu"?`) {
		t.Errorf("the error is %v", err)
	}
}

func TestKubernetesVersion(t *testing.T) {
	files := fleetFiles()
	files["deliveries/web.yaml"] = delivery("web", "source: {path: chart}")
	files["chart/Chart.yaml"] = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
	files["chart/templates/a.yaml"] = configMap("a", "{{ .Capabilities.KubeVersion.Version }}")
	files["clusters/dev-1.yaml"] = cluster("dev-1", "dev") + "spec: {kubernetesVersion: v1.33.1}\n"
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	tests := []struct {
		reason string
		facts  app.Facts
		want   string
	}{
		{"the cluster's document serves", app.Facts{}, "v1.33.1"},
		{"until the cluster has said which it has", app.Facts{KubernetesVersion: "v1.34.2"}, "v1.34.2"},
	}
	pinned := pin(t, p)
	for _, test := range tests {
		compiled, err := p.Compile(t.Context(), pinned, []string{"dev-1"}, func(string) app.Facts { return test.facts })
		if err != nil {
			t.Fatal(err)
		}
		c := compiled["dev-1"]
		if c.Apps[1].Err != nil {
			t.Fatalf("%s: %v", test.reason, c.Apps[1].Err)
		}
		data := c.Apps[1].Bundle.Objects[0].Object["data"].(map[string]any)
		if data["key"] != test.want || !c.FactsUsed {
			t.Errorf("%s: %v, facts used: %v, want %s", test.reason, data, c.FactsUsed, test.want)
		}
	}
}

func TestWorktree(t *testing.T) {
	r := newRepository(t)
	r.commit(fleetFiles())
	p := r.open(func(o *Options) { o.Repository, o.Worktree = Repository{}, r.dir })
	value := func() any {
		t.Helper()
		pinned, err := p.Pin(t.Context())
		if err != nil || pinned.Snapshot.Fleet != WorktreeCommit || len(pinned.Problems) > 0 {
			t.Fatalf("%v, %v", pinned, err)
		}
		d := compile(t, p, pinned)["dev-1"].Apps[0]
		if d.Err != nil {
			t.Fatal(d.Err)
		}
		return d.Bundle.Objects[0].Object["data"].(map[string]any)["key"]
	}
	if have := value(); have != "a" {
		t.Errorf("read %v", have)
	}
	r.write(map[string]string{"settings/settings.yaml": configMap("settings", "edited")})
	if have := value(); have != "edited" {
		t.Errorf("after an edit without a commit, read %v", have)
	}
	if states := p.Fetch(t.Context(), nil); len(states) != 0 {
		t.Errorf("there is nothing to fetch, and fetched %v", states)
	}
	if _, err := p.PinAt(t.Context(), v1alpha1.Revision{Branch: "main"}); err == nil || !strings.Contains(err.Error(), "a directory has no revisions") {
		t.Errorf("a revision of a directory: %v", err)
	}
}

func TestWorktreeLinksOutside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "theirs.yaml")
	if err := os.WriteFile(outside, []byte(configMap("theirs", "hunter2")), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRepository(t)
	r.write(fleetFiles())
	if err := os.Symlink(outside, filepath.Join(r.dir, "settings", "theirs.yaml")); err != nil {
		t.Fatal(err)
	}
	p := r.open(func(o *Options) { o.Repository, o.Worktree = Repository{}, r.dir })
	pinned, err := p.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := compile(t, p, pinned)["dev-1"].Apps[0]; d.Err == nil || strings.Contains(d.Err.Error(), "hunter2") {
		t.Errorf("a link out of the repository gives %v, %v", d.Bundle, d.Err)
	}
}

// withSource is a fleet whose web comes from another repository.
func withSource(source *repository) map[string]string {
	files := fleetFiles()
	files["fleet.yaml"] += "spec:\n  sources:\n  - {name: team, url: 'file://" + source.dir + "', revision: {branch: main}, deliveries: [web]}\n"
	files["deliveries/web.yaml"] = delivery("web", "source: {name: team, path: deploy}", "limits: {namespaces: [shop]}")
	return files
}

func TestSecondSource(t *testing.T) {
	team := newRepository(t)
	first := team.commit(map[string]string{"deploy/web.yaml": deployment("web:1")})
	r := newRepository(t)
	r.commit(withSource(team))
	p := r.open(nil)
	pinned := pin(t, p)
	if diff := cmp.Diff(map[string]string{"team@branch:main": first}, pinned.Sources); diff != "" || len(pinned.Unresolved) > 0 {
		t.Fatalf("%v (-want +have):\n%s", pinned.Unresolved, diff)
	}
	c := compile(t, p, pinned)["dev-1"]
	if diff := cmp.Diff([]string{"settings: ConfigMap/settings", "web: Deployment/web"}, describe(c)); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if source := c.Sources["web"][0]; source != (app.Source{Repository: "team", Commit: first, Path: "deploy"}) {
		t.Errorf("the source is %+v", source)
	}

	second := team.commit(map[string]string{"deploy/web.yaml": deployment("web:2")})
	fetch(t, p, pinned)
	moved, err := p.Pin(t.Context())
	if err != nil || moved.Sources["team@branch:main"] != second || moved.Snapshot.Fleet != pinned.Snapshot.Fleet || moved.ID() == pinned.ID() {
		t.Errorf("after a push to the source: %v, %v", moved, err)
	}
}

func TestSourceThatIsDown(t *testing.T) {
	team := newRepository(t)
	commit := team.commit(map[string]string{"deploy/web.yaml": deployment("web:1")})
	r := newRepository(t)
	r.commit(withSource(team))
	p := r.open(nil)
	pinned := pin(t, p)

	away := team.dir + ".away"
	if err := os.Rename(team.dir, away); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(away) })
	r.commit(map[string]string{"settings/settings.yaml": configMap("settings", "b")})
	for _, state := range p.Fetch(t.Context(), pinned) {
		if (state.Err != "") != (state.Name == "team") {
			t.Errorf("fetching %q: %q", state.Name, state.Err)
		}
	}
	after, err := p.Pin(t.Context())
	if err != nil || after.Snapshot.Fleet != r.head() || after.Sources["team@branch:main"] != commit {
		t.Fatalf("what was fetched before is not in force: %+v, %v", after, err)
	}
	if lines := describe(compile(t, p, after)["dev-1"]); lines[1] != "web: Deployment/web" {
		t.Errorf("%v", lines)
	}

	// Another pipeline has never fetched the source.
	fresh := r.open(nil)
	never := pin(t, fresh)
	lines := describe(compile(t, fresh, never)["dev-1"])
	if never.Unresolved["team@branch:main"] == nil || lines[0] != "settings: ConfigMap/settings" || !strings.HasPrefix(lines[1], `web: resolving branch:main of "team": `) {
		t.Errorf("%v, %v", never.Unresolved, lines)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "user"), []byte("deployer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	password := &v1alpha1.Credential{UsernameFile: "user", PasswordFile: "password"}
	tests := []struct {
		reason, source, dir string
		credential          *v1alpha1.Credential
		file, user, err     string
	}{
		{"none", "team", dir, nil, "", "", ""},
		{"files are in the directory", "team", dir, password, filepath.Join(dir, "password"), "deployer", ""},
		{"a token goes where the password goes", "team", dir, &v1alpha1.Credential{TokenFile: "t"}, filepath.Join(dir, "t"), "", ""},
		{"the fleet repository's are as the command line has them", "", dir, &v1alpha1.Credential{TokenFile: "t"}, "t", "", ""},
		{"without a directory, none of the working directory", "team", "", password, "", "", "there is no directory of credentials"},
		{"none outside of the directory", "team", dir, &v1alpha1.Credential{TokenFile: "../t"}, "", "", "is not in the directory of credentials"},
		{"nor by an absolute path", "team", dir, &v1alpha1.Credential{TokenFile: "/etc/passwd"}, "", "", "is not in the directory of credentials"},
		{"a user that cannot be read", "team", dir, &v1alpha1.Credential{UsernameFile: "gone", PasswordFile: "password"}, "", "", `reading the user of source "team"`},
	}
	for _, test := range tests {
		p := &Pipeline{opts: Options{CredentialsDir: test.dir}}
		auth, err := p.auth(test.source, test.credential)
		if auth.PasswordFile != test.file || auth.Username != test.user || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %+v, %v", test.reason, auth, err)
		}
	}
}

func TestHooksAreNoObjects(t *testing.T) {
	r := newRepository(t)
	files := fleetFiles()
	files["settings/Chart.yaml"] = "apiVersion: v2\nname: settings\nversion: 1.0.0\n"
	files["settings/templates/job.yaml"] = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}\n"
	r.commit(files)
	p := r.open(nil)
	desired := compile(t, p, pin(t, p))["dev-1"].Apps[0]
	if desired.Err != nil || len(desired.Bundle.Hooks) != 1 || slices.ContainsFunc(desired.Bundle.Objects, func(u *unstructured.Unstructured) bool { return u.GetKind() == "Job" }) {
		t.Errorf("an app with a hook: %+v", desired)
	}
}
