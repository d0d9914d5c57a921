package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Revision says which commit of a source to use. At most one field is set, and TagPrefix beside SemVer; the zero value is
// the default branch.
type Revision struct {
	Branch string
	Tag    string
	// SemVer is a range of versions such as "~1.4" or ">=1.0 <2.0": the highest version that a tag names and that lies
	// in it. A "v" before a tag's version does not count; a pre-release counts only if the range names one.
	SemVer string
	// TagPrefix is what the tags begin with that SemVer is held against, such as "web/"; the version follows it.
	TagPrefix string
	// Commit is a full hash.
	Commit string
}

// Validate reports what is wrong with a revision.
func (r Revision) Validate() error {
	set := 0
	for _, field := range []string{r.Branch, r.Tag, r.SemVer, r.Commit} {
		if field != "" {
			set++
		}
	}
	if set > 1 {
		return errors.New("a revision is one of branch, tag, semver and commit, not several")
	}
	if r.TagPrefix != "" && r.SemVer == "" {
		return fmt.Errorf("a prefix of tags, %q, goes with a range of versions", r.TagPrefix)
	}
	if r.Commit != "" && !isHash(r.Commit) {
		return fmt.Errorf("commit %q is not a full hash of 40 or 64 digits in lower case", r.Commit)
	}
	if r.SemVer != "" {
		if _, err := semver.NewConstraint(r.SemVer); err != nil {
			return fmt.Errorf("semver %q is not a range of versions: %w", r.SemVer, err)
		}
	}
	return nil
}

// String is "branch main", "tag v1", "semver ~1.4", "semver ~1.4 of tags web/", "commit 1a2b…" or "default branch".
func (r Revision) String() string {
	switch {
	case r.Branch != "":
		return "branch " + r.Branch
	case r.Tag != "":
		return "tag " + r.Tag
	case r.TagPrefix != "":
		return "semver " + r.SemVer + " of tags " + r.TagPrefix
	case r.SemVer != "":
		return "semver " + r.SemVer
	case r.Commit != "":
		return "commit " + r.Commit
	}
	return "default branch"
}

// Resolution is the commit that a revision stands for.
type Resolution struct {
	Commit string    `json:"commit"`
	Ref    string    `json:"ref,omitempty"` // refs/heads/… or refs/tags/…, where it was found; empty for a commit
	Since  time.Time `json:"since"`         // when this was first so
	// Previous is the commit before, and Rewritten tells that its history does not lead to Commit: the branch was
	// force-pushed, or the tag moved.
	Previous  string `json:"previous,omitempty"`
	Rewritten bool   `json:"rewritten,omitempty"`
	// HeldSince is set if the remote no longer has the revision, and HeldBecause says what is missing. The commit is
	// then the last one that there was.
	HeldSince   time.Time `json:"heldSince,omitzero"`
	HeldBecause string    `json:"heldBecause,omitempty"`
}

// Held reports whether the remote no longer has the revision.
func (r Resolution) Held() bool { return !r.HeldSince.IsZero() }

// ErrNoRevision is in the error of Resolve for a revision that the source does not have and has never had.
var ErrNoRevision = errors.New("the source has no such revision")

// Resolve returns the commit of a revision as of the last fetch that succeeded. It reaches no network. A branch or tag
// that has resolved before and is gone stays at its last commit, and the Resolution says so.
func (m *Mirror) Resolve(ctx context.Context, rev Revision) (Resolution, error) {
	wrap := func(err error) error { return fmt.Errorf("resolving %s of source %q: %w", rev, m.source, err) }
	if err := rev.Validate(); err != nil {
		return Resolution{}, wrap(err)
	}
	known, err := m.known()
	if err != nil {
		return Resolution{}, wrap(err)
	}
	if found, ok := m.remembered(known, rev); ok {
		return found, nil
	}
	found := Resolution{Commit: rev.Commit}
	var absent error
	if rev.Commit != "" {
		_, err = m.commit(ctx, rev.Commit)
	} else if found.Ref, absent = known.find(rev); absent == nil {
		found.Commit = known.commits[found.Ref]
	}
	if err == nil {
		found, err = m.keep(ctx, rev, found, absent)
	}
	if err != nil {
		return Resolution{}, wrap(err)
	}
	m.remember(known, rev, found)
	return found, nil
}

