package kept

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// cluster is a real one on which nothing is kept.
type cluster struct {
	t      *testing.T
	config *rest.Config
	client kubernetes.Interface
}

func on(t *testing.T) *cluster {
	env := testenv.New(t)
	c := &cluster{t: t, config: env.Config, client: kubernetes.NewForConfigOrDie(env.Config)}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: spoke.Namespace}}
	c.client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}) // which may be there
	if err := c.client.CoreV1().Secrets(spoke.Namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: Label}); err != nil {
		t.Fatal(err)
	}
	return c
}

// given is an assignment with the bundles that it names.
type given struct {
	protocol.Assignment
	bundles map[string]*app.Bundle
	asked   []string // bundles, in turn
}

// gives makes an assignment of apps with an object of random bytes each, which do
// not compress: the size in bytes, by the name of the app.
func gives(t *testing.T, number int64, sizes map[string]int) *given {
	t.Helper()
	g := &given{Assignment: protocol.Assignment{Cluster: "one", Fleet: "acme", Number: number, Key: fmt.Sprint(number)}, bundles: map[string]*app.Bundle{}}
	for name, size := range sizes {
		random := rand.New(rand.NewPCG(uint64(size), 0))
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(' ' + 1 + random.IntN(90))
		}
		b, err := app.NewBundle([]*unstructured.Unstructured{{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": map[string]any{"text": string(text)},
		}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		g.bundles[b.Digest] = b
		g.Apps = append(g.Apps, protocol.App{Name: name, Bundle: b.Digest})
	}
	slices.SortFunc(g.Apps, func(a, b protocol.App) int { return strings.Compare(a.Name, b.Name) })
	return g
}

func (g *given) bundle(digest string) ([]byte, error) {
	g.asked = append(g.asked, digest)
	return protocol.EncodeBundle(g.bundles[digest])
}

// holds wants a new process to find an assignment whole.
func (c *cluster) holds(want *given) {
	c.t.Helper()
	have, bundles, ok, err := New(c.client).Load(c.t.Context())
	if err != nil || !ok || have.Number != want.Number {
		c.t.Fatalf("want assignment %d, have %d: %v, %v", want.Number, have.Number, ok, err)
	}
	for digest := range want.bundles {
		if bundles[digest] == nil {
			c.t.Errorf("assignment %d: the bundle %s is missing", want.Number, digest)
		}
	}
}

func (c *cluster) secrets() []corev1.Secret {
	c.t.Helper()
	list, err := c.client.CoreV1().Secrets(spoke.Namespace).List(c.t.Context(), metav1.ListOptions{LabelSelector: Label})
	if err != nil {
		c.t.Fatal(err)
	}
	return list.Items
}

func TestKeep(t *testing.T) {
	c := on(t)
	store := New(c.client)
	if _, _, ok, err := store.Load(t.Context()); ok || err != nil {
		t.Fatalf("something is kept on a cluster that was given nothing: %v", err)
	}
	sizes := map[string]int{}
	for i := range 50 {
		sizes[fmt.Sprintf("app-%02d", i)] = 3000 + i
	}
	first := gives(t, 1, sizes)
	if err := store.Keep(t.Context(), first.Assignment, first.bundle); err != nil {
		t.Fatal(err)
	}
	c.holds(first)
	sizes["app-07"] = 5000
	second := gives(t, 2, sizes)
	if err := store.Keep(t.Context(), second.Assignment, second.bundle); err != nil {
		t.Fatal(err)
	}
	c.holds(second)
	if len(second.asked) != 1 {
		t.Errorf("a change of one app of 50 fetched %d bundles", len(second.asked))
	}
	if size := store.Size(); size.Packs != 2 {
		t.Errorf("after one change there are %d packs", size.Packs)
	}
	for _, secret := range c.secrets() {
		if secret.Labels[excluded] != "true" || len(secret.Data[dataKey]) > maxPack {
			t.Errorf("%s has the labels %v and %d bytes", secret.Name, secret.Labels, len(secret.Data[dataKey]))
		}
	}
	if err := store.Keep(t.Context(), protocol.Assignment{Number: 3}, nil); err != nil {
		t.Fatal(err)
	}
	if left := c.secrets(); len(left) != 1 || left[0].Name != indexName {
		t.Errorf("of an assignment without apps %d Secrets are left", len(left))
	}
}

// A process that was left behind takes nothing from the one that came after it.
func TestTwoProcesses(t *testing.T) {
	c := on(t)
	first := gives(t, 1, map[string]int{"a": 5000})
	older := New(c.client)
	if err := older.Keep(t.Context(), first.Assignment, first.bundle); err != nil {
		t.Fatal(err)
	}
	newer := New(c.client)
	if _, _, _, err := newer.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := gives(t, 2, map[string]int{"a": 5000, "b": 6000})
	if err := newer.Keep(t.Context(), second.Assignment, second.bundle); err != nil {
		t.Fatal(err)
	}
	third := gives(t, 3, map[string]int{"c": 7000})
	if err := older.Keep(t.Context(), third.Assignment, third.bundle); !errors.Is(err, ErrOther) {
		t.Errorf("the older one keeps something: %v", err)
	}
	c.holds(second)
}

// One bundle is larger than a pack, and many commits leave no heap of packs.
func TestLargeAndMany(t *testing.T) {
	c := on(t)
	store := New(c.client)
	large := gives(t, 1, map[string]int{"large": 2 << 20})
	if err := store.Keep(t.Context(), large.Assignment, large.bundle); err != nil {
		t.Fatal(err)
	}
	c.holds(large)
	store = small(c.client)
	if _, _, _, err := store.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{"large": 70_000, "a": 1000, "b": 1100, "c": 1200}
	for number := range int64(12) {
		sizes["a"] = 1000 + int(number)
		sizes["b"] = 1100 + int(number)
		next := gives(t, number+2, sizes)
		if err := store.Keep(t.Context(), next.Assignment, next.bundle); err != nil {
			t.Fatal(err)
		}
		if number > 0 && len(next.asked) > 3 {
			t.Errorf("commit %d wrote %d bundles, and changed two", number, len(next.asked))
		}
		c.holds(next)
	}
	if size := store.Size(); size.Packs > 7 {
		t.Errorf("after 12 commits there are %d packs", size.Packs)
	}
}

// small returns a Store of small packs, of which there are several soon.
func small(client kubernetes.Interface) *Store {
	s := New(client)
	s.most = 20_000
	return s
}

var errDead = errors.New("the process is dead")

// dying lets so many writes through, and then nothing. after has the one that
// kills take effect.
type dying struct {
	to    http.RoundTripper
	left  int
	after bool
}

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.left < 0 {
		return nil, errDead
	}
	if r.Method != http.MethodGet {
		if d.left--; d.left < 0 {
			if d.after {
				if answer, err := d.to.RoundTrip(r); err == nil {
					answer.Body.Close()
				}
			}
			return nil, errDead
		}
	}
	return d.to.RoundTrip(r)
}

