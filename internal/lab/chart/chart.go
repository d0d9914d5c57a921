// Package chart draws figures over time as plain SVG, for documents. A Chart
// holds the values; WriteSVG draws it with axes, units and a legend, in colours
// that follow the reader's light or dark background. It reads and computes
// nothing.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// Chart is one picture.
type Chart struct {
	Title string
	Unit  string // of the values
	Lines []Line
	Marks []Mark
	Bands []Band
	// Log draws the values on a logarithmic scale; those of 0 and less are left out.
	Log bool
}

// Line is one row of values.
type Line struct {
	Name   string
	Points []Point
	Dots   bool // draws the points alone
}

// Point is one value; NaN leaves a gap.
type Point struct {
	At    time.Duration
	Value float64
}

// Break leaves a gap at a moment.
func (l *Line) Break(at time.Duration) {
	l.Points = append(l.Points, Point{At: at, Value: math.NaN()})
}

// Mark is a moment at which something happened to everything. Those of a chart
// are in the order of time.
type Mark struct {
	At   time.Duration
	Text string
}

// Band is a stretch of time that is shaded.
type Band struct {
	From, To time.Duration
	Text     string
}

// The picture and, in it, the field of the values, in pixels.
const (
	width, height            = 860, 300
	left, right, top, bottom = 70, 20, 56, 40
)

const style = `<style>
text{font:12px system-ui,sans-serif;fill:#24292f}
.title{font-size:15px;font-weight:600}
.paper{fill:#ffffff}.grid{stroke:#d0d7de}.band{fill:#eaeef2}.mark{stroke:#cf222e;stroke-dasharray:4 3}.marked{fill:#cf222e;font-size:11px}.banded{font-size:11px}
.l0{stroke:#0969da;fill:#0969da}.l1{stroke:#bc4c00;fill:#bc4c00}.l2{stroke:#1a7f37;fill:#1a7f37}.l3{stroke:#8250df;fill:#8250df}
path{fill:none!important;stroke-width:1.6}circle{stroke:none!important}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.paper{fill:#0d1117}.grid{stroke:#30363d}.band{fill:#1c2128}.mark{stroke:#ff7b72}.marked{fill:#ff7b72}
.l0{stroke:#58a6ff;fill:#58a6ff}.l1{stroke:#f0883e;fill:#f0883e}.l2{stroke:#3fb950;fill:#3fb950}.l3{stroke:#bc8cff;fill:#bc8cff}
}
</style>
`

