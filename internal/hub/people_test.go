package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/desired"
	"nave.dev/internal/hub/fetching"
	"nave.dev/internal/hub/upkeep"
	"nave.dev/internal/people"
	"nave.dev/internal/people/audit"
	"nave.dev/internal/people/session"
	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
	"nave.dev/internal/tunnel/authority"
)

// still is a cluster that stays as it is, and tells what it was asked to do.
type still struct {
	keeper
	state spoke.State

	mu  sync.Mutex
	did []string
}

func (s *still) note(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, text)
	return nil
}

func (s *still) Known() bool                                    { return true }
func (s *still) State() spoke.State                             { return s.state }
func (s *still) Sync(_ context.Context, app string) error       { return s.note("sync " + app) }
func (s *still) RerunHooks(_ context.Context, app string) error { return s.note("rerun-hooks " + app) }
func (s *still) Confirm(_ context.Context, digest string) error { return s.note("confirm " + digest) }
func (s *still) Pause(_ context.Context, p spoke.Pause) error {
	return s.note("pause " + p.App + " by " + p.Actor)
}
func (s *still) Orphans(context.Context) ([]spoke.Orphan, error) {
	return []spoke.Orphan{{Cluster: s.state.Cluster, App: "gone"}}, nil
}

// lines is a log that a test reads while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(data)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// office is a hub of two clusters that people reach over TLS.
type office struct {
	*testing.T
	*Hub
	log    *lines
	server string
	client *http.Client
	tokens map[string]string // by user
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{T: t, log: &lines{}, tokens: map[string]string{}}
	dir := t.TempDir()
	if err := authority.Init(filepath.Join(dir, "authority"), "acme", time.Now()); err != nil {
		t.Fatal(err)
	}
	memory, err := sqlite.Open(t.Context(), filepath.Join(dir, "store"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	o.Hub = &Hub{sources: fetching.New(&desired.Pipeline{}, nil, nil),
		opts:  Options{Dir: dir, Authority: filepath.Join(dir, "authority"), People: People{API: "127.0.0.1:0"}, Now: time.Now, Log: slog.New(slog.NewTextHandler(o.log, nil))},
		store: memory, pipeline: &desired.Pipeline{}, pauses: map[string][]spoke.Pause{},
		members: map[string]*member{
			"dev-1": {labels: map[string]string{"env": "dev"}, spoke: &still{state: spoke.State{
				Cluster: "dev-1", Online: true, Sync: spoke.Synced, Health: spoke.Health{Status: spoke.Healthy},
				Apps:   []spoke.AppState{{Name: "web", Held: &spoke.Held{Digest: "d1"}}},
				Pauses: []spoke.Pause{{App: "web", Until: until, Actor: "bob", Reason: "before"}},
			}}},
			"prod-1": {labels: map[string]string{"env": "prod"}, spoke: &still{state: spoke.State{
				Cluster: "prod-1", Sync: spoke.OutOfSync, Health: spoke.Health{Status: spoke.HealthUnknown}, Apps: []spoke.AppState{{Name: "web"}, {Name: "billing"}},
			}}},
		},
	}
	o.meet()
	dev := v1alpha1.ClusterSelection{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "dev"}}}
	grants := []v1alpha1.Access{{Group: "platform", Role: v1alpha1.RoleAdmin, Clusters: v1alpha1.ClusterSelection{All: true}}}
	for _, role := range []v1alpha1.Role{v1alpha1.RoleViewer, v1alpha1.RoleOperator, v1alpha1.RoleApprover} {
		grants = append(grants, v1alpha1.Access{Group: string(role), Role: role, Clusters: dev})
	}
	if o.policy, err = people.NewPolicy(append(grants, v1alpha1.Access{Group: "guest", Role: v1alpha1.RoleViewer, Clusters: v1alpha1.ClusterSelection{Names: []string{"prod-1"}}})); err != nil {
		t.Fatal(err)
	}
	file := people.File{Dir: o.opts.Authority}
	for user, groups := range map[string][]string{"vic": {"viewer"}, "otto": {"operator", "guest"}, "ann": {"approver"}, "root": {"platform"}} {
		if err := file.Add(user, groups, ""); err != nil {
			t.Fatal(err)
		}
		if o.tokens[user], err = file.AddToken(user, "ci", time.Hour, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		o.spokes.Wait()
		memory.Close()
	})
	if err := o.serveAPI(ctx, o.api()); err != nil {
		t.Fatal(err)
	}
	o.server = regexp.MustCompile(`people may log in" address=(\S+)`).FindStringSubmatch(o.log.String())[1]
	met, err := session.Meet(t.Context(), o.server, nil)
	if err != nil || !strings.Contains(o.log.String(), "certificate="+met.Fingerprint) {
		t.Fatalf("the fingerprint that the hub shows: %+v, %v\n%s", met, err, o.log)
	}
	if o.client, err = (session.Session{Server: o.server, Roots: string(met.Roots)}).Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.client.CloseIdleConnections)
	return o
}

