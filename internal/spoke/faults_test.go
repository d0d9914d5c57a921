package spoke

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/apply/cluster"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/fight"
	"nave.dev/internal/spoke/record"
)

// owner is the app whose marks a ConfigMap carries, and which object it is.
func (g *ground) owner(name string) (owner, uid string) {
	g.Helper()
	found, err := g.person.CoreV1().ConfigMaps(g.namespace).Get(g.Context(), name, metav1.GetOptions{})
	if err != nil {
		g.Fatal(err)
	}
	return found.Labels[object.AppLabel], string(found.UID)
}

// TestTwoClaimants gives an object of one app to a second one as well, whose name
// comes before or after.
func TestTwoClaimants(t *testing.T) {
	for _, second := range []string{"a", "z"} {
		t.Run(second, func(t *testing.T) {
			g := on(t)
			s, _ := g.spoke("first")
			first := g.desired("m", g.configMap("shared", "m"))
			s.Assign(assigned(first))
			g.synced(s)
			s.Assign(assigned(first, g.desired(second, g.configMap("shared", second), g.configMap("own", second))))
			g.until("the second is applied", func() bool { return g.value("own") == second })
			g.until("the conflict is shown", func() bool {
				for _, shown := range s.State().Apps {
					if shown.Name == second && strings.Contains(shown.Message, `the app "m" has it too, and keeps it`) {
						return true
					}
				}
				return false
			})
			if got := g.value("shared"); got != "m" {
				t.Errorf("shared = %q: the second app took it", got)
			}
		})
	}
}

// TestOwnerInErrorKeepsItsObjects restarts a spoke while an app is in error and
// another app has one of its objects in Git: that the first gave it up is not
// known.
func TestOwnerInErrorKeepsItsObjects(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("first")
	s.Assign(assigned(g.desired("owner", g.configMap("shared", "owner"))))
	g.synced(s)
	stop()

	s, _ = g.spoke("first")
	other := g.desired("other", g.configMap("shared", "other"), g.configMap("own", "other"))
	s.Assign(assigned(other, app.Desired{Name: "owner", Err: errors.New("rendering fails")}))
	g.until("the other app is applied", func() bool { return g.value("own") == "other" })
	g.until("the conflict is shown", func() bool { return strings.Contains(s.State().Apps[0].Message, `the app "owner"`) })
	if got := g.value("shared"); got != "owner" {
		t.Errorf("shared = %q: it was taken from an app whose objects are not known", got)
	}
	s.Assign(assigned(other, g.desired("owner", g.configMap("left", "owner"))))
	g.until("it moves once it is known", func() bool { return g.value("shared") == "other" })
}

// TestObjectsMove moves an object between apps, and an app to another name, in
// one commit. Nothing is deleted on the way.
func TestObjectsMove(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []string // app and its objects
	}{
		"to an earlier name": {[]string{"m=keep,moves"}, []string{"m=keep", "a=moves"}},
		"to a later name":    {[]string{"m=keep,moves"}, []string{"m=keep", "z=moves"}},
		"swapped":            {[]string{"a=moves", "z=keep"}, []string{"a=keep", "z=moves"}},
		"renamed":            {[]string{"m=keep,moves"}, []string{"n=keep,moves"}},
		"split":              {[]string{"m=keep,moves"}, []string{"a=keep", "z=moves"}},
		"merged":             {[]string{"a=keep", "z=moves"}, []string{"m=keep,moves"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := on(t)
			assign := func(s *Spoke, apps []string) {
				a := assigned()
				for _, text := range apps {
					name, objects, _ := strings.Cut(text, "=")
					var made []*unstructured.Unstructured
					for object := range strings.SplitSeq(objects, ",") {
						made = append(made, g.configMap(object, "v"))
					}
					a.Apps = append(a.Apps, g.desired(name, made...))
				}
				a.Sort()
				s.Assign(a)
			}
			s, _ := g.spoke("first")
			assign(s, c.before)
			g.synced(s)
			_, keep := g.owner("keep")
			_, moves := g.owner("moves")
			assign(s, c.after)
			g.synced(s)
			for _, text := range c.after {
				app, objects, _ := strings.Cut(text, "=")
				for name := range strings.SplitSeq(objects, ",") {
					owner, uid := g.owner(name)
					if owner != (object.Owner{Fleet: "fleet", App: app}).Label() || uid != map[string]string{"keep": keep, "moves": moves}[name] {
						t.Errorf("%s is of %q and was made anew: %t", name, owner, uid != keep && uid != moves)
					}
				}
			}
		})
	}
}

