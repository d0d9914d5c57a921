package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/change"
	"nave.dev/internal/desired"
	"nave.dev/internal/hub"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// moment is when all happens in these tests, on the clock of this machine.
var moment = time.Date(2030, 1, 31, 18, 0, 0, 0, time.Local)

var (
	well   = spoke.Health{Status: spoke.Healthy}
	unwell = read(`{"status": "Degraded", "reasons": [{"name": "apps/Deployment shop/cart", "status": "Degraded", "message": "0 of 3 are ready\nand more"}]}`)
)

// read returns a health as a hub's answer has it.
func read(text string) (h spoke.Health) {
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		panic(err)
	}
	return h
}

// member is a cluster that is online, with apps.
func member(name string, sync spoke.SyncStatus, h spoke.Health, apps ...spoke.AppState) hub.Cluster {
	synced := 0
	for _, app := range apps {
		if app.Sync == spoke.Synced {
			synced++
		}
	}
	return hub.Cluster{AppCount: len(apps), AppsSynced: synced, State: spoke.State{Cluster: name, Online: true, Writer: true, Version: "v1.36.3", Sync: sync, Health: h, Apps: apps}}
}

// troubled is a fleet with everything wrong that the screen can show.
func troubled() hub.Fleet {
	offline := member("lab-2", spoke.Unknown, spoke.Health{Status: spoke.HealthUnknown})
	offline.Online, offline.OfflineSince, offline.Error = false, moment, "connection refused\nhint: none"
	paused := member("prod-us-1", spoke.Synced, well, spoke.AppState{Name: "cart", Sync: spoke.Synced, Health: well})
	paused.Pauses = []spoke.Pause{{App: "cart", Until: moment, Actor: "ada", Reason: "incident 88"}, {Until: moment, Actor: "ben", Reason: "repair"}}
	foreign := member("prod-us-2", spoke.Synced, well)
	foreign.Writer = false
	return hub.Fleet{
		Name: "acme", Sync: spoke.OutOfSync, Health: unwell,
		Revision: hub.Revision{
			Commit: "0123456789abcdef0123456789abcdef01234567", Subject: "cart: 3 replicas",
			Problems: []string{"clusters/bad.yaml:6:3: no such field"}, Error: "reading the tree: broken",
		},
		Clusters: []hub.Cluster{
			member("lab-1", spoke.OutOfSync, unwell,
				spoke.AppState{Name: "base", Sync: spoke.OutOfSync, Health: well, Message: "holds 6 deletions: more than 5", Held: &spoke.Held{Digest: "3f9a0c1de2b4a596"}},
				spoke.AppState{Name: "cart", Parent: "shop", Sync: spoke.Synced, Health: unwell},
				spoke.AppState{Name: "fine", Sync: spoke.Synced, Health: well}),
			offline, paused, foreign,
		},
	}
}

// golden compares a table with a file, or writes the file.
func golden(t *testing.T, name string, table func(io.Writer)) {
	t.Helper()
	var have bytes.Buffer
	if err := writeTable(&have, 0, table); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, have.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have.String()); diff != "" {
		t.Errorf("%s (-want +have)\n%s", name, diff)
	}
}

func TestTables(t *testing.T) {
	golden(t, "status-troubled.golden", func(w io.Writer) { writeStatus(w, troubled()) })
	golden(t, "status-unreachable.golden", func(w io.Writer) {
		failing := func(name, source, text string, fetched time.Time) desired.SourceState {
			s := desired.SourceState{Name: name}
			s.Source, s.Err, s.Failures = source, fmt.Sprintf("fetching source %q: %s", source, text), 3
			s.FailingSince, s.LastFetched = moment, fetched
			return s
		}
		fleet := hub.Fleet{Sync: spoke.Unknown, Health: well, NextFetch: moment, Sources: []desired.SourceState{
			failing("", "fleet-repository", "git ls-remote: connection refused", time.Time{}),
			failing("team", "team", "git ls-remote: authentication failed", moment),
			{Name: "fine"},
		}}
		fleet.Revision.Error = "resolving the fleet repository: the source has not been fetched yet: " + fleet.Sources[0].Err
		writeStatus(w, fleet)
	})
	golden(t, "status-well.golden", func(w io.Writer) {
		writeStatus(w, hub.Fleet{Name: "acme", Sync: spoke.Synced, Health: well, Clusters: []hub.Cluster{
			member("lab-1", spoke.Synced, well, spoke.AppState{Name: "cart", Sync: spoke.Synced, Health: well}),
		}})
	})
	deployment := object.ID{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "cart"}
	golden(t, "events.golden", func(w io.Writer) {
		writeEvents(w, []spoke.Event{
			{Time: moment, Cluster: "lab-1", Kind: spoke.EventOnline, Message: "answers again"},
			{Time: moment, Cluster: "prod-us-1", App: "cart", Kind: spoke.EventDrift, Message: "1 corrected", Changes: change.Set{{
				Object: deployment, Action: change.Corrected, Reason: "changed by kubectl",
				Fields: []change.Field{{Path: "spec.replicas", From: 5, To: 1, Manager: "kubectl"}},
			}}},
			{Time: moment, Cluster: "prod-us-1", App: "cart", Kind: spoke.EventApplied, Message: "1 updated", Changes: change.Set{{Object: deployment, Action: change.Updated}}},
		})
	})
}

