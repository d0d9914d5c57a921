package program

import (
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		reason string
		info   debug.BuildInfo
		want   string
	}{
		{"a release that was installed as a module", debug.BuildInfo{
			GoVersion: "go1.26.1", Main: debug.Module{Version: "v1.2.3"},
			Deps: []*debug.Module{{Path: "k8s.io/api", Version: "v0.36.2"}, {Path: "k8s.io/client-go", Version: "v0.36.3"}},
		}, "v1.2.3 (go1.26.1; Kubernetes libraries v0.36.3)"},
		{"a build from a repository with changes", debug.BuildInfo{
			GoVersion: "go1.26.1", Main: debug.Module{Version: "(devel)"},
			Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"},
				{Key: "vcs.time", Value: "2026-03-04T23:30:00-05:00"}, {Key: "vcs.modified", Value: "true"},
			},
		}, "(devel) (commit 0123456789ab of 2026-03-05, changed since; go1.26.1)"},
		{"a build that knows nothing", debug.BuildInfo{}, "(devel)"},
	} {
		if got := Describe(&c.info); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}

func TestStateDir(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("THING_DIR", "")
	if got, want := StateDir("THING_DIR", "thing"), filepath.Join(home, ".local", "state", "thing"); got != want {
		t.Errorf("by default %q, want %q", got, want)
	}
	t.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
	if got, want := StateDir("THING_DIR", "thing"), filepath.Join(home, "state", "thing"); got != want {
		t.Errorf("with a state directory %q, want %q", got, want)
	}
	t.Setenv("THING_DIR", filepath.Join(home, "elsewhere"))
	if got, want := StateDir("THING_DIR", "thing"), filepath.Join(home, "elsewhere"); got != want {
		t.Errorf("where the variable says: %q, want %q", got, want)
	}
}
