package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"nave.dev/internal/atomicfile"
)

// transfer is one fetch from a remote.
type transfer struct {
	mirror *Mirror
	git    *git
	access *access
	url    string   // as git is given it
	lock   *os.File // of the mirror; nil while nothing is written
}

const repoPrefix = "repo-"

// Branches and tags are all that is fetched: not the refs that servers make for every pull request.
var refspecs = []string{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}

// onRemote runs a git command that reaches the remote.
func (t *transfer) onRemote(ctx context.Context, repo string, args ...string) ([]byte, error) {
	return t.git.run(ctx, call{args: args, dir: t.mirror.dir, repo: repo, remote: t.access, lock: t.lock})
}

// inMirror runs a git command on a repository of the mirror.
func (t *transfer) inMirror(ctx context.Context, repo string, args ...string) ([]byte, error) {
	return t.git.run(ctx, call{args: args, dir: t.mirror.dir, repo: repo, lock: t.lock})
}

// list returns the branches and tags of the remote. That there are none any more counts as a failure of the remote. It needs no repository, so that a broken mirror cannot be taken
// for a remote that is away.
func (t *transfer) list(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listTimeout, fmt.Errorf("the remote did not answer for %v", listTimeout))
	defer cancel()
	listing, err := t.onRemote(ctx, "", "ls-remote", "--quiet", "--heads", "--tags", "--", t.url)
	if err != nil {
		return nil, err
	}
	commits, err := parseRefs(listing)
	if err != nil {
		return nil, err
	}
	// Git takes a page that asks people to log in for an old server with an empty repository.
	if before, err := t.mirror.known(); err == nil && len(commits) == 0 && len(before.commits) > 0 {
		return nil, fmt.Errorf("the remote lists no branch and no tag, and had %d before", len(before.commits))
	}
	return listing, nil
}