// TestRecordLostWhileAway deletes the record between two runs. What is known from
// the marks is enough to go on, within the budgets.
func TestRecordLostWhileAway(t *testing.T) {
	g := on(t)
	s, stop := g.spoke("first")
	const apps, each = 4, 6
	all := func(size int) *Assigned {
		a := assigned()
		for i := range apps {
			var objects []*unstructured.Unstructured
			for j := range size {
				objects = append(objects, g.configMap(fmt.Sprintf("m-%d-%d", i, j), "v"))
			}
			a.Apps = append(a.Apps, g.desired(fmt.Sprintf("app-%d", i), objects...))
		}
		return a
	}
	s.Assign(all(each))
	g.synced(s)
	stop()
	if err := g.person.CoreV1().Secrets(record.Namespace).Delete(t.Context(), record.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s, _ = g.spoke("first")
	s.Assign(all(each - 4)) // 4 of each app, 16 of the cluster: more than its 10
	g.until("deletions are held", func() bool {
		held, synced := 0, 0
		for _, shown := range s.State().Apps {
			if shown.Held != nil {
				held++
			} else if shown.Sync == Synced {
				synced++
			}
		}
		return held > 0 && held+synced == apps
	})
	left := 0
	for i := range apps {
		for j := range each {
			if g.value(fmt.Sprintf("m-%d-%d", i, j)) != "" {
				left++
			}
		}
	}
	if left < apps*each-10 {
		t.Errorf("%d of %d objects are left: more than the cluster's budget went", left, apps*each)
	}
}

// faulty answers some requests in the server's place while a fault lasts.
type faulty struct {
	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error)
}

func (f *faulty) set(answer func(*http.Request) (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// through returns the way to the cluster that passes by the fault.
func (f *faulty) through(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			f.mu.Lock()
			answer := f.answer
			f.mu.Unlock()
			if answer != nil {
				if response, err := answer(r); response != nil || err != nil {
					return response, err
				}
			}
			return next.RoundTrip(r)
		})
	})
	return config
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(r *http.Request, code int, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Status: fmt.Sprint(code), ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// TestGroupThatIsDown has an aggregated API whose server is dead, as discovery
// tells of it, from the beginning of a session.
func TestGroupThatIsDown(t *testing.T) {
	g := on(t)
	fault := &faulty{}
	fault.set(func(r *http.Request) (*http.Response, error) {
		switch {
		case r.URL.Path == "/apis":
			return answer(r, 200, `{"kind":"APIGroupList","apiVersion":"v1","groups":[
				{"name":"coordination.k8s.io","versions":[{"groupVersion":"coordination.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"coordination.k8s.io/v1","version":"v1"}},
				{"name":"down.example.org","versions":[{"groupVersion":"down.example.org/v1","version":"v1"}],"preferredVersion":{"groupVersion":"down.example.org/v1","version":"v1"}}]}`), nil
		case strings.HasPrefix(r.URL.Path, "/apis/down.example.org"):
			return answer(r, 503, "the server is down"), nil
		}
		return nil, nil
	})
	s, _ := g.through("first", fault)
	lost := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "down.example.org/v1", "kind": "Lost", "metadata": map[string]any{"name": "l", "namespace": g.namespace},
	}}
	s.Assign(assigned(g.desired("lost", lost), g.desired("web", g.configMap("a", "one"))))
	g.until("the other app is applied", func() bool { return g.value("a") == "one" })
	g.until("the app says which group is down", func() bool {
		state := s.State()
		return state.Online && len(state.Apps) == 2 && strings.Contains(state.Apps[0].Message, "down.example.org") && state.Apps[1].Sync == Synced
	})
	g.delete("a")
	g.until("drift of the other app is corrected", func() bool { return g.value("a") == "one" })
}