// WriteSVG draws the chart. It has four colours; further lines share them.
func (c Chart) WriteSVG(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, height, html.EscapeString(c.Title))
	b.WriteString(style)
	fmt.Fprintf(&b, `<rect class="paper" width="%d" height="%d"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="20">%s</text>`+"\n", left, html.EscapeString(c.Title))
	x, y := c.scales()
	for _, band := range c.Bands {
		fmt.Fprintf(&b, `<rect class="band" x="%.1f" y="%d" width="%.1f" height="%d"/>`+"\n",
			x.at(band.From.Seconds()), top, x.at(band.To.Seconds())-x.at(band.From.Seconds()), height-top-bottom)
		fmt.Fprintf(&b, `<text class="banded" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x.at((band.From+band.To).Seconds()/2), height-bottom-6, html.EscapeString(band.Text))
	}
	for _, tick := range y.ticks {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, left, width-right, y.at(tick), y.at(tick))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-8, y.at(tick)+4, number(tick))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, top-14, html.EscapeString(c.Unit))
	for _, tick := range x.ticks {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, x.at(tick), x.at(tick), height-bottom, height-bottom+5)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x.at(tick), height-bottom+18, clock(tick))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">time, h:min:s</text>`+"\n", width-right, height-6)
	free := 0.0 // where no text of a mark is above the field
	for _, mark := range c.Marks {
		at := x.at(mark.At.Seconds())
		half := 3.2 * float64(len([]rune(mark.Text)))
		middle := min(at, width-half-2)
		line := float64(top - 4)
		if middle-half < free {
			line += 16 // into the field
		} else {
			free = middle + half + 4
		}
		fmt.Fprintf(&b, `<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, at, at, top, height-bottom)
		fmt.Fprintf(&b, `<text class="marked" x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", middle, line, html.EscapeString(mark.Text))
	}
	legend := left
	for i, line := range c.Lines {
		class := fmt.Sprintf("l%d", i%4)
		fmt.Fprintf(&b, `<circle class="%s" cx="%d" cy="34" r="4"/><text x="%d" y="38">%s</text>`+"\n", class, legend+4, legend+13, html.EscapeString(line.Name))
		legend += 30 + 7*len([]rune(line.Name))
		if line.Dots {
			c.dots(&b, line, class, x, y)
		} else {
			c.path(&b, line, class, x, y)
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

func (c Chart) dots(b *strings.Builder, line Line, class string, x, y axis) {
	for _, p := range line.Points {
		if c.drawn(p.Value) {
			fmt.Fprintf(b, `<circle class="%s" cx="%.1f" cy="%.1f" r="2"/>`+"\n", class, x.at(p.At.Seconds()), y.at(p.Value))
		}
	}
}

func (c Chart) path(b *strings.Builder, line Line, class string, x, y axis) {
	fmt.Fprintf(b, `<path class="%s" d="`, class)
	pen := "M"
	for _, p := range line.Points {
		if !c.drawn(p.Value) {
			pen = "M"
			continue
		}
		fmt.Fprintf(b, "%s%.1f %.1f", pen, x.at(p.At.Seconds()), y.at(p.Value))
		pen = "L"
	}
	b.WriteString(`"/>` + "\n")
}

func (c Chart) drawn(value float64) bool { return !math.IsNaN(value) && (!c.Log || value > 0) }

// axis maps values to pixels.
type axis struct {
	from, to float64 // values at the ends, or their logarithms
	start    float64 // pixels of from
	length   float64 // pixels; negative upwards
	log      bool
	ticks    []float64
}

func (a axis) at(value float64) float64 {
	if a.log {
		value = math.Log10(value)
	}
	return a.start + (value-a.from)/(a.to-a.from)*a.length
}

// scales fits the axes to all that is drawn. Values begin at 0, so that what
// looks flat is flat, unless the scale is logarithmic.
func (c Chart) scales() (x, y axis) {
	least, most, end := math.Inf(1), 0.0, time.Second
	for _, line := range c.Lines {
		for _, p := range line.Points {
			end = max(end, p.At)
			if c.drawn(p.Value) {
				least, most = min(least, p.Value), max(most, p.Value)
			}
		}
	}
	for _, mark := range c.Marks {
		end = max(end, mark.At)
	}
	x = axis{to: end.Seconds(), start: left, length: width - left - right}
	step := x.to / 8
	for _, round := range []float64{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400} {
		if step <= round {
			step = round
			break
		}
	}
	for tick := 0.0; tick <= x.to; tick += step {
		x.ticks = append(x.ticks, tick)
	}
	y = axis{start: height - bottom, length: -(height - top - bottom), log: c.Log}
	if c.Log {
		if most == 0 {
			least, most = 1, 10
		}
		y.from, y.to = math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
		if y.to == y.from {
			y.to++
		}
		for power := y.from; power <= y.to; power++ {
			y.ticks = append(y.ticks, math.Pow(10, power))
		}
		return x, y
	}
	stride := niceStep(most / 5)
	for tick := 0.0; ; tick += stride {
		y.ticks, y.to = append(y.ticks, tick), tick
		if tick >= most && tick > 0 {
			return x, y
		}
	}
}

// niceStep rounds up to 1, 2 or 5 times a power of ten.
func niceStep(least float64) float64 {
	if least <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= least {
			return factor * power
		}
	}
	return 10 * power
}

// number prints a tick of the values, without the noise of binary fractions.
func number(value float64) string {
	text := fmt.Sprintf("%.4f", value)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// clock prints seconds as h:mm:ss.
func clock(seconds float64) string {
	s := int(math.Round(seconds))
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