// bring fetches what the remote has into the mirror's repository, or into a new one if there is none or it is damaged.
func (t *transfer) bring(ctx context.Context) error {
	m := t.mirror
	repo := m.repository()
	if repo == "" {
		return t.replace(ctx, "")
	}
	if suspicion, err := os.ReadFile(m.file("damaged")); err == nil {
		switch damage, err := t.inspect(ctx, repo); {
		case err != nil:
			return err
		case damage != "":
			return t.replace(ctx, string(suspicion))
		}
		if err := os.Remove(m.file("damaged")); err != nil {
			return fmt.Errorf("clearing a suspicion: %w", err)
		}
	}
	args := append([]string{"fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
		"--no-recurse-submodules", "--no-show-forced-updates", "--", t.url}, refspecs...)
	_, err := t.onRemote(ctx, repo, args...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// The remote did answer to list, so perhaps it is the mirror that is at fault.
	damage, errInspect := t.inspect(ctx, repo)
	if damage == "" || errInspect != nil {
		return errors.Join(err, errInspect)
	}
	m.damaged(fmt.Errorf("%s: %w", damage, err))
	return t.replace(ctx, damage)
}

// inspect looks for damage in a repository: all of its packs are read, and all that its refs need must be there.
func (t *transfer) inspect(ctx context.Context, repo string) (damage string, err error) {
	packs, _ := filepath.Glob(filepath.Join(repo, "objects/pack/*.pack"))
	checks := [][]string{{"rev-parse", "--git-dir"}}
	if len(packs) > 0 {
		checks = append(checks, append([]string{"verify-pack", "--"}, packs...))
	}
	checks = append(checks, []string{"rev-list", "--objects", "--quiet", "--all"})
	if r, err := t.mirror.known(); err == nil && len(r.commits) > 0 {
		var commits bytes.Buffer
		for _, commit := range r.commits {
			fmt.Fprintln(&commits, commit)
		}
		_, err := t.git.run(ctx, call{args: []string{"rev-list", "--objects", "--quiet", "--stdin"}, dir: t.mirror.dir,
			repo: repo, lock: t.lock, stdin: commits.Bytes()})
		if exitCode(err) > 0 {
			return err.Error(), nil
		} else if err != nil {
			return "", err
		}
	}
	for _, check := range checks {
		if _, err := t.inMirror(ctx, repo, check...); exitCode(err) > 0 {
			return err.Error(), nil
		} else if err != nil {
			return "", err
		}
	}
	return "", nil
}

// replace clones the remote beside the mirror's repository and puts the clone in its place. The old one is in use
// until then, and if anything fails it stays.
func (t *transfer) replace(ctx context.Context, damage string) error {
	m := t.mirror
	repo, err := os.MkdirTemp(m.dir, repoPrefix+"*")
	if err != nil {
		return fmt.Errorf("making room for a clone: %w", err)
	}
	if _, err := t.onRemote(ctx, "", "clone", "--quiet", "--bare", "--no-local", "--template=", "--", t.url, repo); err != nil {
		os.RemoveAll(repo)
		return err
	}
	old := m.repository()
	if old != "" {
		t.salvage(ctx, old, repo)
	}
	link := m.file(atomicfile.Prefix + filepath.Base(repo))
	if err := errors.Join(os.Symlink(filepath.Base(repo), link), os.Rename(link, m.file("current"))); err != nil {
		os.Remove(link)
		os.RemoveAll(repo)
		return fmt.Errorf("putting a clone in place: %w", err)
	}
	m.store.Restart()
	if err := os.Remove(m.file("damaged")); err == nil {
		if told := m.owner.opts.Listener.Repaired; told != nil {
			told(RepairedInfo{Source: m.source, Damage: damage})
		}
	}
	if old != "" {
		os.RemoveAll(old)
	}
	return nil
}

// salvage takes from a damaged repository the commits in force that the remote no longer has. It takes what it can.
func (t *transfer) salvage(ctx context.Context, from, to string) {
	local := &access{env: []string{"GIT_ALLOW_PROTOCOL=file"}}
	for _, r := range t.mirror.lastGood() {
		if _, err := t.inMirror(ctx, to, "cat-file", "-e", r.Commit+"^{commit}"); err == nil {
			continue
		}
		// Asking for a commit by hash takes a ref in the repository that has it.
		ref := "refs/nave/" + r.Commit
		if _, err := t.inMirror(ctx, from, "update-ref", ref, r.Commit); err == nil {
			t.git.run(ctx, call{args: []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
				"--", from, ref + ":" + ref}, dir: t.mirror.dir, repo: to, remote: local, lock: t.lock})
		}
	}
}

// refs reads what is now in the repository.
func (t *transfer) refs(ctx context.Context, listing []byte) (*refs, error) {
	out, err := t.inMirror(ctx, t.mirror.repository(), "show-ref", "--dereference")
	if err != nil && !(exitCode(err) == 1 && len(out) == 0) { // that is how it says that there are none
		return nil, err
	}
	r := &refs{listing: digest(listing)}
	if r.commits, err = parseRefs(out); err != nil {
		return nil, err
	}
	head, err := t.onRemote(ctx, "", "ls-remote", "--quiet", "--symref", "--", t.url, "HEAD")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(head)) {
		if target, ok := strings.CutPrefix(line, "ref: "); ok {
			ref, name, _ := strings.Cut(strings.TrimSpace(target), "\t")
			if _, known := r.commits[ref]; known && name == "HEAD" {
				r.head = ref
			}
		}
	}
	return r, nil
}

// maxPacks is how many packs a repository may have before some are joined: every fetch adds one.
const maxPacks = 40

// tidy joins packs so that each is at least twice as large as all smaller ones together, which keeps all objects and
// in the long run writes each a few times only.
func (t *transfer) tidy(ctx context.Context) error {
	repo := t.mirror.repository()
	packs, _ := filepath.Glob(filepath.Join(repo, "objects/pack/*.pack"))
	if len(packs) <= maxPacks {
		return nil
	}
	for _, args := range [][]string{{"repack", "--quiet", "-d", "--geometric=2"}, {"pack-refs", "--all"}} {
		if _, err := t.inMirror(ctx, repo, args...); err != nil {
			return fmt.Errorf("tidying the mirror: %w", err)
		}
	}
	return nil
}
