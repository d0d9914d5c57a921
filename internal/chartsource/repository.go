package chartsource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nave.dev/internal/chartsource/archive"
	"nave.dev/internal/chartsource/provenance"
)

// Repository is what is known of one source of charts. Its directory holds
//
//	index.json  what the repository named at the last fetch that succeeded; a registry has none
//	wants/      a file for each request that was made, with what it stands for
//	archives/   DIGEST.tgz, DIGEST.prov if it has a signed statement, and DIGEST-MANIFEST.cosign if Cosign signed it
//	state.json  how fetching goes
//
// Each file is replaced in one step, and none depends on two being replaced together. The Repository is safe for
// concurrent use. An archive that its remote has dropped may be the one to go back to, so that it is kept for a month
// after it was last used.
type Repository struct {
	opts   Options
	source string
	dir    string

	turn      chan struct{} // holds an element while a fetch runs
	unpacking *sync.Mutex   // of all repositories
	began     time.Time

	mu     sync.Mutex
	remote Remote
	state  State
	open   map[opened]*archive.Tree
	opened int64                // their size in bytes
	used   map[string]time.Time // when archives were last used by this process, by digest
}

// opened is an archive that is unpacked, as a chart or as the files that are in it.
type opened struct {
	digest string
	files  bool
}

const (
	wantsDir    = "wants"
	archivesDir = "archives"
)

// maxOpen is how many bytes of unpacked charts of one source are kept in memory.
const maxOpen = 32 << 20

func newRepository(opts Options, source, dir string, remote Remote) *Repository {
	r := &Repository{opts: opts, source: source, dir: dir, remote: remote, turn: make(chan struct{}, 1), open: map[opened]*archive.Tree{}, used: map[string]time.Time{}, began: opts.Now()}
	readJSON(r.file("state.json"), &r.state)
	r.state.Source, r.state.URL = source, remote.URL
	return r
}

func (r *Repository) setRemote(remote Remote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remote = remote
}

func (r *Repository) file(name string) string { return filepath.Join(r.dir, name) }

// kept is the file of an archive, or of what goes with it.
func (r *Repository) kept(digest, extension string) string {
	return filepath.Join(r.dir, archivesDir, digest+extension)
}

// State returns how the source is doing.
func (r *Repository) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Resolution is the archive that a request stands for.
type Resolution struct {
	Version string    `json:"version"`
	Digest  string    `json:"digest"` // of the archive's content, as hexadecimal digits of SHA-256
	Since   time.Time `json:"since"`  // when this was first so
	// Manifest is the digest of the manifest that has the archive, in a registry.
	Manifest string `json:"-"`
	// HeldSince is set if the remote no longer has what is asked for, and HeldBecause says what is missing. The archive
	// is then the last one that there was.
	HeldSince   time.Time `json:"heldSince,omitzero"`
	HeldBecause string    `json:"heldBecause,omitempty"`
}

// want is a request that was made, and what is known of it.
type want struct {
	Request
	Resolution
	Location string `json:"location,omitempty"` // of the release
	Err      string `json:"error,omitempty"`    // why the last fetch brought nothing for it, if so

	asked time.Time // when it was last resolved, to the hour
}

// wantFile is where a request is kept. Resolve makes it, and only a fetch writes it again; the time of the file is when
// the request was last made, so that the two cannot undo each other's work.
func (r *Repository) wantFile(request Request) string {
	text := request.Chart + "\x00" + request.Versions
	if request.Artifact.Name != "" {
		text = request.Artifact.String()
	}
	return filepath.Join(r.dir, wantsDir, digest([]byte(text))[:32]+".json")
}

// recent is how long a request is kept up to date after it was last made.
const recent = 48 * time.Hour

// Resolve returns what a request stands for as of the last fetch that succeeded. It reaches no network: what was never
// asked for before is fetched by the next Fetch, and the error until then wraps ErrNotFetched.
func (r *Repository) Resolve(request Request) (Resolution, error) {
	wrap := func(err error) error { return fmt.Errorf("resolving %s of source %q: %w", request, r.source, err) }
	if err := request.Validate(); err != nil {
		return Resolution{}, wrap(err)
	}
	r.mu.Lock()
	registry := r.remote.registry()
	r.mu.Unlock()
	if request.Artifact.Name != "" && !registry {
		return Resolution{}, wrap(errors.New("only a registry has artifacts"))
	}
	known, err := r.ask(request)
	if err != nil {
		return Resolution{}, wrap(err)
	}
	if known.Digest != "" && exists(r.kept(known.Digest, archiveExtension)) {
		r.use(known.Digest)
		if registry {
			known.Manifest = known.Location
		}
		return known.Resolution, nil
	}
	if known.Err != "" {
		return Resolution{}, wrap(fmt.Errorf("%w: %s", ErrNotFetched, known.Err))
	}
	return Resolution{}, wrap(ErrNotFetched)
}

