package soak

import (
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	minutes := func(count int, value func(minute float64) float64) (points []point) {
		for i := range count {
			points = append(points, point{time.Duration(i) * time.Minute, value(float64(i))})
		}
		return points
	}
	level := func(value float64) func(float64) float64 { return func(float64) float64 { return value } }
	allow := allowed{load: 10, rest: 2, share: 0.10, quiet: 0.01}
	for _, c := range []struct {
		reason              string
		load, before, after []point
		want                string
	}{
		{"the same all the time", minutes(40, level(100)), minutes(2, level(90)), minutes(2, level(90)), Flat},
		{"up and down", minutes(40, func(m float64) float64 { return 100 + 50*float64(int(m)%2) }), minutes(2, level(90)), minutes(2, level(91)), Flat},
		{"one outlier at the end", minutes(40, func(m float64) float64 { return 100 + max(0, m-38)*500 }), minutes(2, level(90)), minutes(2, level(90)), Flat},
		{"falling", minutes(40, func(m float64) float64 { return 200 - m }), minutes(2, level(90)), minutes(2, level(90)), Flat},
		{"one a minute", minutes(40, func(m float64) float64 { return 100 + m }), minutes(2, level(90)), minutes(2, level(90)), Rising},
		{"hidden by the load, and there at rest", minutes(40, level(100)), minutes(2, level(90)), minutes(2, level(95)), Rising},
		{"a few minutes", minutes(4, func(m float64) float64 { return 100 + 100*m }), minutes(2, level(90)), minutes(2, level(900)), TooShort},
		{"no sample", nil, nil, nil, TooShort},
	} {
		var trend Trend
		if trend.judge(c.load, c.before, c.after, allow); trend.Verdict != c.want {
			t.Errorf("%s: %+v, want %s", c.reason, trend, c.want)
		}
	}
}

func TestSlope(t *testing.T) {
	points := []point{{0, 7}, {30 * time.Minute, 8}, {time.Hour, 9}}
	if got := slope(points); got < 1.999 || got > 2.001 {
		t.Errorf("slope %v per hour, want 2", got)
	}
	if got := slope(points[:1]); got != 0 {
		t.Errorf("slope %v of one point, want 0", got)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values []float64
		share  float64
		want   float64
	}{
		{nil, 0.5, 0}, {[]float64{3}, 0.99, 3}, {[]float64{40, 2}, 0.5, 2}, {[]float64{40, 2}, 0.99, 40}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{1, 2}, 0, 1},
	} {
		if got := quantile(c.values, c.share); got != c.want {
			t.Errorf("quantile %v of %v is %v, want %v", c.share, c.values, got, c.want)
		}
	}
}
