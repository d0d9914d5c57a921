package lab

import (
	"context"
	"path/filepath"

	"nave.dev/internal/lab/chartserver"
)

// chartsName is the directory of the Helm repository that the Git server serves too.
const chartsName = "charts"

// chartsPath is where the Git server serves charts. It is the name of no Git repository.
const chartsPath = "/-/charts"

// ChartsURL returns the address of the Helm repository.
func (l *Lab) ChartsURL() (string, error) {
	url, err := l.GitURL()
	if err != nil {
		return "", err
	}
	return url + chartsPath, nil
}

// AddChart packs a chart's directory into the Helm repository, beside what it has, and returns the chart's name and
// version. A version that it has is replaced.
func (l *Lab) AddChart(ctx context.Context, dir string) (name, version string, err error) {
	err = l.change(ctx, func(s *state) error {
		if s.Git.Port == 0 {
			return l.noLab()
		}
		name, version, err = chartserver.Add(filepath.Join(l.dir, chartsName), dir)
		return err
	})
	return name, version, err
}

// SetChartsAway has the Helm repository answer 503 to everything, or serve again.
func (l *Lab) SetChartsAway(ctx context.Context, away bool) error {
	return l.change(ctx, func(s *state) error {
		if s.Git.Port == 0 {
			return l.noLab()
		}
		s.Git.ChartsAway = away
		if err := l.save(s); err != nil {
			return err
		}
		return l.reloadNetwork(ctx)
	})
}
