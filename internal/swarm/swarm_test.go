package swarm

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/lab/bench"
)

// TestSwarm goes through all phases with a few agents and a real hub.
func TestSwarm(t *testing.T) {
	if testing.Short() {
		t.Skip("builds nave")
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "nave"), "nave.dev/cmd/nave").CombinedOutput(); err != nil {
		t.Fatalf("building nave: %v: %s", err, out)
	}
	var told []string
	const agents, apps = 10, 5
	figures, err := Run(t.Context(), Options{
		Agents: agents, Apps: apps, Phase: 2 * time.Second, Every: time.Second, Bin: bin,
		Measured: func(f bench.Figure) { told = append(told, f.Bench) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if line, held := Summary(figures); !held {
		t.Error(line)
	}
	if got, want := slices.Compact(told), []string{"enrol", "idle", "one-line", "readme", "churn", "storm", "killed", "lost"}; !cmp.Equal(got, want) {
		t.Errorf("phases: %s", cmp.Diff(want, got))
	}
	value := func(phase, name string) float64 {
		at := slices.IndexFunc(figures, func(f bench.Figure) bool { return f.Bench == phase && f.Name == name })
		if at < 0 {
			t.Errorf("no figure %q of the phase %q", name, phase)
			return -1
		}
		return figures[at].Value
	}
	for _, c := range []struct {
		phase, name string
		least, most float64
		reason      string
	}{
		{"enrol", "bundles sent", agents * apps, agents * apps, "every agent fetches each bundle once"},
		{"one-line", "assignments sent", agents, agents, "the commit concerns every cluster, once"},
		{"one-line", "bundles sent", agents, agents, "of an assignment only what is new is fetched"},
		{"readme", "assignments sent", 0, 0, "the commit concerns no cluster"},
		{"churn", "reports", agents, 1e6, "something happens on every cluster"},
		{"storm", "assignments sent", 0, 0, "what a cluster has it is not sent again"},
		{"killed", "bundles sent", 0, 0, "what a cluster has it does not fetch again"},
		{"killed", "assignments sent", 0, 0, "the hub remembers what it gave"},
		{"lost", "bundles sent", 0, 0, "renders are the same again"},
	} {
		if got := value(c.phase, c.name); got < c.least || got > c.most {
			t.Errorf("%s: %s: %g, want %g to %g: %s", c.phase, c.name, got, c.least, c.most, c.reason)
		}
	}
}

func TestSummary(t *testing.T) {
	bar := 10.0
	for _, c := range []struct {
		reason  string
		figures []bench.Figure
		held    bool
		words   string
	}{
		{"within", []bench.Figure{{Value: 10, Bar: &bar}, {Value: 1000}}, true, "all 1 bars held"},
		{"over", []bench.Figure{{Bench: "churn", Name: "a page", Unit: "ms", Value: 11, Bar: &bar}, {Value: 1, Bar: &bar}}, false, "1 of 2 bars did not hold: churn, a page: 11 ms, bar 10"},
		{"nothing was measured", nil, false, "all 0 bars held"},
	} {
		line, held := Summary(c.figures)
		if held != c.held || !strings.Contains(line, c.words) {
			t.Errorf("%s: %t, %q", c.reason, held, line)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		reason string
		opts   Options
		want   []string
	}{
		{"the zero value is the size of the bars", Options{}, nil},
		{"all problems at once", Options{Agents: 20_000, Apps: -1, Phase: -1}, []string{"20000 agents", "-1 apps", "not negative"}},
	} {
		err := c.opts.Validate()
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.reason, err)
		}
		for _, words := range c.want {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q in it", c.reason, err, words)
			}
		}
	}
}
