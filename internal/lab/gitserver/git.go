package gitserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// git is the installed git, run so that nothing of the user's own git reaches it: no GIT_ variable is inherited, and
// neither the system's nor the user's configuration is read.
type git struct {
	path    string // of git itself
	backend string // of git-http-backend
	home    string // HOME for git
}

// gitTimeout bounds the short commands that look at a repository, not pushes and fetches.
const gitTimeout = time.Minute

var errGitTimeout = fmt.Errorf("no result within %s", gitTimeout)

// The oldest git that takes configuration from the environment and the protocol version from http-backend.
const minMajor, minMinor = 2, 34

var versionPattern = regexp.MustCompile(`^git version (\d{1,6})\.(\d{1,6})`)

// parseVersion reads the first line of `git --version`.
func parseVersion(line string) (major, minor int, ok bool) {
	m := versionPattern.FindStringSubmatch(line)
	if m == nil {
		return 0, 0, false
	}
	major, errMajor := strconv.Atoi(m[1])
	minor, errMinor := strconv.Atoi(m[2])
	return major, minor, errMajor == nil && errMinor == nil
}

// findGit looks for git in PATH and for its HTTP server beside it.
func findGit(ctx context.Context, home string) (*git, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("looking for git, %d.%d or later: %w", minMajor, minMinor, err)
	}
	g := &git{path: path, home: home}

	version, err := g.run(ctx, "", nil, "--version")
	if err != nil {
		return nil, err
	}
	major, minor, ok := parseVersion(string(version))
	if !ok || major < minMajor || (major == minMajor && minor < minMinor) {
		return nil, fmt.Errorf("git server needs git %d.%d or later, and %s says %q",
			minMajor, minMinor, path, strings.TrimSpace(string(version)))
	}

	execPath, err := g.run(ctx, "", nil, "--exec-path")
	if err != nil {
		return nil, err
	}
	g.backend = filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend")
	if _, err := os.Stat(g.backend); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no http-backend: install git's server part, which some distributions package apart "+
			"(git-daemon on Alpine): %w", path, err)
	} else if err != nil {
		return nil, fmt.Errorf("looking for git's http-backend: %w", err)
	}
	return g, nil
}

// environment is all that git is told apart from the repository. Settings come by environment, because they then
// outrank what the repository says, and because git believes safe.directory only from outside the repository.
func (g *git) environment() []string {
	env := []string{
		"HOME=" + g.home,
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_TERMINAL_PROMPT=0",
	}
	settings := [][2]string{
		// Every path to a repository is under the server's control, and versions of git differ in which form of it
		// they compare.
		{"safe.directory", "*"},
		{"core.hooksPath", os.DevNull},
		// A lab outlives its processes, and need not outlive a power cut.
		{"core.fsync", "none"},
		{"http.getanyfile", "false"},
		{"http.uploadpack", "true"},
		{"http.receivepack", "true"},
		// The lab stages faults, a deleted default branch among them.
		{"receive.denyDeleteCurrent", "ignore"},
		// Fetching one commit and partial clones work on public hosting, so clients may count on them.
		{"uploadpack.allowAnySHA1InWant", "true"},
		{"uploadpack.allowFilter", "true"},
		// Housekeeping is part of the push that made it due; detached, it would outlive the server.
		{"gc.autoDetach", "false"},
		{"maintenance.autoDetach", "false"},
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	return env
}

// run runs a short git command on the repository in dir, or on none, and returns what it prints.
func (g *git) run(ctx context.Context, dir string, stdin io.Reader, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gitTimeout, errGitTimeout)
	defer cancel()
	full := args
	if dir != "" {
		full = append([]string{"--git-dir=" + dir}, args...)
	}
	cmd := exec.CommandContext(ctx, g.path, full...)
	cmd.Dir = g.home
	cmd.Env = append(g.environment(), "PATH="+os.Getenv("PATH"))
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, gitError(fmt.Errorf("running git %s on %q: %w", args[0], dir, err), stderr.String())
	}
	return stdout.Bytes(), nil
}

// gitError adds what git said to an error.
func gitError(err error, said string) error {
	if said = strings.TrimSpace(said); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// init makes an empty bare repository whose default branch is main.
func (g *git) init(ctx context.Context, dir string) error {
	_, err := g.run(ctx, "", nil, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", dir)
	return err
}

// refs returns the object id of every ref.
func (g *git) refs(ctx context.Context, dir string) (map[string]string, error) {
	out, err := g.run(ctx, dir, nil, "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			refs[name] = id
		}
	}
	return refs, nil
}

// head returns the full name of the default branch.
func (g *git) head(ctx context.Context, dir string) (string, error) {
	out, err := g.run(ctx, dir, nil, "symbolic-ref", "HEAD")
	return strings.TrimSpace(string(out)), err
}

func (g *git) setHead(ctx context.Context, dir, ref string) error {
	_, err := g.run(ctx, dir, nil, "symbolic-ref", "HEAD", ref)
	return err
}

// isAncestor reports whether everything in the commit old is also in the commit now.
func (g *git) isAncestor(ctx context.Context, dir, old, now string) (bool, error) {
	_, err := g.run(ctx, dir, nil, "merge-base", "--is-ancestor", old, now)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// movesBetween lists what differs between two states of a repository's refs, by name.
func movesBetween(before, after map[string]string) []Move {
	var moves []Move
	for ref, old := range before {
		if now, ok := after[ref]; !ok {
			moves = append(moves, Move{Ref: ref, Before: old, After: ZeroID})
		} else if now != old {
			moves = append(moves, Move{Ref: ref, Before: old, After: now})
		}
	}
	for ref, now := range after {
		if _, ok := before[ref]; !ok {
			moves = append(moves, Move{Ref: ref, Before: ZeroID, After: now})
		}
	}
	slices.SortFunc(moves, func(a, b Move) int { return strings.Compare(a.Ref, b.Ref) })
	return moves
}