// ask notes that a request is made, and returns what is known of it.
func (r *Repository) ask(request Request) (want, error) {
	var known want
	file, now := r.wantFile(request), r.opts.Now()
	readJSON(file, &known)
	if known.Request != request {
		known = want{Request: request, asked: now}
		return known, r.write(known)
	}
	info, err := os.Stat(file)
	if err != nil {
		return want{}, err
	}
	if made := info.ModTime(); made.Before(now.Add(-time.Hour)) || made.After(now.Add(time.Hour)) {
		err = os.Chtimes(file, now, now)
	}
	return known, err
}

// write keeps what is known of a request.
func (r *Repository) write(w want) error {
	file := r.wantFile(w.Request)
	if err := writeJSON(file, w, true); err != nil {
		return err
	}
	return os.Chtimes(file, w.asked, w.asked)
}

const (
	archiveExtension    = ".tgz"
	provenanceExtension = ".prov"
)

// Chart returns an archive that was fetched as a file system, whose root is the chart's directory. The digest is that of
// a Resolution. An archive that is damaged is removed, so that the next fetch brings it again.
func (r *Repository) Chart(digestOf string) (*archive.Tree, error) {
	return r.unpack(opened{digest: digestOf})
}

// Files is Chart for an artifact with files, whose root is that of the archive.
func (r *Repository) Files(digestOf string) (*archive.Tree, error) {
	return r.unpack(opened{digestOf, true})
}

func (r *Repository) unpack(at opened) (*archive.Tree, error) {
	r.use(at.digest)
	if tree := r.unpacked(at); tree != nil {
		return tree, nil
	}
	r.unpacking.Lock()
	defer r.unpacking.Unlock()
	if tree := r.unpacked(at); tree != nil { // another did it meanwhile
		return tree, nil
	}
	data, err := r.readArchive(at.digest)
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", r.source, err)
	}
	tree, err := readAs(at.files, data, r.opts.Limits)
	if err != nil {
		return nil, fmt.Errorf("source %q: the archive %.12s: %w", r.source, at.digest, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opened += tree.Size(); r.opened > maxOpen {
		clear(r.open)
		r.opened = tree.Size()
	}
	r.open[at] = tree
	return tree, nil
}

// unpacked returns an archive that was, or nil.
func (r *Repository) unpacked(at opened) *archive.Tree {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[at]
}

// readAs reads an archive of files, or of a chart.
func readAs(files bool, data []byte, limits archive.Limits) (*archive.Tree, error) {
	if files {
		return archive.Files(data, limits)
	}
	return archive.Chart(data, limits)
}

// readArchive reads an archive and holds it against its name.
func (r *Repository) readArchive(digestOf string) ([]byte, error) {
	if !sha256Digits.MatchString(digestOf) {
		return nil, fmt.Errorf("%q is not the digest of an archive", digestOf)
	}
	data, err := os.ReadFile(r.kept(digestOf, archiveExtension))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the archive %.12s: %w", digestOf, ErrNotFetched)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the archive %.12s: %w", digestOf, err)
	}
	if have := digest(data); have != digestOf {
		os.Remove(r.kept(digestOf, archiveExtension)) // if this fails, whoever reads next finds the damage again
		return nil, fmt.Errorf("the archive %.12s is damaged, and is fetched again: %w", digestOf, ErrNotFetched)
	}
	return data, nil
}

// Verify reports an error unless what a request stands for comes with a statement, signed by a key of the keyring, that
// names this archive and version. The keyring is as gpg --export writes it, armored or not.
func (r *Repository) Verify(request Request, found Resolution, keyring []byte) error {
	statement, err := os.ReadFile(r.kept(found.Digest, provenanceExtension))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("it comes without a provenance file")
	case err == nil:
		err = provenance.Verify(statement, keyring, provenance.Claim{Chart: request.Chart, Version: found.Version, Digest: found.Digest})
	}
	if err != nil {
		return fmt.Errorf("version %s of chart %q of source %q is refused: %w", found.Version, request.Chart, r.source, err)
	}
	return nil
}