// TestCredentialsThatEnd has the cluster refuse the credentials from some time on.
func TestCredentialsThatEnd(t *testing.T) {
	g := on(t)
	fault := &faulty{}
	s, _ := g.through("first", fault)
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	fault.set(func(r *http.Request) (*http.Response, error) {
		return answer(r, 401, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`), nil
	})
	s.Assign(assigned(g.desired("web", g.configMap("a", "two"))))
	g.until("the cluster is away", func() bool { state := s.State(); return !state.Online && strings.Contains(state.Error, "nauthorized") })
	if err := s.Sync(t.Context(), "web"); err == nil {
		t.Error("an app of a cluster that lets nobody in was said to be synced")
	}
	s.Reach(g.env.Config) // new credentials
	g.until("the cluster is back", func() bool { return g.value("a") == "two" })
	g.synced(s)
}

// TestWhatConcernsOneKind tells errors of watches that keep a cluster from being
// written from those that do not.
func TestWhatConcernsOneKind(t *testing.T) {
	gone := errors.New("connection refused")
	for name, c := range map[string]struct {
		reason string
		err    error
		away   bool
	}{
		"refused":      {"nobody answers", gone, true},
		"unauthorized": {"nobody is let in", apierrors.NewUnauthorized("expired"), true},
		"conversion":   {"a webhook that is down", apierrors.NewInternalError(gone), false},
		"forbidden":    {"a right is missing", apierrors.NewForbidden(schema.GroupResource{}, "", gone), false},
		"too late":     {"a webhook, or a server behind the API server, that hangs", cluster.ErrTimeout, false},
		"undiscovered": {"a group that cannot be asked", &cluster.UnknownKindError{Failing: gone}, false},
	} {
		told := 0
		s := &session{
			spoke: New(Options{Listener: Listener{Event: func(Event) { told++ }}}),
			away:  map[schema.GroupKind]error{}, trouble: map[schema.GroupKind]bool{},
		}
		kind := schema.GroupKind{Kind: "Thing"}
		for range 2 {
			s.interrupted(apply.Event{Type: apply.Interrupted, Kind: kind, Err: fmt.Errorf("watching: %w", c.err)})
		}
		if _, away := s.away[kind]; away != c.away || !c.away && told != 1 {
			t.Errorf("%s: away %t, told %d times: %s", name, away, told, c.reason)
		}
	}
}

// TestServerThatHangs has nothing of the cluster answered for a while.
func TestServerThatHangs(t *testing.T) {
	g := on(t)
	fault := &faulty{}
	s, _ := g.through("first", fault)
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	fault.set(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	g.ahead.Store(int64(2 * recordCheck))
	s.Assign(assigned(g.desired("web", g.configMap("a", "two"))))
	g.until("the cluster is offline", func() bool {
		state := s.State()
		return !state.Online && strings.Contains(state.Error, "cluster record")
	})
	fault.set(nil)
	g.until("it catches up", func() bool { return g.value("a") == "two" })
	g.synced(s)
}

// TestServerWithAnExpiredCertificate is not talked to.
func TestServerWithAnExpiredCertificate(t *testing.T) {
	g := on(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expired := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, expired, expired, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	defer server.Close()
	s, stop := g.through("first", &faulty{})
	s.Reach(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}})
	g.until("it says why", func() bool { state := s.State(); return !state.Online && strings.Contains(state.Error, "expired") })
	stop()
	if asked > 0 {
		t.Errorf("%d requests were sent all the same", asked)
	}
}

// TestFight has another tool undo each correction of one object.
func TestFight(t *testing.T) {
	g := on(t)
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("calm", g.configMap("b", "one")), g.desired("contested", g.configMap("a", "one"))))
	g.synced(s)
	undone := 0
	undo := func() bool {
		if g.value("a") == "one" {
			patch := []byte(`{"data":{"key":"two"}}`)
			_, err := g.person.CoreV1().ConfigMaps(g.namespace).Patch(t.Context(), "a", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "other-tool"})
			if err != nil {
				t.Fatal(err)
			}
			undone++
		}
		return undone > fight.Usual
	}
	g.until("it is a fight", undo)
	before := undone
	for range 5 {
		g.delete("b")
		g.until("the other app is corrected", func() bool { undo(); return g.value("b") == "one" })
	}
	if undone-before > 3 { // each time it takes twice as long
		t.Errorf("while others were corrected 5 times, the contested one was %d times", undone-before)
	}
}

// TestKindThatComesLater has an object whose definition is not there yet.
func TestKindThatComesLater(t *testing.T) {
	g := on(t)
	group := g.namespace + ".example.org"
	thing := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "Thing", "metadata": map[string]any{"name": "t", "namespace": g.namespace},
	}}
	s, _ := g.spoke("first")
	s.Assign(assigned(g.desired("things", thing, g.configMap("a", "one"))))
	g.until("it says what it waits for", func() bool {
		state := s.State()
		return len(state.Apps) == 1 && strings.Contains(state.Apps[0].Message, "no kind Thing."+group) && g.value("a") == "one"
	})
	g.define("Thing", "v1")
	g.synced(s)
}

// TestRepairThatFails refuses the write that would undo drift: it is undone once
// writes are let in again, though nothing happens to the object any more.
func TestRepairThatFails(t *testing.T) {
	g := on(t)
	fault := &faulty{}
	s, _ := g.through("first", fault)
	s.Assign(assigned(g.desired("web", g.configMap("a", "one"))))
	g.synced(s)
	refused := make(chan struct{}, 1)
	fault.set(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPatch || !strings.Contains(r.URL.Path, "/configmaps/a") {
			return nil, nil
		}
		select {
		case refused <- struct{}{}:
		default:
		}
		return answer(r, 403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"not now","code":403}`), nil
	})
	g.delete("a")
	<-refused
	g.until("the app says so", func() bool { return strings.Contains(describe(s.State()), "not now") })
	fault.set(nil)
	g.until("it is undone", func() bool { return g.value("a") == "one" })
	g.synced(s)
}
