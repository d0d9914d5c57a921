// Package desired is the one way from Git to what clusters should hold. A
// Pipeline keeps mirrors of the fleet repository and its other sources, charts
// among them, pins one state of all of them as a Snapshot, and compiles a snapshot into an
// Assignment for each cluster: which apps, rendered to which objects. What
// cannot be told is carried as an error beside what can, since absence lets
// things be removed. The package composes the engines gitsource, chartsource,
// fleet and render; it asks no cluster and writes to none.
package desired

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/desired/checks"
	"nave.dev/internal/desired/family"
	"nave.dev/internal/desired/parts"
	"nave.dev/internal/gitsource"
	"nave.dev/internal/gitsource/submodule"
	"nave.dev/internal/render"
)

// Repository is the fleet repository and the way in.
type Repository struct {
	URL        string
	URLs       []string // further ones of it
	Revision   v1alpha1.Revision
	Credential *v1alpha1.Credential
}

// Options configure a Pipeline.
type Options struct {
	// Dir holds mirrors and rendered objects. Losing it costs time alone.
	Dir string
	// Repository is the fleet's, unless Worktree is set.
	Repository Repository
	// Worktree is a directory taken for the fleet repository as it is, without
	// Git: for commands that look at files being edited.
	Worktree string
	// CredentialsDir is where the files are that credentials of the fleet's other
	// sources name. Those of Repository are found from the working directory.
	CredentialsDir string
	// WorkerCommand starts a render worker; empty renders in this process.
	WorkerCommand []string
	Workers       int
	// SourcesApart leaves it to others to fetch sources: one that was never fetched
	// is an error of what uses it, and does not delay the rest.
	SourcesApart bool
	Now          func() time.Time
	Listener     gitsource.Listener
}

// Pipeline turns commits into assignments. It is safe for concurrent use.
type Pipeline struct {
	opts      Options
	mirrors   *gitsource.Mirrors
	charts    *chartsource.Charts
	render    *render.Renderer
	worktree  *os.Root // nil without one
	accepting sync.Mutex
	checks    checks.Reader
	cutter    parts.Cutter
	readings  family.Memory
}

// Open makes a pipeline ready. Close it when done.
func Open(ctx context.Context, opts Options) (*Pipeline, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, err
	}
	mirrors, err := gitsource.Open(ctx, filepath.Join(opts.Dir, "mirrors"), gitsource.Options{Now: opts.Now, Listener: opts.Listener})
	if err != nil {
		return nil, err
	}
	charts, err := chartsource.Open(filepath.Join(opts.Dir, "charts"), chartsource.Options{Now: opts.Now})
	if err != nil {
		return nil, errors.Join(err, mirrors.Close())
	}
	p := &Pipeline{opts: opts, mirrors: mirrors, charts: charts}
	if opts.Worktree != "" {
		if p.worktree, err = os.OpenRoot(opts.Worktree); err != nil {
			return nil, errors.Join(err, mirrors.Close())
		}
	}
	p.render = render.New(render.Options{
		CacheDir: filepath.Join(opts.Dir, "renders"), Workers: opts.Workers, WorkerCommand: opts.WorkerCommand,
	})
	return p, nil
}

// Renderer returns what the pipeline renders by, for the releases of clusters. It is
// closed with the pipeline.
func (p *Pipeline) Renderer() *render.Renderer { return p.render }

// Close ends the processes that read mirrors and render.
func (p *Pipeline) Close() error {
	p.render.Close()
	err := p.mirrors.Close()
	if p.worktree != nil {
		err = errors.Join(err, p.worktree.Close())
	}
	return err
}

// fleetSource names the mirror of the fleet repository, which as a source has
// the empty name.
const fleetSource = "fleet-repository"

// repository is the fleet repository as a source, without what its own commits
// say of it.
func (p *Pipeline) repository() v1alpha1.Source {
	return v1alpha1.Source{URL: p.opts.Repository.URL, Credential: p.opts.Repository.Credential}
}

// source returns a source of the pinned fleet, or the fleet repository, whose
// name is empty.
func (p *Pipeline) source(pinned *Pinned, name string) (v1alpha1.Source, error) {
	if name == "" {
		own := p.repository()
		if pinned != nil && pinned.Fleet != nil {
			own.Verify = pinned.Fleet.Verify
		}
		return own, nil
	}
	source, ok := pinned.source(name)
	if !ok {
		return v1alpha1.Source{}, fmt.Errorf("the fleet has no source %q", name)
	}
	return source, nil
}

// mirror returns the mirror of the fleet repository, or of a Git source of the
// fleet. What was fetched can be read without the credential, so that nothing is
// said of one that cannot be used until it is.
func (p *Pipeline) mirror(source v1alpha1.Source) (*gitsource.Mirror, error) {
	if !source.IsGit() {
		return nil, fmt.Errorf("source %q is no Git repository", source.Name)
	}
	auth, _ := p.auth(source.Name, source.Credential)
	name := fleetSource
	if source.Name != "" {
		name = "source-" + source.Name
	}
	return p.mirrors.Mirror(name, gitsource.Remote{URL: source.URL, Auth: auth})
}

// auth returns the way into a source. A commit names the files of its sources'
// credentials and must not be able to send any other file of this machine to a
// remote, so these stay within the directory that is given.
func (p *Pipeline) auth(source string, c *v1alpha1.Credential) (gitsource.Auth, error) {
	if c == nil {
		return gitsource.Auth{}, nil
	}
	var problem error
	file := func(name string) string {
		switch {
		case name == "" || source == "":
			return name
		case p.opts.CredentialsDir == "":
			problem = fmt.Errorf("source %q needs the credential %q, and there is no directory of credentials", source, name)
		case !filepath.IsLocal(name):
			problem = fmt.Errorf("source %q: the credential %q is not in the directory of credentials", source, name)
		}
		return filepath.Join(p.opts.CredentialsDir, name)
	}
	auth := gitsource.Auth{PasswordFile: file(c.PasswordFile), SSHKeyFile: file(c.SSHKeyFile), KnownHostsFile: file(c.KnownHostsFile)}
	if c.TokenFile != "" {
		auth.PasswordFile = file(c.TokenFile)
	}
	if user := file(c.UsernameFile); user != "" && problem == nil {
		name, err := os.ReadFile(user)
		if err != nil {
			problem = fmt.Errorf("reading the user of source %q: %w", source, err)
		}
		auth.Username = strings.TrimSpace(string(name))
	}
	if c.Helper != "" {
		auth.Helper = []string{"git-credential-" + c.Helper}
	}
	if problem != nil {
		return gitsource.Auth{}, problem
	}
	return auth, nil
}

// tree is one commit as files, with the hash of each where it is known.
type tree interface {
	fs.FS
	Hash(path string) (string, bool)
}

// WorktreeCommit stands for the commit of a worktree.
const WorktreeCommit = family.Changing

// tree returns the files of a commit of a source.
func (p *Pipeline) tree(ctx context.Context, pinned *Pinned, source, commit string) (tree, error) {
	if source == "" && commit == WorktreeCommit {
		return submodule.NewCheckout(p.worktree.FS()), nil // links that lead out of it are not followed
	}
	from, err := p.source(pinned, source)
	if err != nil {
		return nil, err
	}
	if !from.IsGit() {
		return p.archive(from, commit)
	}
	mirror, err := p.mirror(from)
	if err != nil {
		return nil, err
	}
	return mirror.Tree(ctx, commit)
}
