package desired

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/desired/acceptance"
	"nave.dev/internal/desired/checks"
	"nave.dev/internal/desired/remotes"
	"nave.dev/internal/fleet"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/webhook"
	"nave.dev/internal/strictyaml"
)

// Pinned is a snapshot and what its fleet repository says.
type Pinned struct {
	app.Snapshot
	Fleet *fleet.Fleet
	// Problems of the fleet's documents and health checks; documents without any
	// are in force, and checks if all are without.
	Problems strictyaml.Problems
	Checks   checks.Checks
	// Commit describes the fleet repository's; it is zero for a worktree.
	Commit gitsource.Commit
	// branch is the one that the fleet repository's commit is the newest of, or that
	// it is looked at in place of; empty if there is none.
	branch string
	// Unresolved says of revisions why they stand for no commit.
	Unresolved map[string]error

	pins     sync.Mutex // guards Sources and Unresolved, which grow while remote references are found
	attempts remotes.Attempts
	signed   acceptance.Signatures
}

// ID names the snapshot by its content, what Compile found to refer to other repositories so far among it.
func (p *Pinned) ID() string {
	p.pins.Lock()
	defer p.pins.Unlock()
	return p.Snapshot.ID()
}

func (p *Pinned) source(name string) (v1alpha1.Source, bool) {
	i := slices.IndexFunc(p.Fleet.Sources, func(s v1alpha1.Source) bool { return s.Name == name })
	if i < 0 {
		return v1alpha1.Source{}, false
	}
	return p.Fleet.Sources[i], true
}

// member returns a cluster of the fleet, or nothing.
func (p *Pinned) member(name string) fleet.Member {
	i := slices.IndexFunc(p.Fleet.Members, func(m fleet.Member) bool { return m.Name == name })
	if i < 0 {
		return fleet.Member{}
	}
	return p.Fleet.Members[i]
}

// resolve answers for fleet.Fleet.Apps from what was pinned.
func (p *Pinned) resolve(source, revision string) (string, error) {
	if source == "" && revision == "" {
		return p.Snapshot.Fleet, nil
	}
	key := source + "@" + revision
	if commit, err, ok := p.pinned(key); ok {
		return commit, err
	}
	return "", fmt.Errorf("%s is not in the snapshot", key)
}

// pinned returns what was pinned under a key, if anything was.
func (p *Pinned) pinned(key string) (commit string, err error, ok bool) {
	p.pins.Lock()
	defer p.pins.Unlock()
	if commit, ok = p.Sources[key]; ok {
		return commit, nil, true
	}
	err, ok = p.Unresolved[key]
	return "", err, ok
}

// pin pins what a key stands for, unless that was done, and returns what counts.
func (p *Pinned) pin(key, commit string, err error) (string, error) {
	p.pins.Lock()
	defer p.pins.Unlock()
	if before, ok := p.Sources[key]; ok {
		return before, nil
	}
	if before, ok := p.Unresolved[key]; ok {
		return "", before
	}
	if err != nil {
		p.Unresolved[key] = err
	} else {
		p.Sources[key] = commit
	}
	return commit, err
}

// Pin pins one state of all inputs as of the last fetch: the head of the fleet
// repository's revision and what every other revision in use stands for. Sources
// that the fleet names for the first time are fetched, unless the options leave
// that to others. An error means that the fleet repository itself cannot be read
// or is not signed as it must be; what a document or source has wrong is in the
// result.
func (p *Pipeline) Pin(ctx context.Context) (*Pinned, error) {
	if p.opts.Worktree != "" {
		pinned, files, err := p.read(ctx, nil, WorktreeCommit)
		if err != nil {
			return nil, err
		}
		pinned.branch = p.opts.Repository.Revision.Branch
		p.resolveSources(ctx, pinned, files)
		return pinned, nil
	}
	mirror, err := p.mirror(p.repository())
	if err != nil {
		return nil, err
	}
	resolution, err := mirror.Resolve(ctx, revision(p.opts.Repository.Revision))
	if err != nil {
		return nil, fmt.Errorf("resolving the fleet repository: %w", err)
	}
	pinned, files, err := p.read(ctx, mirror, resolution.Commit)
	if err != nil {
		return nil, err
	}
	pinned.branch = strings.TrimPrefix(resolution.Ref, branches)
	// Before anything else is done that the commit asks for.
	if err := p.accept(ctx, mirror, pinned, files); err != nil {
		return nil, fmt.Errorf("the fleet repository: %w", err)
	}
	p.resolveSources(ctx, pinned, files)
	return pinned, nil
}

