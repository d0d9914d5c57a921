package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Figure is one thing measured.
type Figure struct {
	Bench string  `json:"bench"`
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Floor is what the same takes without nave, measured in the same run, and
	// Ratio the value in floors; both are nil where there is no floor.
	Floor *float64 `json:"floor,omitempty"`
	Ratio *float64 `json:"ratio,omitempty"`
	// Bar is the most that the ratio, or without a floor the value, may be.
	Bar *float64 `json:"bar,omitempty"`
}

// Over reports whether the figure is above its bar.
func (f Figure) Over() bool {
	switch {
	case f.Bar == nil:
		return false
	case f.Ratio != nil:
		return *f.Ratio > *f.Bar
	}
	return f.Value > *f.Bar
}

// String returns the figure as a line.
func (f Figure) String() string {
	line := fmt.Sprintf("%-13s %-40s %10s %s", f.Bench, f.Name, number(f.Value), f.Unit)
	if f.Floor != nil {
		line += fmt.Sprintf("  floor %s, ratio %s", number(*f.Floor), ratio(f.Ratio))
	}
	if f.Bar != nil {
		line += "  bar " + f.bar()
	}
	if f.Over() {
		line += "  OVER"
	}
	return line
}

// bar returns the bar as people write it.
func (f Figure) bar() string {
	switch {
	case f.Bar == nil:
		return ""
	case f.Ratio != nil:
		return number(*f.Bar) + " x"
	}
	return number(*f.Bar)
}

// number writes three digits that matter.
func number(x float64) string {
	switch magnitude := math.Abs(x); {
	case x == math.Trunc(x) || magnitude >= 100:
		return fmt.Sprintf("%.0f", x)
	case magnitude >= 10:
		return fmt.Sprintf("%.1f", x)
	case magnitude >= 0.1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

func ratio(x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%.2f", *x)
}

// seconds is a figure of time.
func seconds(name string, d time.Duration) Figure {
	return Figure{Name: name, Value: d.Seconds(), Unit: "s"}
}

// count is a figure that counts something.
func count(name string, n int) Figure { return Figure{Name: name, Value: float64(n)} }

// against gives the figure a floor, and a ratio where that means anything.
func (f Figure) against(floor float64) Figure {
	f.Floor = &floor
	if floor > 0 {
		ratio := f.Value / floor
		f.Ratio = &ratio
	}
	return f
}

// within gives the figure a bar.
func (f Figure) within(bar float64) Figure {
	f.Bar = &bar
	return f
}

// quantile returns the value below which a part of the durations lies, by the
// nearest rank.
func quantile(durations []time.Duration, part float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)]
}

// mean returns the arithmetic mean.
func mean(values []float64) float64 {
	sum := 0.0
	for _, value := range values {
		sum += value
	}
	return sum / float64(max(1, len(values)))
}

// exponent fits cost = a * size^b by least squares of the logarithms and returns
// b. Points without a size or cost are left out; fewer than two give 0.
func exponent(sizes, costs []float64) float64 {
	var xs, ys []float64
	for i := range sizes {
		if sizes[i] > 0 && costs[i] > 0 {
			xs, ys = append(xs, math.Log(sizes[i])), append(ys, math.Log(costs[i]))
		}
	}
	if len(xs) < 2 {
		return 0
	}
	mx, my := mean(xs), mean(ys)
	var above, below float64
	for i := range xs {
		above += (xs[i] - mx) * (ys[i] - my)
		below += (xs[i] - mx) * (xs[i] - mx)
	}
	if below == 0 {
		return 0
	}
	return above / below
}

// row returns the figure as a row of a Markdown table.
func (f Figure) row(day string) string {
	floor := ""
	if f.Floor != nil {
		floor = number(*f.Floor)
	}
	bar := f.bar()
	if f.Over() {
		bar = "**" + bar + "**"
	}
	cells := []string{"`" + f.Bench + "`", f.Name, number(f.Value), f.Unit, floor, ratio(f.Ratio), bar, day}
	return "| " + strings.Join(cells, " | ") + " |"
}
