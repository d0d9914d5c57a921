package soak

import (
	"math"
	"slices"
	"time"
)

// Verdicts on a figure over time.
const (
	Flat     = "flat"
	Rising   = "rising"
	TooShort = "too short to tell"
)

// Trend is how a figure went while one hub process ran under load, and at rest
// before and after that.
type Trend struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	First float64 `json:"firstQuarter"` // median
	Last  float64 `json:"lastQuarter"`  // median
	Slope float64 `json:"slopePerHour"` // of the least-squares line
	// RestBefore and RestAfter are medians while nothing was done.
	RestBefore float64 `json:"restBefore"`
	RestAfter  float64 `json:"restAfter"`
	Verdict    string  `json:"verdict"`
}

// allowed says by how much a figure may be higher and still be called flat: the
// larger of an absolute number and a share. Under load the number of clusters
// that are away differs from moment to moment; at rest it does not.
type allowed struct {
	load, rest   float64 // in the figure's unit
	share, quiet float64 // of the value before, under load and at rest
}

// leastLoad is the time under load below which nothing is judged: caches still
// fill.
const leastLoad = 5 * time.Minute

// judge compares the figure's first quarter with its last and fits a line. It
// rises if both say so, or if it is higher at rest after the load than before.
func (t *Trend) judge(load, before, after []point, allow allowed) {
	t.RestBefore, t.RestAfter = median(before), median(after)
	t.Verdict = TooShort
	if len(load) == 0 {
		return
	}
	window := load[len(load)-1].at - load[0].at
	quarter := load[0].at + window/4
	t.First = median(slices.DeleteFunc(slices.Clone(load), func(p point) bool { return p.at > quarter }))
	quarter = load[len(load)-1].at - window/4
	t.Last = median(slices.DeleteFunc(slices.Clone(load), func(p point) bool { return p.at < quarter }))
	t.Slope = slope(load)
	if window < leastLoad {
		return
	}
	t.Verdict = Flat
	bound := max(allow.load, allow.share*t.First)
	if t.Last-t.First > bound && t.Slope*window.Hours() > bound {
		t.Verdict = Rising
	}
	if t.RestAfter-t.RestBefore > max(allow.rest, allow.quiet*t.RestBefore) {
		t.Verdict = Rising
	}
}

// point is one value of a figure.
type point struct {
	at    time.Duration
	value float64
}

// slope returns the rise per hour of the least-squares line.
func slope(points []point) float64 {
	if len(points) == 0 {
		return 0
	}
	var x, y float64
	for _, p := range points {
		x += p.at.Hours() / float64(len(points))
		y += p.value / float64(len(points))
	}
	var covariance, variance float64
	for _, p := range points {
		covariance += (p.at.Hours() - x) * (p.value - y)
		variance += (p.at.Hours() - x) * (p.at.Hours() - x)
	}
	if variance == 0 {
		return 0
	}
	return covariance / variance
}

func median(points []point) float64 {
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = p.value
	}
	return quantile(values, 0.5)
}

// quantile returns the least value that the share of all values does not exceed;
// 0 if there are none.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}
