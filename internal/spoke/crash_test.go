package spoke

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// errDead stands for a process that is no more.
var errDead = errors.New("the process is dead")

// dying lets a number of writes through and then none of its requests, as when the
// process is killed before the next one.
type dying struct {
	mu     sync.Mutex
	writes int // let through
	limit  int
	dead   bool
}

func (d *dying) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// passes decides about one request.
func (d *dying) passes(r *http.Request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	// The lease is renewed by the clock; the other writes come in order.
	if !d.dead && r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/leases") {
		d.writes++
		d.dead = d.writes > d.limit
	}
	return !d.dead
}

// TestRule6AKillAtAnyWriteAndARerunConverge kills a spoke at every write of a
// commit that creates, changes, moves and deletes, those of the record included,
// and has another one go on.
func TestRule6AKillAtAnyWriteAndARerunConverge(t *testing.T) {
	for limit := 0; ; limit++ {
		g := on(t)
		before := assigned(
			g.desired("a", g.configMap("stays", "one"), g.configMap("moves", "one")),
			g.desired("b", g.configMap("goes", "one"), g.configMap("changes", "one")))
		account := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ServiceAccount", "metadata": map[string]any{"name": "new", "namespace": g.namespace},
		}}
		next := assigned(
			g.desired("a", g.configMap("stays", "one")),
			g.desired("b", g.configMap("changes", "two"), account),
			g.desired("c", g.configMap("moves", "two")))
		s, stop := g.spoke("first")
		s.Assign(before)
		g.synced(s)
		stop()
		_, moves := g.owner("moves")

		fault, death := &faulty{}, &dying{limit: limit}
		fault.set(func(r *http.Request) (*http.Response, error) {
			if death.passes(r) {
				return nil, nil
			}
			return nil, errDead
		})
		s, stop = g.through("first", fault)
		s.Assign(next)
		g.until("it is dead or done", func() bool { state := s.State(); return death.isDead() || state.Online && state.Sync == Synced })
		stop()

		s, stop = g.spoke("first")
		s.Assign(next)
		g.synced(s)
		stop()
		at := fmt.Sprintf("killed after %d writes", limit)
		for name, want := range map[string]string{"stays": "one", "changes": "two", "moves": "two", "goes": ""} {
			if got := g.value(name); got != want {
				t.Errorf("%s: %s = %q, want %q", at, name, got, want)
			}
		}
		if _, uid := g.owner("moves"); uid != moves {
			t.Errorf("%s: the object that moves was made anew", at)
		}
		if _, err := g.person.CoreV1().ServiceAccounts(g.namespace).Get(t.Context(), "new", metav1.GetOptions{}); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if r := g.record(); fmt.Sprint(r.Applied) != "[a b c]" || fmt.Sprint(r.Kinds["b"]) != "[ConfigMap ServiceAccount]" {
			t.Errorf("%s: the record is %+v", at, r)
		}
		if !death.isDead() {
			if limit < 6 { // the record, four objects, the record again
				t.Errorf("only %d writes", limit)
			}
			break
		}
	}
}