// PinAccepted is Pin for the commit of the fleet repository that was accepted
// last: what is in force while the newest one is refused. The error is
// fs.ErrNotExist if none ever was.
func (p *Pipeline) PinAccepted(ctx context.Context) (*Pinned, error) {
	last, err := acceptance.Read(filepath.Join(p.opts.Dir, acceptanceFile))
	if err != nil {
		return nil, err
	}
	if last.Commit == "" {
		return nil, fmt.Errorf("finding the commit accepted last: %w", fs.ErrNotExist)
	}
	return p.PinAt(ctx, v1alpha1.Revision{Commit: last.Commit})
}

// PinAt is Pin for another revision of the fleet repository: to look at, not to
// deliver. It asks for no signature of the fleet repository's commit, and what
// Pin accepted last stays that.
func (p *Pipeline) PinAt(ctx context.Context, rev v1alpha1.Revision) (*Pinned, error) {
	if p.opts.Worktree != "" {
		return nil, errors.New("a directory has no revisions\nhint: use the repository's URL")
	}
	mirror, err := p.mirror(p.repository())
	if err != nil {
		return nil, err
	}
	resolution, err := mirror.Resolve(ctx, revision(rev))
	if err != nil {
		return nil, fmt.Errorf("resolving the fleet repository: %w", err)
	}
	pinned, files, err := p.read(ctx, mirror, resolution.Commit)
	if err != nil {
		return nil, err
	}
	if followed, err := mirror.Resolve(ctx, revision(p.opts.Repository.Revision)); err == nil {
		pinned.branch = strings.TrimPrefix(followed.Ref, branches)
	} else {
		pinned.branch = p.opts.Repository.Revision.Branch // which this may become
	}
	p.resolveSources(ctx, pinned, files)
	return pinned, nil
}

// branches is where Git has them.
const branches = "refs/heads/"

// read reads what the fleet repository says at a commit. The mirror is nil for a
// worktree.
func (p *Pipeline) read(ctx context.Context, mirror *gitsource.Mirror, commit string) (*Pinned, fs.FS, error) {
	pinned := &Pinned{Snapshot: app.Snapshot{Fleet: commit, Sources: map[string]string{}}, Unresolved: map[string]error{}}
	files, err := p.tree(ctx, pinned, "", commit)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the fleet repository at %s: %w", commit, err)
	}
	var problems strictyaml.Problems
	pinned.Fleet, pinned.Problems = fleet.Load(files)
	pinned.Checks, problems = p.checks.Read(files, commit)
	pinned.Problems = append(pinned.Problems, problems...)
	if mirror != nil {
		if pinned.Commit, err = mirror.Commit(ctx, commit); err != nil {
			return nil, nil, fmt.Errorf("reading the fleet repository at %s: %w", commit, err)
		}
	}
	return pinned, files, nil
}

// resolveSources asks the fleet which revisions its clusters use and pins each.
func (p *Pipeline) resolveSources(ctx context.Context, pinned *Pinned, files fs.FS) {
	used := map[[2]string]bool{}
	for _, member := range pinned.Fleet.Members {
		// What the apps are does not matter here, only what they ask for.
		pinned.Fleet.Apps(member.Name, func(source, revision string) (string, error) {
			if source != "" || revision != "" {
				used[[2]string{source, revision}] = true
			}
			return pinned.Snapshot.Fleet, nil
		})
	}
	var group sync.WaitGroup
	for use := range used {
		group.Go(func() { // one that has to be fetched first does not keep the others
			commit, err := p.resolveSource(ctx, pinned, files, use[0], use[1])
			pinned.pin(use[0]+"@"+use[1], commit, err)
		})
	}
	group.Wait()
}

