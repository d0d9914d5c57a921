package desired

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/gitsource"
)

// repositoryOf returns the charts or artifacts that were fetched of a source. What was can be
// read without the credential.
func (p *Pipeline) repositoryOf(source v1alpha1.Source) (*chartsource.Repository, error) {
	if source.IsGit() {
		return nil, fmt.Errorf("source %q is a Git repository, and has no charts or artifacts by name", source.Name)
	}
	auth, _ := p.auth(source.Name, source.Credential)
	return p.charts.Repository(source.Name, chartsource.Remote{
		URL: source.URL, Auth: chartsource.Auth{Username: auth.Username, PasswordFile: auth.PasswordFile}, Provenance: source.Verify != nil && source.Verify.KeyringFile != "", Signatures: source.Verify != nil && source.Verify.CosignKeysFile != "",
	})
}

// fetchCharts brings the charts or artifacts that were asked for of a source up to date.
func (p *Pipeline) fetchCharts(ctx context.Context, source v1alpha1.Source) (gitsource.State, error) {
	repository, err := p.repositoryOf(source)
	if err != nil {
		return gitsource.State{}, err
	}
	s, err := repository.Fetch(ctx)
	return gitsource.State{
		Source: s.Source, URL: s.URL, LastAttempt: s.LastAttempt, LastFetched: s.LastFetched,
		FailingSince: s.FailingSince, Failures: s.Failures, Err: s.Err,
	}, err
}

// archiveDigest goes between the version and the digest in what stands for the
// commit of a chart or artifact: VERSION@sha256:DIGEST. The digest is what counts, and
// the version, or tag, is for people to read.
const archiveDigest = "@sha256:"

// archiveRequest reads the text of a revision that is a chart or an artifact.
func archiveRequest(text string) (chartsource.Request, bool) {
	if artifact, ok := app.ParseArtifact(text); ok {
		return chartsource.Request{Artifact: artifact}, true
	}
	chart, ok := v1alpha1.ParseChartVersion(text)
	return chartsource.Request{Chart: chart.Chart, Versions: chart.Version}, ok
}

// resolveArchive returns what a request stands for, if it is signed as the source must
// be.
func (p *Pipeline) resolveArchive(source v1alpha1.Source, files fs.FS, request chartsource.Request) (string, error) {
	repository, err := p.repositoryOf(source)
	if err != nil {
		return "", err
	}
	found, err := repository.Resolve(request)
	if err != nil {
		return "", err
	}
	if source.Verify != nil {
		if err := verifyArchive(repository, source.Verify, files, request, found); err != nil {
			return "", err
		}
	}
	return found.Version + archiveDigest + found.Digest, nil
}

// verifyArchive returns an error unless an archive is signed by one of those whose keys
// are in the files of the fleet repository.
func verifyArchive(repository *chartsource.Repository, by *v1alpha1.Verification, files fs.FS, request chartsource.Request, found chartsource.Resolution) error {
	var problems []error
	for _, way := range []struct {
		file   string
		verify func(chartsource.Request, chartsource.Resolution, []byte) error
	}{{by.KeyringFile, repository.Verify}, {by.CosignKeysFile, repository.VerifySigned}} {
		if way.file == "" {
			continue
		}
		keys, err := fs.ReadFile(files, way.file)
		if err != nil {
			return fmt.Errorf("reading the keys of those who may sign: %w", err)
		}
		if err = way.verify(request, found, keys); err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		return errors.New("nobody is named who may sign it")
	}
	return errors.Join(problems...)
}

// archive returns the files of an archive, of a chart or as they are in it.
func (p *Pipeline) archive(source v1alpha1.Source, commit string) (tree, error) {
	repository, err := p.repositoryOf(source)
	if err != nil {
		return nil, err
	}
	_, digest, _ := strings.Cut(commit, archiveDigest)
	if source.Type == v1alpha1.SourceOCI {
		return repository.Files(digest)
	}
	return repository.Chart(digest)
}
