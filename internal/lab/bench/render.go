package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// render measures nave validate, which renders every app of every cluster: with
// empty caches, again, and after a line in one base has changed.
func render(ctx context.Context, s *site) ([]Figure, error) {
	var figures []Figure
	for _, c := range []struct {
		name     string
		clusters int
		f        fleet
	}{
		{"24 x 50 apps", 24, large},
		{"5,000 directories", 1, fleet{apps: 5000 / (len(environments) + 1), form: overlays}},
	} {
		f := c.f.scaled(s.opts).on(s.opts.scaled(c.clusters))
		changed := strings.Replace(f.objectsOf(0)["deployment.yaml"], "value: info", "value: debug", 1)
		found, err := s.rendering(ctx, f, []state{
			{name: c.name + ", cold"}, {name: c.name + ", warm"},
			{name: c.name + ", after one change", changes: files{f.deploymentFile(0): changed}},
		})
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

// on returns the fleet with clusters by number, of which there need be none.
func (f fleet) on(clusters int) fleet {
	f.clusters = nil
	for i := range clusters {
		f.clusters = append(f.clusters, fmt.Sprintf("lab-%d", i+1))
	}
	return f
}

// state is one of a fleet repository in which it is rendered: after some files have
// changed.
type state struct {
	name    string
	changes files
}

// rendering measures nave validate in each of some states, one after the other,
// from empty caches on.
func (s *site) rendering(ctx context.Context, f fleet, states []state) (figures []Figure, err error) {
	for _, dir := range []string{"caches", "fleet"} {
		if err := os.RemoveAll(filepath.Join(s.dir, dir)); err != nil {
			return nil, err
		}
	}
	if err := f.write(s.repository()); err != nil {
		return nil, err
	}
	for i, state := range states {
		if err := state.changes.write(s.repository()); err != nil {
			return nil, err
		}
		one, err := s.validate(ctx)
		if err != nil {
			return nil, err
		}
		figures = append(figures, seconds(state.name, one.took), seconds(state.name+", processor", one.cpu))
		if i == 0 {
			figures = append(figures, Figure{Name: state.name + ", memory of the largest process", Value: float64(one.memory) / (1 << 20), Unit: "MiB"})
		}
	}
	return figures, nil
}

// maxResident returns the largest resident size, in bytes, of an ended process or
// of one that it waited for.
func maxResident(state *os.ProcessState) int64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}