// call is a call of a user.
func (o *office) call(user, method, path, body string) (int, string) {
	o.Helper()
	request, err := http.NewRequestWithContext(o.Context(), method, "https://"+o.server+path, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+o.tokens[user])
	response, err := o.client.Do(request)
	if err != nil {
		o.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		o.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}

// did returns what a cluster was asked to do since the last time.
func (o *office) did(cluster string) []string {
	s := o.members[cluster].spoke.(*still)
	s.mu.Lock()
	defer s.mu.Unlock()
	did := s.did
	s.did = nil
	return did
}

// TestScope has people of several roles on several clusters do what the API has.
func TestScope(t *testing.T) {
	o := newOffice(t)
	for _, cluster := range []string{"dev-1", "prod-1", ""} {
		o.journal.Add(spoke.Event{Cluster: cluster, Message: "event of " + cluster + "."})
	}
	for _, c := range []struct {
		reason, user, call, body string
		status                   int
		has, hasNot              string
		dev, prod                []string // what clusters were asked to do
	}{
		{"nobody", "", "GET /api/v1/fleet", "", 401, "not logged in", "dev-1", nil, nil},
		{"a fleet is what one sees of it", "vic", "GET /api/v1/fleet", "", 200, `"sync":"Synced"`, "prod-1", nil, nil},
		{"all of it", "root", "GET /api/v1/fleet", "", 200, `"sync":"OutOfSync"`, "nothing", nil, nil},
		{"events of what one sees", "vic", "GET /api/v1/events", "", 200, "event of dev-1.", "event of prod-1.", nil, nil},
		{"events of no cluster", "vic", "GET /api/v1/events", "", 200, "", "event of .", nil, nil},
		{"events of all", "root", "GET /api/v1/events", "", 200, "event of .", "nothing", nil, nil},
		{"orphans of what one sees", "vic", "GET /api/v1/orphans", "", 200, "dev-1", "prod-1", nil, nil},
		{"of a cluster that one does not see", "vic", "GET /api/v1/orphans?cluster=prod-1", "", 403, `needs the role viewer on the cluster "prod-1", and has none`, "", nil, nil},
		{"as of one that is not there", "vic", "GET /api/v1/diff?cluster=prod-9", "", 403, `needs the role viewer on the cluster "prod-9", and has none`, "", nil, nil},
		{"who sees all is told that it is not there", "root", "GET /api/v1/orphans?cluster=prod-9", "", 503, "knows no cluster", "", nil, nil},

		{"a viewer changes nothing", "vic", "POST /api/v1/sync", `{"app": "web"}`, 403, "needs the role operator", "", nil, nil},
		{"a sync is where one may", "otto", "POST /api/v1/sync", `{"app": "web"}`, 200, "dev-1", "prod-1", []string{"sync web"}, nil},
		{"and of hooks", "otto", "POST /api/v1/sync", `{"app": "web", "rerunHooks": true}`, 200, "dev-1", "prod-1", []string{"rerun-hooks web"}, nil},
		{"not where one only sees", "otto", "POST /api/v1/sync", `{"app": "web", "cluster": "prod-1"}`, 403, `needs the role operator on the cluster "prod-1", and has only viewer`, "", nil, nil},
		{"nor if that is all there is", "otto", "POST /api/v1/sync", `{"app": "billing"}`, 403, `on the cluster "prod-1", and has only viewer`, "", nil, nil},
		{"an app that one does not see", "ann", "POST /api/v1/sync", `{"app": "billing"}`, 404, "no cluster", "prod", nil, nil},
		{"a cluster that one does not see", "ann", "POST /api/v1/pause", `{"cluster": "prod-1", "for": 1}`, 403, "and has none", "", nil, nil},
		{"an operator pauses, as whom one is", "otto", "POST /api/v1/pause", `{"app": "web", "for": 3600000000000, "actor": "root", "reason": "looking"}`, 200, "dev-1", "", []string{"pause web by otto"}, nil},
		{"for a week at most", "otto", "POST /api/v1/pause", `{"app": "web", "for": 604800000000001}`, 400, "a week at most", "", nil, nil},
		{"but confirms nothing", "otto", "POST /api/v1/confirm", `{"digest": "d1"}`, 403, "needs the role approver", "", nil, nil},
		{"an approver does", "ann", "POST /api/v1/confirm", `{"digest": "d1", "reason": "retired"}`, 200, "dev-1", "", []string{"confirm d1"}, nil},
		{"and has no cluster join", "ann", "POST /api/v1/join", `{"cluster": "dev-1"}`, 403, "needs the role admin", "", nil, nil},
		{"an admin might", "root", "POST /api/v1/join", `{"cluster": "dev-1"}`, 409, "takes no agents", "", nil, nil},
		{"a viewer reads no logs", "vic", "GET /api/v1/live/logs?cluster=dev-1&name=web", "", 403, "needs the role operator", "", nil, nil},
		{"nor objects", "vic", "GET /api/v1/live/object?cluster=dev-1&kind=Secret&name=web", "", 403, "needs the role operator", "", nil, nil},
		{"but what is measured", "vic", "GET /api/v1/query?cluster=prod-1&query=up", "", 403, `needs the role viewer on the cluster "prod-1"`, "", nil, nil},
		{"profiles", "ann", "GET /debug/pprof/", "", 403, "needs the role admin on all clusters", "", nil, nil},
		{"profiles are for admins of all", "root", "GET /debug/pprof/", "", 200, "goroutine", "", nil, nil},
		{"an admin acts on all", "root", "POST /api/v1/sync", `{"app": "web"}`, 200, "prod-1", "", []string{"sync web"}, []string{"sync web"}},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		status, text := o.call(c.user, method, path, c.body)
		if status != c.status || !strings.Contains(text, c.has) || c.hasNot != "" && strings.Contains(text, c.hasNot) {
			t.Errorf("%s: %s %s by %q: %d %s", c.reason, c.call, c.body, c.user, status, text)
		}
		if diff := cmp.Diff(c.dev, o.did("dev-1")) + cmp.Diff(c.prod, o.did("prod-1")); diff != "" {
			t.Errorf("%s: the clusters were asked for something else:\n%s", c.reason, diff)
		}
	}
	for user, token := range o.tokens {
		if strings.Contains(o.log.String(), token) {
			t.Errorf("the token of %s is in the log", user)
		}
	}
}

// TestAuditOfActions reads what was written down of actions, and who may.
func TestAuditOfActions(t *testing.T) {
	o := newOffice(t)
	for _, step := range [][3]string{
		{"otto", "pause", `{"app": "web", "for": 0, "reason": "over"}`}, {"ann", "confirm", `{"digest": "d1", "reason": "retired"}`},
		{"vic", "sync", `{"app": "web", "cluster": "dev-1", "reason": "why not"}`}, {"root", "sync", `{"app": "billing"}`},
	} {
		o.call(step[0], "POST", "/api/v1/"+step[1], step[2])
	}
	read := func(user, query string) []store.Entry {
		t.Helper()
		var found store.EntryPage
		if status, text := o.call(user, "GET", "/api/v1/audit"+query, ""); status != 200 || json.Unmarshal([]byte(text), &found) != nil {
			t.Fatalf("reading the audit: %d %s", status, text)
		}
		return found.Entries
	}
	line := func(e store.Entry) string { return e.Actor + " " + e.Action + " " + e.Cluster + ": " + e.Outcome }
	var all, dev []string
	for _, e := range read("root", "") {
		all = append(all, line(e))
	}
	for _, e := range read("vic", "") {
		dev = append(dev, line(e))
	}
	want := []string{
		"root sync prod-1: done",
		"vic sync : refused: vic needs the role operator on a cluster, and has only viewer",
		"ann confirm dev-1: done",
		"otto pause dev-1: done",
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[2:], dev); diff != "" {
		t.Errorf("what a viewer of some clusters sees:\n%s", diff)
	}
	paused := read("root", "?actor=otto")[0]
	if !strings.Contains(string(paused.Before), `"actor":"bob","reason":"before"`) || paused.After != nil || paused.Address != "127.0.0.1" || paused.Reason != "over" {
		t.Errorf("a pause that was ended: %+v %s", paused, paused.Before)
	}
	if held := read("root", "?action=confirm&limit=1")[0]; !strings.Contains(string(held.Before), `"digest":"d1","held":{"web":{`) {
		t.Errorf("what was confirmed: %s", held.Before)
	}
	if found := read("root", "?since=2999-01-01T00:00:00Z"); len(found) != 0 {
		t.Errorf("of the future: %v", found)
	}
	if first := read("root", "?limit=1"); len(first) != 1 {
		t.Errorf("a page of one: %v", first)
	}
	for _, query := range []string{"?since=x", "?limit=x", "?before=x"} {
		if status, text := o.call("root", "GET", "/api/v1/audit"+query, ""); status != 400 {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
}

// fullDisk is a store in which nothing more can be written.
type fullDisk struct{ store.Store }

func (fullDisk) Audit(context.Context, store.Entry) (int64, error) {
	return 0, errors.New("database or disk is full")
}

// TestNothingIsDoneUnseen: what cannot be written down is not done.
func TestNothingIsDoneUnseen(t *testing.T) {
	o := newOffice(t)
	o.audit = audit.New(audit.Options{Store: fullDisk{o.store}})
	status, text := o.call("root", "POST", "/api/v1/sync", `{"app": "web"}`)
	if status != 200 || strings.Count(text, "refused, because it cannot be written down: database or disk is full") != 2 {
		t.Errorf("%d %s", status, text)
	}
	if did := slices.Concat(o.did("dev-1"), o.did("prod-1")); len(did) > 0 {
		t.Errorf("done all the same: %v", did)
	}
}

// TestAPIFollowsARotation has the API of a hub without agents show a certificate of the
// new key once that was rotated.
func TestAPIFollowsARotation(t *testing.T) {
	o := newOffice(t)
	before, err := session.Meet(t.Context(), o.server, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := upkeep.Rotate(o.opts.Authority, time.Now()); err != nil {
		t.Fatal(err)
	}
	o.reload()
	after, err := session.Meet(t.Context(), o.server, nil)
	if err != nil || bytes.Equal(before.Roots, after.Roots) {
		t.Errorf("after the rotation the API shows the roots of before (%v)", err)
	}
}
