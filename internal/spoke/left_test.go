package spoke

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/spoke/record"
)

func departed(r *record.Record, name, kind string, since time.Time) {
	r.Applied = append(r.Applied, name)
	r.Kinds[name] = []string{kind}
	if r.Left == nil {
		r.Left = map[string]time.Time{}
	}
	r.Left[name] = since
}

func size(t *testing.T, r record.Record) int {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return len(data)
}

// TestRecordForgets has a thousand apps gone from a cluster, of which nothing is
// left but the objects of one and a kind that cannot be listed of another.
func TestRecordForgets(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("first")
	web := g.desired("web", g.configMap("a", "one"))
	s.Assign(assigned(g.desired("orphaned", g.configMap("b", "one")), g.desired("removed", g.configMap("c", "one")), web))
	g.synced(s)
	s.Assign(assigned(web))
	g.until("two apps have left", func() bool { return len(g.record().Left) == 2 })
	g.delete("c")
	stop()
	g.edit(func(r *record.Record) {
		for i := range 1000 {
			departed(r, fmt.Sprintf("preview-%04d", i), "ConfigMap", time.Now().Add(-time.Hour))
		}
		departed(r, "unlisted", "Gone.example.org", time.Now().Add(-time.Hour))
	})
	before := size(t, g.record())

	s, _ = g.spoke("first")
	s.Assign(assigned(web))
	check := func(want ...string) {
		t.Helper()
		g.until("what is gone is forgotten", func() bool {
			g.ahead.Add(int64(recordCheck))
			return len(g.record().Applied) <= len(want)
		})
		r := g.record()
		if diff := cmp.Diff(want, r.Applied); diff != "" {
			t.Errorf("applied (-want +have):\n%s", diff)
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(r.Kinds))); diff != "" {
			t.Errorf("kinds (-want +have):\n%s", diff)
		}
	}
	check("orphaned", "unlisted", "web")
	if after := size(t, g.record()); after > 1000 {
		t.Errorf("the record had %d bytes, and has %d", before, after)
	}
	orphans, err := s.Orphans(t.Context())
	if err != nil || len(orphans) != 1 || orphans[0].App != "orphaned" || orphans[0].Since.IsZero() {
		t.Errorf("orphans: %v, %v", orphans, err)
	}
	g.delete("b")
	check("unlisted", "web")
	s.Assign(assigned(web, g.desired("orphaned", g.configMap("b", "two"))))
	g.until("one that was forgotten comes back", func() bool { return g.value("b") == "two" })
	g.synced(s)
}

func TestForget(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := record.Record{Kinds: map[string][]string{}}
	departed(&r, "gone", "ConfigMap", now.Add(-record.ForgetAfter))
	departed(&r, "here", "ConfigMap", now.Add(-record.ForgetAfter))
	departed(&r, "later", "ConfigMap", now.Add(time.Hour)) // the clock went back
	departed(&r, "young", "ConfigMap", now.Add(time.Second-record.ForgetAfter))
	r.Applied = append(r.Applied, "zoo") // which is assigned
	r.Forget(func(app string) bool { return app != "here" }, now)
	if want := []string{"here", "later", "young", "zoo"}; !slices.Equal(r.Applied, want) || len(r.Left) != 3 || len(r.Kinds) != 3 {
		t.Errorf("it remembers %v, want %v", r, want)
	}
}

// TestRecordThatIsTooLarge has no room for another app. Nothing of the record is
// lost, and nothing is applied that it does not tell of.
func TestRecordThatIsTooLarge(t *testing.T) {
	g := on(t)
	g.edit(func(r *record.Record) {
		departed(r, "full", "Gone.example.org", time.Now())
		r.Left[strings.Repeat("x", corev1.MaxSecretSize-size(t, *r)-50)] = time.Now()
	})
	before := g.record()
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.until("it is refused", func() bool {
		state := s.State()
		return state.Online && strings.Contains(state.Error, "cluster record would have")
	})
	if diff := cmp.Diff(before, g.record()); diff != "" || g.value("a") != "" {
		t.Errorf("a = %q, and of the record (-before +now):\n%s", g.value("a"), diff)
	}
	if err := g.person.CoreV1().Secrets(record.Namespace).Delete(t.Context(), record.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.edit(func(r *record.Record) { departed(r, "full", "Gone.example.org", time.Now()) })
	g.ahead.Store(int64(2 * recordCheck))
	g.until("with room it is applied", func() bool { return g.value("a") == "one" })
	g.synced(s)
}