func (p *Pipeline) resolveSource(ctx context.Context, pinned *Pinned, files fs.FS, name, text string) (string, error) {
	if name == "" && p.opts.Worktree != "" {
		return "", fmt.Errorf("%s of the fleet repository cannot be told from a directory\nhint: use the repository's URL", text)
	}
	source, err := p.source(pinned, name)
	if err != nil {
		return "", err
	}
	resolve, err := p.resolver(ctx, source, files, text)
	if err != nil {
		return "", err
	}
	commit, err := resolve()
	if notFetched(err) && !p.opts.SourcesApart {
		if _, err = p.fetch(ctx, source); err == nil {
			commit, err = resolve()
		}
	}
	return commit, err
}

// resolver returns what finds the commit of a revision of a source, or the archive
// of a chart or artifact, as of the last fetch.
func (p *Pipeline) resolver(ctx context.Context, source v1alpha1.Source, files fs.FS, text string) (func() (string, error), error) {
	if request, ok := archiveRequest(text); ok {
		return func() (string, error) { return p.resolveArchive(source, files, request) }, nil
	}
	rev, err := v1alpha1.ParseRevision(text)
	if err != nil {
		return nil, err
	}
	mirror, err := p.mirror(source)
	if err != nil {
		return nil, err
	}
	from := acceptance.Origin{Mirror: mirror, Source: source.Name, Verify: source.Verify, Files: files, Now: p.opts.Now()}
	return func() (string, error) { return from.Resolve(ctx, revision(rev)) }, nil
}

func revision(r v1alpha1.Revision) gitsource.Revision {
	return gitsource.Revision{Branch: r.Branch, Tag: r.Tag, SemVer: r.Semver, Commit: r.Commit}
}

// Needs says what a source is fetched for: where it is and, of one of charts
// or artifacts, each of these and the range that the fleet asks for. What was fetched for the same
// needs once only has to be looked at again when it is time.
func (p *Pinned) Needs(name string) []string {
	if p == nil || name == "" {
		return []string{""}
	}
	source, _ := p.source(name)
	needs := []string{source.URL}
	p.pins.Lock()
	defer p.pins.Unlock()
	for _, key := range slices.Concat(slices.Collect(maps.Keys(p.Sources)), slices.Collect(maps.Keys(p.Unresolved))) {
		if of, text, _ := strings.Cut(key, "@"); of == name {
			if _, archive := archiveRequest(text); archive {
				needs = append(needs, source.URL+" "+text)
			}
		}
	}
	return needs
}

// ReadWebhook checks a Git server's call and reports whether it tells of a push
// to the fleet repository or one of its sources. The status is the one to answer
// a refused call with.
func (p *Pipeline) ReadWebhook(r *http.Request, secret []byte, pinned *Pinned) (concerned bool, status int, err error) {
	push, err := webhook.Parse(r.Header, r.Body, secret)
	if refusal := (*webhook.Refusal)(nil); errors.As(err, &refusal) {
		return false, refusal.Status, err
	}
	if err != nil {
		return false, http.StatusBadRequest, err
	}
	concerned = push.Concerns(p.opts.Repository.URL)
	if pinned != nil {
		concerned = concerned || slices.ContainsFunc(pinned.Fleet.Sources, func(s v1alpha1.Source) bool { return push.Concerns(s.URL) })
	}
	return concerned, http.StatusOK, nil
}

// NextFetch returns when to fetch next.
func (p *Pipeline) NextFetch(interval time.Duration) time.Time {
	now := p.opts.Now()
	mirror, err := p.mirror(p.repository())
	if err != nil {
		return now.Add(interval)
	}
	return gitsource.NextPoll(now, mirror.State(), interval)
}
