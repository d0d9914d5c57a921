package desired

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/chartsource"
	"nave.dev/internal/gitsource"
)

// repositoryOf returns the charts that were fetched of a source. What was can be
// read without the credential.
func (p *Pipeline) repositoryOf(source v1alpha1.Source) (*chartsource.Repository, error) {
	if source.Type != v1alpha1.SourceHelm {
		return nil, fmt.Errorf("source %q is a Git repository, and has no charts by name", source.Name)
	}
	auth, _ := p.auth(source.Name, source.Credential)
	return p.charts.Repository(source.Name, chartsource.Remote{
		URL: source.URL, Auth: chartsource.Auth{Username: auth.Username, PasswordFile: auth.PasswordFile}, Provenance: source.Verify != nil,
	})
}

// fetchCharts brings the charts that were asked for of a source up to date.
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
// commit of a chart: VERSION@sha256:DIGEST. The digest is what counts, and the
// version is for people to read.
const archiveDigest = "@sha256:"

// resolveChart returns what a chart's range of versions stands for, if it is signed
// as the source must be. The keyring is a file of the fleet repository.
func (p *Pipeline) resolveChart(source v1alpha1.Source, files fs.FS, chart v1alpha1.ChartVersion) (string, error) {
	repository, err := p.repositoryOf(source)
	if err != nil {
		return "", err
	}
	request := chartsource.Request{Chart: chart.Chart, Versions: chart.Version}
	found, err := repository.Resolve(request)
	if err != nil {
		return "", err
	}
	if source.Verify != nil {
		keyring, err := fs.ReadFile(files, source.Verify.KeyringFile)
		if err != nil {
			return "", fmt.Errorf("reading the keyring: %w", err)
		}
		if err := repository.Verify(request, found, keyring); err != nil {
			return "", err
		}
	}
	return found.Version + archiveDigest + found.Digest, nil
}

// chart returns the files of an archive.
func (p *Pipeline) chart(source v1alpha1.Source, commit string) (tree, error) {
	repository, err := p.repositoryOf(source)
	if err != nil {
		return nil, err
	}
	_, digest, _ := strings.Cut(commit, archiveDigest)
	return repository.Chart(digest)
}
