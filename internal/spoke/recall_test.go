package spoke

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"nave.dev/internal/app"
)

// TestRestartReadsKindsNotObjects stops the spoke, has somebody change and delete an object, and starts another.
func TestRestartReadsKindsNotObjects(t *testing.T) {
	g := on(t)
	var apps []app.Desired
	for i := range 6 {
		a, b := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)
		apps = append(apps, g.desired(fmt.Sprintf("app-%d", i), g.configMap(a, "git"), g.configMap(b, "git")))
	}
	first, stop := g.spoke("first")
	first.Assign(assigned(apps...))
	g.synced(first)
	stop()
	g.change("a1", "by hand")
	g.delete("b2")

	var reads, writes atomic.Int32
	counting := &faulty{}
	counting.set(func(r *http.Request) (*http.Response, error) {
		if strings.Contains(r.URL.Path, g.namespace+"/configmaps/") {
			if r.Method == http.MethodGet {
				reads.Add(1)
			} else {
				writes.Add(1)
			}
		}
		return nil, nil
	})
	second, _ := g.through("second", counting)
	second.Assign(assigned(apps...))
	g.synced(second)
	g.until("what was changed meanwhile is undone", func() bool { return g.value("a1") == "git" && g.value("b2") == "git" })
	if reads.Load() > 4 || writes.Load() != 2 {
		t.Errorf("%d reads and %d writes of objects, want them of the two that somebody touched alone", reads.Load(), writes.Load())
	}
}
