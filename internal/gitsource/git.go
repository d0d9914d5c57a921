package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// git is the git command of this machine, cut off from the settings of its users.
type git struct {
	program string
	config  string   // the only configuration file that it reads besides a mirror's own
	env     []string // what every command is given
}

// oldestGit is the oldest version that is taken. GIT_CONFIG_GLOBAL and geometric repacking came with 2.32; 2.34 is what
// the oldest distributions in use have.
const oldestGit = "2.34"

// configuration is what every git command works by.
const configuration = `# Written by Nave at every start: the settings of git for its mirrors.
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	askPass =
	logAllRefUpdates = false
	fsmonitor = false
[credential]
	helper =
[protocol]
	version = 2
[http]
	followRedirects = initial
	lowSpeedLimit = 1
	lowSpeedTime = 60
[fetch]
	recurseSubmodules = false
	writeCommitGraph = false
	unpackLimit = 1
[transfer]
	unpackLimit = 1
[submodule]
	recurse = false
[gc]
	auto = 0
[maintenance]
	auto = false
[repack]
	writeBitmaps = false
[pack]
	windowMemory = 64m
`

// passedOn are the variables of this process that commands see: where programs are, where temporary files go, and how
// to get out of the network.
var passedOn = []string{"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTPS_PROXY",
	"all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"}

// newGit finds the git command, checks its version and writes its configuration into dir.
func newGit(ctx context.Context, program, dir string) (*git, error) {
	if program == "" {
		program = "git"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("looking for git, which must be installed: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil { // commands run in other directories
		return nil, fmt.Errorf("looking for git: %w", err)
	}
	g := &git{program: path, config: filepath.Join(dir, "gitconfig")}
	if err := writeFile(g.config, []byte(configuration), false); err != nil {
		return nil, err
	}
	for _, name := range passedOn {
		if value, ok := os.LookupEnv(name); ok {
			g.env = append(g.env, name+"="+value)
		}
	}
	g.env = append(g.env,
		"LC_ALL=C",
		"HOME=/dev/null", // curl would read .netrc there
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL="+g.config,
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_NO_LAZY_FETCH=1",
		"SSH_ASKPASS_REQUIRE=never",
	)
	out, err := g.run(ctx, call{args: []string{"version"}, dir: dir})
	if err != nil {
		return nil, err
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "git version ")
	if !atLeast(version, oldestGit) {
		return nil, fmt.Errorf("git is version %s and must be %s or newer", version, oldestGit)
	}
	return g, nil
}

// atLeast compares the first two numbers of versions.
func atLeast(version, oldest string) bool {
	numbers := func(v string) (major, minor int) {
		fields := strings.SplitN(v+".0", ".", 3)
		major, _ = strconv.Atoi(fields[0])
		minor, _ = strconv.Atoi(fields[1])
		return major, minor
	}
	major, minor := numbers(version)
	wantMajor, wantMinor := numbers(oldest)
	return major > wantMajor || major == wantMajor && minor >= wantMinor
}

// call is one git command.
type call struct {
	args   []string
	dir    string // to run in
	repo   string // the repository; empty for a command without one
	stdin  []byte
	remote *access  // set if the command reaches the remote
	lock   *os.File // inherited, so that the lock lasts as long as any process of the command
}

// maxOutput bounds what a git command may print, in bytes: about a million refs.
const maxOutput = 100 << 20

// How much of a command's last words is heard and then repeated in an error, in bytes. Far more is heard, so that a
// password that was cut in two at the beginning, and so not found, is never among what is repeated.
const (
	maxHeard = 256 << 10
	maxSaid  = 2 << 10
)

// run runs a git command with its descendants in a process group, which ends with ctx, and returns what it prints.
// The error is a *gitError if git ran and failed.
func (g *git) run(ctx context.Context, c call) ([]byte, error) {
	cmd := exec.CommandContext(ctx, g.program, c.args...)
	g.prepare(cmd, c)
	out := &boundedBuffer{max: maxOutput}
	said := &tailBuffer{max: maxHeard}
	cmd.Stdout, cmd.Stderr = out, said
	if c.stdin != nil {
		cmd.Stdin = bytes.NewReader(c.stdin)
	}
	started := func() {}
	if c.remote != nil {
		var err error
		if started, err = c.remote.attach(cmd); err != nil {
			return nil, err
		}
	}
	if c.lock != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.lock)
	}
	err := cmd.Start()
	started()
	if err == nil {
		err = wait(cmd)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case out.overflowed:
		return nil, fmt.Errorf("git %s printed more than %d bytes", c.args[0], maxOutput)
	case errors.As(err, &exit):
		var secrets []string
		if c.remote != nil {
			secrets = c.remote.secrets()
		}
		text := redact(strings.TrimSpace(said.String()), secrets...)
		return out.Bytes(), &gitError{command: c.args[0], err: err, said: text[max(0, len(text)-maxSaid):]}
	case err != nil:
		return nil, fmt.Errorf("running git %s: %w", c.args[0], err)
	}
	return out.Bytes(), nil
}

// reader is a git command that only reads from a repository, to be started by somebody else.
func (g *git) reader(c call) *exec.Cmd {
	cmd := exec.Command(g.program, c.args...)
	g.prepare(cmd, c)
	cmd.Cancel, cmd.WaitDelay = nil, 0 // those are for commands with a context
	return cmd
}

// prepare sets what a command is given besides its arguments.
func (g *git) prepare(cmd *exec.Cmd, c call) {
	ownGroup(cmd)
	cmd.Dir = c.dir
	cmd.Env = append([]string{}, g.env...)
	if c.repo != "" {
		cmd.Env = append(cmd.Env, "GIT_DIR="+c.repo)
	} else {
		// No repository around the cache is to be found.
		cmd.Env = append(cmd.Env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(c.dir))
	}
	if c.remote == nil {
		cmd.Env = append(cmd.Env, "GIT_ALLOW_PROTOCOL=none")
	}
}

// grace is how long processes have to end after they were asked to, and their output to end after them.
const grace = 5 * time.Second

// ownGroup makes a command the head of a process group, so that a key pressed in a terminal does not end it before
// its parent decides, and its descendants end with it when its context does.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
}

// wait waits for a command with a group of its own, and kills what is left of the group if the command was ended.
func wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	if state := cmd.ProcessState; state == nil || !state.Exited() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return err
}

// gitError is a git command that failed.
type gitError struct {
	command string
	err     error
	said    string
}

func (e *gitError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("git %s: %v", e.command, e.err)
	}
	said := e.said
	if strings.Contains(said, "HOST IDENTIFICATION HAS CHANGED") { // in a frame of many lines
		said = "the server shows the host key " + fingerprint.FindString(said) + ", and known_hosts has another one for it"
	}
	return fmt.Sprintf("git %s: %s", e.command, strings.Join(strings.Fields(said), " "))
}

var fingerprint = regexp.MustCompile(`SHA256:[A-Za-z0-9+/]+`)

func (e *gitError) Unwrap() error { return e.err }

// exitCode is the exit code of a git that ran to its end, or -1.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// boundedBuffer takes no more than max bytes.
type boundedBuffer struct {
	bytes.Buffer
	max        int
	overflowed bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.max {
		b.overflowed = true
		return 0, io.ErrShortWrite
	}
	return b.Buffer.Write(p)
}

// tailBuffer keeps the last max bytes.
type tailBuffer struct {
	bytes.Buffer
	max int
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.Buffer.Write(p)
	if extra := b.Len() - b.max; extra > 0 {
		b.Next(extra)
	}
	return len(p), nil
}