// TestStatusIsOneScreen wants that a fleet on fire does not scroll away.
func TestStatusIsOneScreen(t *testing.T) {
	var apps []spoke.AppState
	for i := range 100 {
		apps = append(apps, spoke.AppState{Name: fmt.Sprintf("app-%d", i), Sync: spoke.OutOfSync, Health: well})
	}
	var out bytes.Buffer
	writeStatus(&out, hub.Fleet{Clusters: []hub.Cluster{member("lab-1", spoke.OutOfSync, well, apps...)}})
	if lines := strings.Count(out.String(), "\n"); lines > 40 {
		t.Errorf("status has %d lines", lines)
	}
	if !strings.Contains(out.String(), "and 70 more: nave apps") {
		t.Errorf("status does not say how many apps it leaves out:\n%s", out.String())
	}
}

func TestReason(t *testing.T) {
	for _, c := range []struct {
		reason string
		app    spoke.AppState
		want   string
	}{
		{"an app that is well has none", spoke.AppState{Health: well}, ""},
		{"the message comes before the health", spoke.AppState{Message: "waits for base", Health: unwell}, "waits for base"},
		{"of the health, the worst part and one line", spoke.AppState{Health: unwell}, "apps/Deployment shop/cart: 0 of 3 are ready"},
		{"a long one is cut between letters", spoke.AppState{Message: strings.Repeat("a", 239) + "é and more"}, strings.Repeat("a", 239) + "…"},
		{"what is held beside a problem does not solve it", spoke.AppState{
			Message: "no key", Problems: change.Set{{Action: change.Failed}}, Held: &spoke.Held{Digest: "3f9a", Objects: make([]object.ID, 1)},
		}, "no key; also holds 1 deletion, to allow: nave confirm 3f9a"},
		{"what is held says how to allow it", spoke.AppState{Message: "holds 6", Held: &spoke.Held{Digest: "3f9a"}}, "holds 6; to allow: nave confirm 3f9a"},
	} {
		if have := reason(c.app); have != c.want {
			t.Errorf("%s: %q, want %q", c.reason, have, c.want)
		}
	}
}

func TestConverged(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	healthy := member("lab-1", spoke.Synced, well)
	away := member("lab-2", spoke.Synced, well)
	away.Online = false
	var many []hub.Cluster
	for i := range 7 {
		many = append(many, member(fmt.Sprintf("c-%d", i), spoke.OutOfSync, well))
	}
	for _, c := range []struct {
		reason   string
		fleet    hub.Fleet
		revision string
		done     bool
		line     string
	}{
		{"all are well", hub.Fleet{Clusters: []hub.Cluster{healthy}, Revision: hub.Revision{Commit: commit}}, "0123", true,
			"1 of 1 clusters are Synced and Healthy at commit 0123456789ab"},
		{"no cluster is no success", hub.Fleet{}, "", false, "0 of 0 clusters are Synced and Healthy"},
		{"another commit is in force", hub.Fleet{Clusters: []hub.Cluster{healthy}, Revision: hub.Revision{Commit: commit}}, "ffff", false,
			"waits for commit ffff; the hub has 0123456789ab"},
		{"the newest commit could not be read", hub.Fleet{Clusters: []hub.Cluster{healthy}, Revision: hub.Revision{Error: "broken\nhint"}}, "", false,
			"1 of 1 clusters are Synced and Healthy; Git's newest state is not in force: broken"},
		{"what was well before it went away does not count", hub.Fleet{Clusters: []hub.Cluster{healthy, away}}, "", false,
			"1 of 2 clusters are Synced and Healthy; waiting for lab-2"},
		{"unhealthy", hub.Fleet{Clusters: []hub.Cluster{member("lab-1", spoke.Synced, unwell)}}, "", false,
			"0 of 1 clusters are Synced and Healthy; waiting for lab-1"},
		{"many are not all named", hub.Fleet{Clusters: many}, "", false,
			"0 of 7 clusters are Synced and Healthy; waiting for c-0, c-1, c-2, c-3, c-4 and 2 more"},
	} {
		if done, line := converged(c.fleet, c.revision); done != c.done || line != c.line {
			t.Errorf("%s: %t, %q; want %t, %q", c.reason, done, line, c.done, c.line)
		}
	}
}

func TestAmong(t *testing.T) {
	for _, c := range []struct {
		reason   string
		clusters []string
		all      int
		want     string
	}{
		{"sorted", []string{"b", "a"}, 3, "a, b"},
		{"all of several", []string{"b", "a"}, 2, "all 2 clusters"},
		{"all of one has a name", []string{"a"}, 1, "a"},
		{"a few of many", []string{"f", "e", "d", "c", "b", "a"}, 9, "a, b, c, d and 2 more"},
	} {
		if have := among(c.clusters, c.all); have != c.want {
			t.Errorf("%s: %q, want %q", c.reason, have, c.want)
		}
	}
}

func TestNameFor(t *testing.T) {
	for dir, want := range map[string]string{"acme": "acme", "a/b/Team_Shop": "team-shop", "/": "fleet", "-x-": "fleet", "größe": "fleet"} {
		if have := nameFor(dir); have != want {
			t.Errorf("nameFor(%q) = %q, want %q", dir, have, want)
		}
	}
}
