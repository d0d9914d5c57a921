package memo

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"nave.dev/internal/app"
)

// TestResultsInUse holds on to a result that the cache's bound is too small for.
func TestResultsInUse(t *testing.T) {
	c := New(Options{MaxMemory: 24_000})
	held := keep(t, c, "held", "held", 10_000)
	keep(t, c, "dropped", "dropped", 10_000)
	for i := range 10 {
		name := fmt.Sprintf("other-%d", i)
		keep(t, c, name, name, 10_000)
	}
	if len(c.results.used.items) > 2 {
		t.Fatalf("%d results are held on to", len(c.results.used.items))
	}
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		runtime.GC()
		c.results.mu.Lock()
		left := len(c.results.alive)
		c.results.mu.Unlock()
		if left <= 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d results are still known, of which one is held and two may be", left)
		}
	}
	if has(c, "dropped", "dropped") {
		t.Error("what nobody held is found")
	}
	s, _ := source("held")
	found, ok := c.Find("held", s, app.Facts{})
	if !ok || found.Bundle != held.Bundle {
		t.Error("what is held is not found, or twice in memory")
	}
	if _, ok := c.results.used.get(c.results.digestOf(held.Bundle)); !ok {
		t.Error("what was found is not the one used last")
	}
	runtime.KeepAlive(held.Bundle)
}

// digestOf returns under which digest a bundle is.
func (r *results) digestOf(bundle *app.Bundle) string {
	for digest, t := range r.alive {
		if t.bundle.Value() == bundle {
			return digest
		}
	}
	return ""
}

// TestWeight holds the estimate against what the heap says.
func TestWeight(t *testing.T) {
	const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","labels":{"app":"web","team":"a"}},
		"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[
		{"name":"web","image":"registry.example.org/shop/web:1.2.3","env":[{"name":"LEVEL","value":"info"},{"name":"PORT","value":"8080"}],
		"ports":[{"name":"http","containerPort":8080}],"resources":{"limits":{"cpu":"1","memory":"64Mi"},"requests":{"cpu":"100m","memory":"32Mi"}},
		"readinessProbe":{"httpGet":{"path":"/ready","port":"http"}},"securityContext":{"runAsNonRoot":true}}]}}}}`
	out := output("x", 1)
	out.Objects[0] = []byte(deployment)
	bundles := make([]*app.Bundle, 2000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range bundles {
		bundle, err := out.Bundle()
		if err != nil {
			t.Fatal(err)
		}
		bundles[i] = bundle
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int64(after.HeapAlloc-before.HeapAlloc) / int64(len(bundles))
	if estimate := weightOf(bundles[0]); estimate < each/2 || estimate > each*2 {
		t.Errorf("estimated %d bytes, and it is %d", estimate, each)
	} else {
		t.Logf("estimated %d bytes, and it is %d, for %d bytes of JSON", estimate, each, len(deployment))
	}
	runtime.KeepAlive(bundles)
}
