package cli

import (
	"context"
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories print into them")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nave": nave})
}

// nave is the command as its main has it, but for rendering in the same process.
func nave() {
	ctx := context.Background()
	err := New("test", nil).ExecuteContext(ctx)
	os.Exit(Report(ctx, err, os.Stderr))
}

// TestStories plays what a user types who has no hub.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/stories",
		UpdateScripts:       *rewrite,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NAVE_DIR", env.WorkDir+"/.nave")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "story")
				env.Setenv("GIT_"+who+"_EMAIL", "story@example.com")
			}
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits CODE COMMAND… runs a command, whose output stdout, stderr and cmp then
// see, and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	ts.Setenv("CODE", args[0])
	err := ts.Exec("sh", append([]string{"-c", `"$@"; code=$?; [ $code = "$CODE" ] || { echo "exit code $code, want $CODE" >&2; exit 1; }`, "sh"}, args[1:]...)...)
	if err != nil {
		ts.Fatalf("%s: %v\n%s", args[1], err, ts.ReadFile("stderr"))
	}
}
