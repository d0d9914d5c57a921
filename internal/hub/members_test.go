package hub

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/desired"
	"nave.dev/internal/desired/ledger"
)

// TestMembers admits the clusters of one fleet document after another, as the
// clock goes forth and back.
func TestMembers(t *testing.T) {
	const head = "apiVersion: nave.dev/v1alpha1\nkind: "
	repository := t.TempDir()
	pipeline, err := desired.Open(t.Context(), desired.Options{Dir: t.TempDir(), Worktree: repository})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipeline.Close() })
	load := func(clusters string) *desired.Pinned {
		documents := head + "Fleet\nmetadata: {name: f}\n---\n" + clusters
		if err := os.WriteFile(filepath.Join(repository, "fleet.yaml"), []byte(documents), 0o600); err != nil {
			t.Fatal(err)
		}
		pinned, err := pipeline.Pin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return pinned
	}
	const one, pr = head + "Cluster\nmetadata: {name: one}\n", head + "Cluster\nmetadata: {name: pr}\nspec: {expires: 2030-01-01T00:00:00Z}\n"
	now := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
	given, _, err := ledger.Open(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	h := &Hub{ledger: given, opts: Options{Log: slog.New(slog.DiscardHandler), Kubeconfigs: t.TempDir(), Now: func() time.Time { return now }}, members: map[string]*member{}}
	both := one + "---\n" + pr
	for _, c := range []struct {
		reason, clusters string
		now              time.Time
		one, pr          string // what is said of each; "gone" if it is no member
		leaves           bool   // pr's agent is dismissed
	}{
		{"both are members", both, now, "no kubeconfig", "no kubeconfig", false},
		{"the clock jumps ahead: its time is over", both, now.AddDate(5, 0, 0), "no kubeconfig", "expired at 2030", false},
		{"and back: it is not", both, now, "no kubeconfig", "no kubeconfig", false},
		{"ahead again: it is over anew", both, now.AddDate(5, 0, 0), "no kubeconfig", "expired at 2030", false},
		{"and stays there: its agent leaves", both, now.AddDate(5, 0, 0).Add(leaveAfter), "no kubeconfig", "expired at 2030", true},
		{"and back, late", both, now, "no kubeconfig", "no kubeconfig", false},
		{"a document that cannot be read: absence says nothing", one + "---\nkind: [\n", now, "no kubeconfig", "no kubeconfig", false},
		{"a document that can: it has left", one, now, "no kubeconfig", "gone", false},
	} {
		now = c.now
		h.admit(load(c.clusters))
		for name, want := range map[string]string{"one": c.one, "pr": c.pr} {
			got := "gone"
			if m := h.members[name]; m != nil {
				got = m.err
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: of %s it says %q, want %q", c.reason, name, got, want)
			}
		}
		if m := h.members["pr"]; m != nil && (m.over(now) != nil) != c.leaves {
			t.Errorf("%s: its agent is told %v", c.reason, m.over(now))
		}
	}
}
