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
		f := c.f.scaled(s.opts)
		for i := range s.opts.scaled(c.clusters) {
			f.clusters = append(f.clusters, fmt.Sprintf("lab-%d", i+1))
		}
		found, err := s.rendering(ctx, c.name, f)
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

func (s *site) rendering(ctx context.Context, name string, f fleet) (figures []Figure, err error) {
	for _, dir := range []string{"caches", "fleet"} {
		if err := os.RemoveAll(filepath.Join(s.dir, dir)); err != nil {
			return nil, err
		}
	}
	if err := f.write(s.repository()); err != nil {
		return nil, err
	}
	for _, state := range []string{"cold", "warm", "after one change"} {
		if state == "after one change" {
			changed := strings.Replace(f.objectsOf(0)["deployment.yaml"], "value: info", "value: debug", 1)
			if err := (files{"apps/" + appName(0) + "/base/deployment.yaml": changed}).write(s.repository()); err != nil {
				return nil, err
			}
		}
		one, err := s.validate(ctx)
		if err != nil {
			return nil, err
		}
		label := name + ", " + state
		figures = append(figures, seconds(label, one.took), seconds(label+", processor", one.cpu))
		if state == "cold" {
			figures = append(figures, Figure{Name: label + ", memory of the largest process", Value: float64(one.memory) / (1 << 20), Unit: "MiB"})
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
