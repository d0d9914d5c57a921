package chartsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// upstream is a remote while it is asked.
type upstream interface {
	// find returns the release that a request means now, which was another one before, if any. The error wraps
	// ErrNoChart if there is none.
	find(ctx context.Context, request Request, before release) (release, error)
	// archive returns the bytes of a release.
	archive(ctx context.Context, request Request, found release) ([]byte, error)
	// provenance returns the signed statement of a release; nothing if it has none.
	provenance(ctx context.Context, request Request, found release) ([]byte, error)
	// signatures returns what Cosign has signed of a release: what was known before if that is so still, nothing if it
	// has nothing.
	signatures(ctx context.Context, request Request, found release, before signed) (*signed, error)
}

// atOnce is how many charts of one source are fetched at the same time.
const atOnce = 4

// Fetch asks the remote what it has and brings the archives of all requests that were made of late. One that cannot be
// brought does not keep the others, and what it stood for stays in force; the error joins what went wrong and is also in
// the State. A fetch that ends with ctx counts neither as success nor as failure.
func (r *Repository) Fetch(ctx context.Context) (State, error) {
	wrap := func(err error) error { return fmt.Errorf("fetching source %q: %w", r.source, err) }
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return r.State(), wrap(context.Cause(ctx))
	}
	r.mu.Lock()
	remote := r.remote
	r.mu.Unlock()

	began := r.opts.Now()
	err := r.fetch(ctx, remote)
	if err != nil {
		err = wrap(err)
		if ctx.Err() != nil {
			return r.State(), err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = r.state.after(began, err)
	return r.state, errors.Join(err, writeJSON(r.file("state.json"), r.state, false))
}

func (r *Repository) fetch(ctx context.Context, remote Remote) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.opts.FetchTimeout, fmt.Errorf("it took more than %v", r.opts.FetchTimeout))
	defer cancel()
	r.sweep()
	wanted, err := r.wanted()
	if err != nil {
		return err
	}
	from, err := r.reach(ctx, remote, wanted)
	if err != nil {
		problems := []error{err}
		for _, w := range wanted {
			problems = append(problems, r.note(w, err))
		}
		return errors.Join(problems...)
	}
	problems := make([]error, len(wanted))
	turns := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, w := range wanted {
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			problems[i] = r.bring(ctx, from, remote, w)
		})
	}
	group.Wait()
	r.drop()
	return errors.Join(problems...)
}

// reach asks a repository for what its index has of what is wanted; a registry has no index.
func (r *Repository) reach(ctx context.Context, remote Remote, wanted []want) (upstream, error) {
	access, err := remote.Auth.read()
	if err != nil {
		return nil, err
	}
	if remote.registry() {
		return newRegistry(remote, access, r.opts), nil
	}
	var known *index
	readJSON(r.file("index.json"), &known)
	if known != nil && known.Charts == nil {
		known = nil
	}
	var charts []string
	for _, w := range wanted {
		charts = append(charts, w.Chart)
	}
	slices.Sort(charts)
	h, err := newHelmRepository(ctx, remote, access, r.opts, slices.Compact(charts), known)
	if err != nil {
		return nil, err
	}
	if h.index != known {
		err = writeJSON(r.file("index.json"), h.index, false)
	}
	return h, err
}

// wanted returns the requests to keep up to date.
func (r *Repository) wanted() ([]want, error) {
	entries, err := os.ReadDir(r.file(wantsDir))
	if err != nil {
		return nil, fmt.Errorf("reading which charts are wanted: %w", err)
	}
	var wanted []want
	for _, entry := range entries {
		var w want
		if strings.HasPrefix(entry.Name(), temporary) {
			continue
		}
		readJSON(filepath.Join(r.dir, wantsDir, entry.Name()), &w)
		info, err := entry.Info()
		if err != nil || w.Validate() != nil {
			continue // made by a process that was killed, and made again
		}
		if w.asked = info.ModTime(); r.opts.Now().Sub(w.asked) < recent {
			wanted = append(wanted, w)
		}
	}
	return wanted, nil
}

// bring brings what a request stands for now, and keeps it.
func (r *Repository) bring(ctx context.Context, from upstream, remote Remote, w want) error {
	before := release{Version: w.Version, Digest: w.Digest, Location: w.Location}
	found, err := from.find(ctx, w.Request, before)
	if errors.Is(err, ErrNoChart) && w.Digest != "" {
		return r.hold(w, err)
	}
	if err == nil {
		if found.Digest == "" && found.Version == before.Version && found.Location == before.Location {
			found.Digest = before.Digest // which was found by fetching it
		}
		found.Digest, err = r.keep(ctx, from, w.Request, found)
	}
	if err == nil && remote.Provenance && !exists(r.kept(found.Digest, provenanceExtension)) {
		err = r.keepProvenance(ctx, from, w.Request, found)
	}
	if err == nil && remote.Signatures {
		err = r.keepSigned(ctx, from, w.Request, found)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", w.Request, err)
		return errors.Join(err, r.note(w, err))
	}
	if found == before && w.HeldSince.IsZero() && w.Err == "" {
		return nil
	}
	if found.Digest != before.Digest || found.Version != before.Version {
		w.Since = r.opts.Now()
	}
	w.Version, w.Digest, w.Location = found.Version, found.Digest, found.Location
	w.HeldSince, w.HeldBecause, w.Err = time.Time{}, "", ""
	return r.write(w)
}

// hold notes that the remote no longer has what a request asks for. What it stood for stays.
func (r *Repository) hold(w want, because error) error {
	if !w.HeldSince.IsZero() && w.HeldBecause == because.Error() && w.Err == "" {
		return nil
	}
	if w.HeldSince.IsZero() {
		w.HeldSince = r.opts.Now()
	}
	w.HeldBecause, w.Err = because.Error(), ""
	return r.write(w)
}

// note keeps why a request could not be brought.
func (r *Repository) note(w want, why error) error {
	if w.Err == why.Error() {
		return nil
	}
	w.Err = why.Error()
	return r.write(w)
}

// keep fetches an archive, unless it is there, and returns its digest. What cannot be read as what it is
// to be is not kept.
func (r *Repository) keep(ctx context.Context, from upstream, request Request, found release) (string, error) {
	if found.Digest != "" && exists(r.kept(found.Digest, archiveExtension)) {
		return found.Digest, nil
	}
	data, err := from.archive(ctx, request, found)
	if err != nil {
		return "", fmt.Errorf("version %s: %w", found.Version, err)
	}
	have := digest(data)
	if found.Digest != "" && have != found.Digest {
		return "", fmt.Errorf("version %s: the archive has the digest %s, and the repository states %s", found.Version, have, found.Digest)
	}
	if err := r.try(request, data); err != nil {
		return "", fmt.Errorf("version %s: the archive is refused: %w", found.Version, err)
	}
	return have, writeFile(r.kept(have, archiveExtension), data, true)
}

// try reports what is wrong with an archive.
func (r *Repository) try(request Request, data []byte) error {
	r.unpacking.Lock()
	defer r.unpacking.Unlock()
	_, err := readAs(request.Artifact.Files, data, r.opts.Limits)
	return err
}

// keepProvenance fetches the signed statement of a release, if there is one.
func (r *Repository) keepProvenance(ctx context.Context, from upstream, request Request, found release) error {
	data, err := from.provenance(ctx, request, found)
	if err != nil || data == nil {
		return err
	}
	return writeFile(r.kept(found.Digest, provenanceExtension), data, true)
}

// sweep removes what processes that were killed have left behind.
func (r *Repository) sweep() {
	filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), temporary) {
			return nil
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(path)
		}
		return nil
	})
}
