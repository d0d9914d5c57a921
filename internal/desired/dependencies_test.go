package desired

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withDependency is a fleet whose web is a chart of its own that depends on a chart of a repository.
func withDependency(s *chartServer, version, more string) map[string]string {
	files := fleetFiles()
	files["fleet.yaml"] += "spec:\n  sources:\n  - {name: charts, type: helm, url: '" + s.URL + "'" + more + "}\n"
	files["deliveries/web.yaml"] = delivery("web", "source: {path: chart}", "limits: {namespaces: [shop]}",
		"helm: {values: {common: {tag: '${cluster.labels.env}'}}}")
	files["chart/Chart.yaml"] = "apiVersion: v2\nname: own\nversion: 1.0.0\ndependencies:\n- {name: web, alias: common, version: " + version + ", repository: '" + s.URL + "/'}\n"
	return files
}

func TestChartDependency(t *testing.T) {
	s := newChartServer(t)
	first := s.add(t, "1.0.0", chartFiles("web:1"))
	r := newRepository(t)
	r.commit(withDependency(s, "1.x", ", deliveries: [web]"))
	p := r.open(nil)
	pinned := pin(t, p)
	before := pinned.ID()
	if got := image(t, compile(t, p, pinned), "prod-eu"); got != "web:1-prod" { // what was never fetched is when it is needed
		t.Fatalf("rendered with %s", got)
	}
	if diff := cmp.Diff(map[string]string{"charts@chart:web:1.x": first}, pinned.Sources); diff != "" || pinned.ID() == before {
		t.Errorf("the archive is not pinned (-want +have):\n%s", diff)
	}
	renders := p.render.Stats().Renders
	compile(t, p, pin(t, p))
	if now := p.render.Stats().Renders; now != renders {
		t.Errorf("%d renders of what is as it was", now-renders)
	}

	// A new version; the snapshot stays as it is.
	s.add(t, "1.1.0", chartFiles("web:2"))
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pinned), "prod-eu"); got != "web:1-prod" {
		t.Errorf("the same snapshot again: %s", got)
	}
	if got := image(t, compile(t, p, pin(t, p)), "prod-eu"); got != "web:2-prod" {
		t.Errorf("after the new version: %s", got)
	}

	// A second chart of a source that was fetched is fetched when it is needed, and then does without its repository.
	r.commit(withDependency(s, "~1.0", ", deliveries: [web]"))
	fetch(t, p, nil)
	if got := image(t, compile(t, p, pin(t, p)), "dev-1"); got != "web:1-dev" {
		t.Errorf("with another range: %s", got)
	}
	s.setAway(true)
	if got := image(t, compile(t, p, pin(t, p)), "dev-1"); got != "web:1-dev" {
		t.Errorf("while the repository is away: %s", got)
	}
	r.commit(withDependency(s, "1.0.0", ", deliveries: [web]"))
	fetch(t, p, nil)
	if got := image(t, compile(t, p, pin(t, p)), "dev-1"); !strings.Contains(got, "502 Bad Gateway") {
		t.Errorf("a range that was never fetched: %s", got)
	}
}

func TestChartDependencyRefused(t *testing.T) {
	s := newChartServer(t)
	s.add(t, "1.0.0", chartFiles("web:1"))
	for reason, test := range map[string]struct {
		version, more, want string
	}{
		"the source of others": {"1.x", ", deliveries: [settings]", `chart/Chart.yaml:5: dependency "web" 1.x is not in charts/: source "charts" may not be used by Delivery "web"`},
		"unsigned":             {"1.x", ", deliveries: [web], verify: {keyringFile: settings/settings.yaml}", "it comes without a provenance file"},
		"no such version":      {"3.x", ", deliveries: [web]", `none of its 1 versions is in "3.x"`},
	} {
		t.Run(reason, func(t *testing.T) {
			r := newRepository(t)
			r.commit(withDependency(s, test.version, test.more))
			p := r.open(nil)
			if got := image(t, compile(t, p, pin(t, p), "prod-eu"), "prod-eu"); !strings.Contains(got, test.want) {
				t.Errorf("%s\nlacks %q", got, test.want)
			}
		})
	}
	r := newRepository(t)
	files := withDependency(s, "1.x", ", deliveries: [web]")
	files["chart/Chart.yaml"] = strings.Replace(files["chart/Chart.yaml"], s.URL, "https://charts.example.com", 1)
	r.commit(files)
	p := r.open(nil)
	want := `add it to the Fleet's spec.sources: {name: charts.example.com, type: helm, url: "https://charts.example.com/", deliveries: [web]}`
	if got := image(t, compile(t, p, pin(t, p), "prod-eu"), "prod-eu"); !strings.Contains(got, want) {
		t.Errorf("%s\nlacks %q", got, want)
	}
}

// Where others fetch, they are told what a render found.
func TestChartDependencyNeeds(t *testing.T) {
	s := newChartServer(t)
	s.add(t, "1.0.0", chartFiles("web:1"))
	r := newRepository(t)
	r.commit(withDependency(s, "1.x", ", deliveries: [web]"))
	p := r.open(func(o *Options) { o.SourcesApart = true })
	pinned := pin(t, p)
	if got := image(t, compile(t, p, pinned), "dev-1"); !strings.Contains(got, "has not been fetched yet") {
		t.Errorf("before others have fetched it: %s", got)
	}
	if needs := pinned.Needs("charts"); !slices.Contains(needs, s.URL+" chart:web:1.x") {
		t.Errorf("needs %q", needs)
	}
	fetch(t, p, pinned)
	if got := image(t, compile(t, p, pin(t, p)), "dev-1"); got != "web:1-dev" {
		t.Errorf("after it: %s", got)
	}
}
