package soak

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	const text = `# HELP go_goroutines Number of goroutines that currently exist.
go_goroutines 12
nave_cluster_online{cluster="one"} 1
nave_cluster_synced{cluster="one"} 1
nave_cluster_healthy{cluster="one"} 0
nave_cluster_watches{cluster="one"} 20
nave_cluster_watches{cluster="two"} 22
nave_revision_info{commit="abc"} 1
of another form
`
	m := parseMetrics(strings.NewReader(text), "")
	if got := m.sum("nave_cluster_watches"); got != 42 {
		t.Errorf("the sum of watches is %v, want 42", got)
	}
	if got := m.sum("go_goroutines"); got != 12 {
		t.Errorf("goroutines are %v, want 12", got)
	}
	if !m.has("nave_revision_info", "abc") || m.has("nave_revision_info", "ab") {
		t.Error("the commit in force is not told from another")
	}
	for _, c := range []struct {
		cluster string
		healthy bool
		trouble bool
	}{{"one", false, false}, {"one", true, true}, {"two", false, true}} {
		if got := m.trouble(c.cluster, c.healthy); (got != "") != c.trouble {
			t.Errorf("trouble of %s: %q", c.cluster, got)
		}
	}
	if got := parseMetrics(strings.NewReader(text), "nave_cluster_watches"); len(got) != 2 {
		t.Errorf("series with a prefix: %v", got)
	}
}

func TestProcess(t *testing.T) {
	anonymous, resident, err := memory(os.Getpid())
	if err != nil || anonymous < mebibyte || resident < anonymous {
		t.Errorf("memory: %v of %v, %v", anonymous, resident, err)
	}
	child := exec.Command("cat")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(children(os.Getpid()), child.Process.Pid) {
		t.Error("a child is not found")
	}
	stdin.Close()
	child.Wait()
}