// find returns the ref of a revision that is not a commit.
func (r *refs) find(rev Revision) (string, error) {
	var ref string
	switch {
	case rev.Branch != "":
		ref = "refs/heads/" + rev.Branch
	case rev.Tag != "":
		ref = "refs/tags/" + rev.Tag
	case rev.SemVer != "":
		return r.highest(rev)
	case r.head == "":
		return "", fmt.Errorf("%w: the remote has no default branch", ErrNoRevision)
	default:
		ref = r.head
	}
	if _, ok := r.commits[ref]; !ok {
		return "", fmt.Errorf("%w: the remote has no %s", ErrNoRevision, rev)
	}
	return ref, nil
}

// highest returns the tag of the highest version in a range. Of tags for one version, such as v1.0.0 and 1.0.0, it is
// the first by name.
func (r *refs) highest(rev Revision) (string, error) {
	within, err := semver.NewConstraint(rev.SemVer)
	if err != nil {
		return "", err
	}
	var best *semver.Version
	bestRef, all := "", 0
	names := make([]string, 0, len(r.commits))
	for name := range r.commits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		tag, ok := strings.CutPrefix(name, "refs/tags/"+rev.TagPrefix)
		if !ok {
			continue
		}
		v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
		if err != nil {
			continue
		}
		all++
		if within.Check(v) && (best == nil || v.GreaterThan(best)) {
			best, bestRef = v, name
		}
	}
	if best == nil {
		among := "the tags of the remote"
		if rev.TagPrefix != "" {
			among += fmt.Sprintf(" that begin with %q", rev.TagPrefix)
		}
		return "", fmt.Errorf("%w: none of the %d versions among %s is in %q", ErrNoRevision, all, among, rev.SemVer)
	}
	return bestRef, nil
}

// remembered and remember spare the files below as long as the refs are the same.
func (m *Mirror) remembered(as *refs, rev Revision) (Resolution, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refs != as {
		return Resolution{}, false
	}
	found, ok := m.resolved[rev]
	return found, ok
}

func (m *Mirror) remember(as *refs, rev Revision, found Resolution) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refs == as {
		m.resolved[rev] = found
	}
}

// keep compares what a revision is now, or why it is absent, with what it was, and keeps the result in resolved.json.
func (m *Mirror) keep(ctx context.Context, rev Revision, now Resolution, absent error) (Resolution, error) {
	held, err := lock(ctx, m.file("resolved.lock"))
	if err != nil {
		return Resolution{}, err
	}
	defer held.Close()
	all := m.lastGood()
	was, before := all[rev.String()]
	now.Since = m.owner.opts.Now()
	switch {
	case absent != nil && !before:
		return Resolution{}, absent
	case absent != nil && was.Held():
		return was, nil
	case absent != nil:
		now.HeldSince, now.HeldBecause = now.Since, absent.Error()
		now.Commit, now.Ref, now.Since, now.Previous, now.Rewritten = was.Commit, was.Ref, was.Since, was.Previous, was.Rewritten
	case before && was.Commit == now.Commit && was.Ref == now.Ref && !was.Held():
		return was, nil
	case before && was.Commit == now.Commit:
		now.Since, now.Previous, now.Rewritten = was.Since, was.Previous, was.Rewritten
	case before:
		now.Previous = was.Commit
		if now.Rewritten, err = m.rewritten(ctx, was, now); err != nil {
			return Resolution{}, err
		}
	}
	all[rev.String()] = now
	return now, writeJSON(m.file("resolved.json"), all, true)
}

// lastGood returns what each revision resolved to last.
func (m *Mirror) lastGood() map[string]Resolution {
	all := map[string]Resolution{}
	readJSON(m.file("resolved.json"), &all)
	return all
}

// rewritten reports whether a revision moved in another way than forward.
func (m *Mirror) rewritten(ctx context.Context, was, now Resolution) (bool, error) {
	if strings.HasPrefix(now.Ref, "refs/tags/") {
		return was.Ref == now.Ref, nil // another tag is another version, but a tag itself does not move
	}
	if data, err := m.commit(ctx, now.Commit); err == nil { // mostly it is one commit further
		if c, err := parseCommit(string(data)); err == nil && slices.Contains(c.Parents, was.Commit) {
			return false, nil
		}
	}
	_, err := m.owner.git.run(ctx, call{args: []string{"merge-base", "--is-ancestor", was.Commit, now.Commit},
		dir: m.dir, repo: m.repository()})
	if code := exitCode(err); code == 1 || code == 128 { // not an ancestor, or no longer there
		return true, nil
	}
	return false, err
}
