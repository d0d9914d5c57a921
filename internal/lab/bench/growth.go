package bench

import (
	"context"
	"fmt"
	"slices"

	"nave.dev/internal/lab"
)

// growthBar is the exponent that a cost may grow with: one, and what scatter of
// measurements makes of it.
const growthBar = 1.1

// growth brings up fleets of rising size, and fits how the processor time of the
// hub and its workers grows, beyond that of a hub without apps.
func growth(ctx context.Context, s *site) ([]Figure, error) {
	if err := s.rest(ctx, true); err != nil {
		return nil, err
	}
	nothing, err := s.cost(ctx, fleet{}, 1)
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, along := range []struct {
		name  string
		sizes []int
		fleet func(n int) (f fleet, clusters int)
	}{
		{"clusters with 50 apps", []int{1, 6, 12, 24}, func(n int) (fleet, int) { return fleet{apps: s.opts.scaled(50), form: overlays}, n }},
		{"apps on a cluster", []int{10, 100, 500, 2000}, func(n int) (fleet, int) { return fleet{apps: n, form: plain}, 1 }},
		{"objects in an app", []int{10, 100, 1000, 10_000}, func(n int) (fleet, int) { return fleet{apps: 1, objects: n, form: plain}, 1 }},
	} {
		var sizes, costs []float64
		for _, n := range along.sizes {
			n = s.opts.scaled(n)
			f, clusters := along.fleet(n)
			cost, err := s.cost(ctx, f, min(clusters, len(s.clusters)))
			if err != nil {
				return nil, err
			}
			s.say("%d %s: %.2f s of processor", n, along.name, cost)
			sizes, costs = append(sizes, float64(n)), append(costs, cost-nothing)
		}
		figures = append(figures,
			Figure{Name: fmt.Sprintf("exponent over %s, %.0f to %.0f", along.name, slices.Min(sizes), slices.Max(sizes)), Value: exponent(sizes, costs)}.within(growthBar),
			Figure{Name: fmt.Sprintf("processor for %.0f %s", slices.Max(sizes), along.name), Value: costs[len(costs)-1], Unit: "s"})
	}
	return figures, s.clear(ctx)
}

// cost returns the processor seconds of a hub that brings a fleet about on the
// first clusters, from nothing.
func (s *site) cost(ctx context.Context, f fleet, clusters int) (float64, error) {
	part := *s
	part.clusters = s.clusters[:clusters]
	f.clusters = part.clusters
	if err := part.push(ctx, f); err != nil {
		return 0, err
	}
	objects := map[string][]stated{}
	if f.apps > 0 {
		var err error
		if objects, err = part.wanted(ctx, f); err != nil {
			return 0, err
		}
	}
	one, err := s.byNave(ctx, objects)
	if err != nil {
		return 0, err
	}
	if len(objects) == 0 {
		if err := lab.Pause(ctx, quiet); err != nil { // until leases are held and nothing is left to do
			return 0, err
		}
		usage, err := s.hubUsage()
		return usage.CPU.Seconds(), err
	}
	return one.cpu.Seconds(), nil
}