// TestAKillAtAnyWrite kills the process at every write, before and after it takes
// effect: there is the old assignment whole, or the new one.
func TestAKillAtAnyWrite(t *testing.T) {
	c := on(t)
	before := gives(t, 1, map[string]int{"a": 30_000, "b": 2000, "c": 3000, "d": 4000})
	after := gives(t, 2, map[string]int{"b": 2001, "c": 3000, "e": 30_000})
	for _, effect := range []bool{false, true} {
		for writes, done := 0, false; !done; writes++ {
			fresh := small(c.client)
			if _, _, _, err := fresh.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := fresh.Keep(t.Context(), before.Assignment, before.bundle); err != nil {
				t.Fatal(err)
			}
			config := rest.CopyConfig(c.config)
			config.Wrap(func(to http.RoundTripper) http.RoundTripper { return &dying{to: to, left: writes, after: effect} })
			dead := small(kubernetes.NewForConfigOrDie(config))
			if _, _, _, err := dead.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			done = dead.Keep(t.Context(), after.Assignment, after.bundle) == nil
			have, _, _, err := New(c.client).Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if have.Number == 1 {
				c.holds(before)
			} else {
				c.holds(after)
			}
			// What goes on from there ends in the new one, and leaves nothing else.
			next := small(c.client)
			if _, _, _, err := next.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := next.Keep(t.Context(), after.Assignment, after.bundle); err != nil {
				t.Fatal(err)
			}
			c.holds(after)
			if have, want := len(c.secrets())-1, next.Size().Packs; have != want {
				t.Errorf("killed after %d writes: %d packs are there, and %d are known", writes, have, want)
			}
			if done && writes < 3 {
				t.Errorf("all was done after %d writes", writes)
			}
		}
	}
}

// What somebody changed is found by its digest, and written again.
func TestDamage(t *testing.T) {
	damages := map[string]func(*cluster, *corev1.Secret) error{
		"another content": func(c *cluster, pack *corev1.Secret) error {
			pack.Data[dataKey][100] ^= 1
			_, err := c.client.CoreV1().Secrets(spoke.Namespace).Update(context.Background(), pack, metav1.UpdateOptions{})
			return err
		},
		"half of it": func(c *cluster, pack *corev1.Secret) error {
			pack.Data[dataKey] = pack.Data[dataKey][:100]
			_, err := c.client.CoreV1().Secrets(spoke.Namespace).Update(context.Background(), pack, metav1.UpdateOptions{})
			return err
		},
		"gone": func(c *cluster, pack *corev1.Secret) error {
			return c.client.CoreV1().Secrets(spoke.Namespace).Delete(context.Background(), pack.Name, metav1.DeleteOptions{})
		},
	}
	for reason, damage := range damages {
		c := on(t)
		given := gives(t, 1, map[string]int{"a": 5000})
		store := New(c.client)
		if err := store.Keep(t.Context(), given.Assignment, given.bundle); err != nil {
			t.Fatal(err)
		}
		for _, secret := range c.secrets() {
			if secret.Name != indexName {
				if err := damage(c, &secret); err != nil {
					t.Fatal(err)
				}
			}
		}
		again := New(c.client)
		a, bundles, ok, err := again.Load(t.Context())
		if err != nil || !ok || a.Number != 1 || len(bundles) != 0 {
			t.Errorf("%s: %v, %v, %d bundles", reason, ok, err, len(bundles))
		}
		if err := again.Keep(t.Context(), given.Assignment, given.bundle); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
		c.holds(given)
	}
}

// An index that cannot be read is as if there were none, and is replaced.
func TestDamagedIndex(t *testing.T) {
	c := on(t)
	if _, err := c.client.CoreV1().Secrets(spoke.Namespace).Create(t.Context(), secret(indexName, "index", []byte("x")), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	store := New(c.client)
	if _, _, ok, err := store.Load(t.Context()); ok || err == nil {
		t.Errorf("a damaged index is taken: %v", err)
	}
	given := gives(t, 1, map[string]int{"a": 5000})
	if err := store.Keep(t.Context(), given.Assignment, given.bundle); err != nil {
		t.Fatal(err)
	}
	c.holds(given)
}
