package agent

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/protocol"
	"nave.dev/internal/tunnel"
)

// TestGive has the agent take what is its own, refuse what is not, and do nothing
// twice.
func TestGive(t *testing.T) {
	refused := strconv.Itoa(protocol.StatusRefused)
	w := newWorld(t, tunnel.Limits{})
	w.gives(5, map[string]int{"a": 100})
	w.start(w.address, func(o *Options) { o.Refuse = []string{protocol.Confirm} })
	w.synced()
	w.mu.Lock()
	link, first := w.link, w.given
	w.mu.Unlock()
	for _, test := range []struct {
		reason string
		change func(*protocol.Assignment)
		want   string // what the agent says begins with it; empty: it takes it
	}{
		{"it was given that, and the answer was lost", func(*protocol.Assignment) {}, ""},
		{"of another cluster", func(a *protocol.Assignment) { a.Cluster = "two" }, refused + ` the assignment is that of the cluster "two"`},
		{"of another fleet", func(a *protocol.Assignment) { a.Fleet = "other" }, refused + ` the assignment is of the fleet "other"`},
		{"an older one that comes late", func(a *protocol.Assignment) { a.Number, a.Key = 4, "key 4" }, refused + " assignment 4 is older than 5"},
		{"one that cannot be read by itself", func(a *protocol.Assignment) {
			a.Number, a.Key, a.Apps = 6, "key 6", append(a.Apps, a.Apps...)
		}, refused + ` assignment 6 has the app "a" twice`},
		{"one whose bundle the hub does not give", func(a *protocol.Assignment) {
			a.Number, a.Key, a.Apps = 6, "key 6", []protocol.App{{Name: "a", Bundle: "absent"}}
		}, "500 fetching the bundle absent: the hub answered 403 Forbidden"},
	} {
		given := first
		given.Apps = append([]protocol.App{}, first.Apps...)
		test.change(&given)
		if said := w.put(t.Context(), link, given); !strings.HasPrefix(said, test.want) || test.want == "" && said != "" {
			t.Errorf("%s: the agent says %q, want %q", test.reason, said, test.want)
		}
	}
	for _, test := range []struct{ do, want string }{
		{protocol.Confirm, refused + ` the agent of one does not answer "confirm" by its own configuration`},
		{"format", refused + ` the agent knows no action "format"`},
	} {
		if said := w.call(t.Context(), link, http.MethodPost, protocol.ActionPath, `{"do": "`+test.do+`"}`, nil); !strings.HasPrefix(said, test.want) {
			t.Errorf("asked to %s the agent says %q, want %q", test.do, said, test.want)
		}
	}
	if diff := cmp.Diff(map[string]int{"a": 1}, w.applied()); diff != "" {
		t.Errorf("applied, -want +have:\n%s", diff)
	}
	var lease protocol.Lease
	if said := w.call(t.Context(), link, http.MethodGet, protocol.LeasePath, "", &lease); said != "" || !lease.Held || lease.Cluster == "" {
		t.Errorf("of its lease the agent says %+v %q", lease, said)
	}
}

// TestIdentityOfAClusterThatHangs has a cluster that takes a question and never
// answers be an error in time: what the agent has in memory is used then.
func TestIdentityOfAClusterThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://cluster", QPS: -1, Transport: hangs{}})
		if err != nil {
			t.Fatal(err)
		}
		k := identity{client, func(time.Time) {}}
		began := time.Now()
		if _, err := k.Load(t.Context()); !errors.Is(err, errIdentity) {
			t.Errorf("loading ended with %v", err)
		}
		if err := k.Store(t.Context(), tunnel.Credentials{}); !errors.Is(err, errIdentity) {
			t.Errorf("storing ended with %v", err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("they took %s", took)
		}
	})
}

// hangs is a cluster that never answers; a test that waits for longer than an hour
// fails.
type hangs struct{}

func (hangs) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
	defer cancel()
	<-ctx.Done()
	return nil, context.Cause(ctx)
}
