package chartsource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ocidigest "github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"nave.dev/internal/app"
	"nave.dev/internal/chartsource/cosign"
)

// signed is what Cosign says of a manifest: enough to know without the registry that an archive is signed.
type signed struct {
	Manifest   []byte             `json:"manifest"` // of the artifact
	Statements []cosign.Statement `json:"statements"`
	From       string             `json:"from"` // the digest of the manifest that these were in
}

// signedExtension ends the file of what is signed, of an archive in one manifest.
const signedExtension = ".cosign"

func (r *Repository) signedFile(archive, manifest string) string {
	_, hex, _ := strings.Cut(manifest, ":")
	return r.kept(archive, "-"+hex+signedExtension)
}

// keepSigned fetches the signatures of a release unless they are as before. Those that the registry no longer has stay.
func (r *Repository) keepSigned(ctx context.Context, from upstream, request Request, found release) error {
	file := r.signedFile(found.Digest, found.Location)
	var before signed
	readJSON(file, &before)
	now, err := from.signatures(ctx, request, found, before)
	if err != nil || now == nil || now.From == before.From {
		return err
	}
	return writeJSON(file, now, true)
}

// VerifySigned reports an error unless Cosign has signed, by one of the keys, the manifest of what a request stands for,
// and that manifest has the archive. The keys are in PEM.
func (r *Repository) VerifySigned(request Request, found Resolution, keys []byte) error {
	var known signed
	readJSON(r.signedFile(found.Digest, found.Manifest), &known)
	err := cosign.Verify(known.Statements, keys, found.Manifest)
	if err == nil {
		err = known.holds(request.Artifact, found)
	}
	if err != nil {
		return fmt.Errorf("%s of source %q is refused: %w", reference(request.name(), found.Version), r.source, err)
	}
	return nil
}

// holds returns an error unless the manifest is what its digest says, and has the archive.
func (s signed) holds(of app.Artifact, found Resolution) error {
	if have := ocidigest.FromBytes(s.Manifest).String(); have != found.Manifest {
		return fmt.Errorf("its manifest has the digest %s, and not %s", have, found.Manifest)
	}
	layers, err := parseManifest(s.Manifest, of)
	if err != nil {
		return err
	}
	if have := layers.content.Digest.String(); have != "sha256:"+found.Digest {
		return fmt.Errorf("its manifest is of the archive %s, and not of %s", have, found.Digest)
	}
	return nil
}

// signatures implements upstream.
func (r *ociRegistry) signatures(ctx context.Context, request Request, found release, before signed) (*signed, error) {
	repository, err := r.repository(request.name())
	if err != nil {
		return nil, err
	}
	wrap := func(err error) (*signed, error) {
		return nil, fmt.Errorf("reading the signatures of %s: %w", reference(repository.Reference.Repository, found.Location), err)
	}
	at, err := repository.Resolve(ctx, cosign.Tag(found.Location))
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return nil, nil
	case err != nil:
		return wrap(err)
	case at.Digest.String() == before.From:
		return &before, nil
	case at.Size > maxManifest:
		return wrap(fmt.Errorf("their manifest has more than %d bytes", maxManifest))
	}
	now := &signed{From: at.Digest.String()}
	manifest, err := content.FetchAll(ctx, repository, at)
	if err != nil {
		return wrap(err)
	}
	layers, err := cosign.Layers(manifest)
	if err != nil {
		return wrap(err)
	}
	for _, l := range layers {
		payload, err := content.FetchAll(ctx, repository.Blobs(), l.Descriptor)
		if err != nil {
			return wrap(err)
		}
		now.Statements = append(now.Statements, cosign.Statement{Payload: payload, Signature: l.Signature})
	}
	of, err := repository.Resolve(ctx, found.Location)
	if err == nil && of.Size > maxManifest {
		err = fmt.Errorf("its manifest has more than %d bytes", maxManifest)
	}
	if err == nil {
		now.Manifest, err = content.FetchAll(ctx, repository, of)
	}
	if err != nil {
		return wrap(err)
	}
	return now, nil
}
