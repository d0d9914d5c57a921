package lab_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestStories plays the text files in testdata with the built programs, as a
// user would type them. Each has a lab of its own in $NAVE_LAB_DIR.
func TestStories(t *testing.T) {
	play(t, "testdata", map[string]func(*testscript.TestScript, bool, []string){
		"kill-up": killUp, "interrupt-up": interruptUp, "kill-process": killProcess,
		"same": same, "nothing-runs": nothingRuns, "received": received,
	})
}

// play runs the stories of a directory, with some commands of their own.
func play(t *testing.T, stories string, commands map[string]func(*testscript.TestScript, bool, []string)) {
	commands["eventually"] = eventually
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"nave", "nave-lab", "kube", "kwok", "kubectl", "helm"} {
		if _, err := os.Stat(filepath.Join(bin, program)); err != nil {
			t.Fatalf("%v\nhint: make build", err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 stories,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			// Sockets have short names.
			dir, err := os.MkdirTemp("", "lab")
			if err != nil {
				return err
			}
			env.Setenv("NAVE_LAB_DIR", dir)
			env.Setenv("NAVE_DIR", filepath.Join(dir, "nave"))
			env.Setenv("EXAMPLES", filepath.Join(filepath.Dir(bin), "examples"))
			env.Setenv("KUBECONFIGS", filepath.Join(dir, "kubeconfigs"))
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+who+"_NAME", "lab")
				env.Setenv("GIT_"+who+"_EMAIL", "lab@example.org")
			}
			env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			env.Defer(func() {
				down := exec.Command(filepath.Join(bin, "nave-lab"), "down", "--delete", "--dir", dir)
				if output, err := down.CombinedOutput(); err != nil {
					t.Errorf("nave-lab down: %v\n%s", err, output)
				}
				for _, process := range processesOf(dir) {
					t.Errorf("left after down: %s", process)
				}
				left, _ := os.ReadDir(dir)
				for _, entry := range left {
					t.Errorf("left after down --delete: %s", entry)
				}
			})
			env.Values[receiverKey{}] = newReceiver(env)
			env.Values[hubKey{}] = &hubProcess{}
			env.Defer(func() { env.Values[hubKey{}].(*hubProcess).stop() })
			env.Values[lineKey{}] = &line{}
			env.Values[agentsKey{}] = agentProcesses{}
			env.Defer(func() { env.Values[agentsKey{}].(agentProcesses).stop() })
			return nil
		},
		Cmds: commands,
	})
}

// processesOf lists the command lines of processes that name the directory.
func processesOf(dir string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && bytes.Contains(line, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// program returns a command with the story's path, directory and lab.
func program(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if file := filepath.Join(dir, name); !strings.Contains(name, "/") {
			if _, err := os.Stat(file); err == nil {
				name = file
			}
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, variable := range []string{"HOME", "PATH", "TMPDIR", "NAVE_LAB_DIR", "NAVE_DIR", "KUBECONFIGS"} {
		cmd.Env = append(cmd.Env, variable+"="+ts.Getenv(variable))
	}
	return cmd
}

// eventually [!] COMMAND… repeats a command until it succeeds (with !, fails),
// for at most two minutes.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	fail := args[0] == "!"
	if fail {
		args = args[1:]
	}
	deadline, tick := time.After(2*time.Minute), time.Tick(200*time.Millisecond)
	for {
		output, err := program(ts, args[0], args[1:]...).CombinedOutput()
		if (err != nil) == fail {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("still not so after 2 minutes: %v\n%s", err, output)
		case <-tick:
		}
	}
}

// killUp ARGUMENT… runs nave-lab up and kills it as soon as the first control
// plane has a process.
func killUp(ts *testscript.TestScript, _ bool, args []string) {
	cmd := startUp(ts, args)
	ts.Check(cmd.Process.Kill())
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		ts.Fatalf("up was not killed: %v", err)
	}
}

// interruptUp ARGUMENT… is killUp with an interrupt, as from the keyboard.
func interruptUp(ts *testscript.TestScript, _ bool, args []string) {
	cmd := startUp(ts, args)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		ts.Fatalf("an interrupted up: %v, want exit code 130", err)
	}
}

// startUp runs nave-lab up until the first control plane has a process.
func startUp(ts *testscript.TestScript, args []string) *exec.Cmd {
	cmd := program(ts, "nave-lab", append([]string{"up"}, args...)...)
	cmd.Stderr = ts.Stderr()
	ts.Check(cmd.Start())
	deadline, tick := time.After(time.Minute), time.Tick(5*time.Millisecond)
	for {
		if files, _ := filepath.Glob(filepath.Join(ts.Getenv("NAVE_LAB_DIR"), "run", "*~kube-apiserver.json")); len(files) > 0 {
			break
		}
		select {
		case <-deadline:
			ts.Fatalf("no API server was started within a minute")
		case <-tick:
		}
	}
	return cmd
}

// killProcess TEXT kills the one process of the lab whose command line has the text.
func killProcess(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("pkill", "-KILL", "-f", args[0]+".*"+ts.Getenv("NAVE_LAB_DIR"))
	if output, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("%v %s", err, output)
	}
}

// nothingRuns fails if a process of the lab is left. One that was forked and not
// yet recorded when its starter was killed ends by itself at the gate, so it
// gets a moment.
func nothingRuns(ts *testscript.TestScript, _ bool, _ []string) {
	deadline, tick := time.After(30*time.Second), time.Tick(50*time.Millisecond)
	for {
		left := processesOf(ts.Getenv("NAVE_LAB_DIR"))
		if len(left) == 0 {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("still running:\n%s", strings.Join(left, "\n"))
		case <-tick:
		}
	}
}

// same FILE FILE compares the pids in two status files: nothing was restarted.
func same(ts *testscript.TestScript, neg bool, args []string) {
	pids := func(file string) string {
		var lines []string
		for line := range strings.Lines(ts.ReadFile(file)) {
			if strings.Contains(line, `"pid"`) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return strings.Join(lines, " ")
	}
	if a, b := pids(args[0]), pids(args[1]); (a == b) == neg || a == "" {
		ts.Fatalf("pids:\n%s\n%s", a, b)
	}
}

// receiver is where webhooks of a story arrive.
type receiver struct {
	mu     sync.Mutex
	bodies []string
	told   chan struct{}
}

type receiverKey struct{}

func newReceiver(env *testscript.Env) *receiver {
	r := &receiver{told: make(chan struct{}, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		r.bodies = append(r.bodies, request.Header.Get("X-GitHub-Event")+" "+request.Header.Get("X-Hub-Signature-256")+" "+string(body))
		r.mu.Unlock()
		r.told <- struct{}{}
	}))
	env.Setenv("WEBHOOK", server.URL)
	env.Defer(server.Close)
	return r
}

// received TEXT… waits until one webhook came that holds all the texts.
func received(ts *testscript.TestScript, _ bool, args []string) {
	r := ts.Value(receiverKey{}).(*receiver)
	deadline := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		for _, body := range r.bodies {
			missing := false
			for _, text := range args {
				missing = missing || !strings.Contains(body, text)
			}
			if !missing {
				r.mu.Unlock()
				return
			}
		}
		bodies := strings.Join(r.bodies, "\n")
		r.mu.Unlock()
		select {
		case <-r.told:
		case <-deadline:
			ts.Fatalf("no webhook with %q; received:\n%s", args, bodies)
		}
	}
}
