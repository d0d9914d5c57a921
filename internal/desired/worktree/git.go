package worktree

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"nave.dev/internal/desired"
)

// knownAs returns what Argo CD's objects may call the repository in a directory:
// the URLs of its remotes, and the branch that what is there may become. There are
// none of a directory without Git.
func knownAs(ctx context.Context, dir string) (repository desired.Repository) {
	if urls, err := git(ctx, dir, "config", "--get-regexp", `^remote\..*\.url$`); err == nil {
		for line := range strings.Lines(urls) {
			if _, url, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				repository.URLs = append(repository.URLs, url)
			}
		}
	}
	repository.Revision.Branch = "main"
	if name, err := git(ctx, dir, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"); err == nil {
		repository.Revision.Branch = strings.TrimPrefix(name, "refs/remotes/origin/")
	}
	return repository
}

// commitOf returns the hash of the commit that a revision names.
func commitOf(ctx context.Context, dir, revision string) (string, error) {
	commit, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("there is no revision %q\nhint: --from and --to name branches, tags or commits; by default the last commit is compared with the one before", revision)
	}
	return commit, err
}

// git asks git one question about a directory.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %s", strings.Join(args, " "), strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
