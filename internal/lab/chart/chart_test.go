package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestWriteSVG(t *testing.T) {
	points := []Point{{0, 10}, {time.Minute, 20}, {2 * time.Minute, math.NaN()}, {3 * time.Minute, 0.5}}
	for _, c := range []struct {
		reason string
		chart  Chart
		want   []string
		not    string
	}{
		{"a line with a gap begins again", Chart{Title: "Memory <of it>", Unit: "MiB", Lines: []Line{{Name: "a & b", Points: points}}},
			[]string{"Memory &lt;of it&gt;", "a &amp; b", "MiB", "0:03:00", ">20<", "prefers-color-scheme:dark"}, "NaN"},
		{"marks and bands", Chart{Lines: []Line{{Points: points}}, Marks: []Mark{{time.Minute, "hub killed"}}, Bands: []Band{{0, time.Minute, "rest"}}},
			[]string{"hub killed", ">rest<", `class="band" x="70.0"`}, "NaN"},
		{"marks that would cover each other", Chart{Lines: []Line{{Points: points}}, Marks: []Mark{{time.Minute, "hub killed"}, {time.Minute, "hub restarted"}}},
			[]string{`y="52" text-anchor="middle">hub killed`, `y="68" text-anchor="middle">hub restarted`}, "NaN"},
		{"logarithmic, without what has no logarithm", Chart{Log: true, Lines: []Line{{Dots: true, Points: append(points, Point{time.Minute, 0})}}},
			[]string{">0.1<", ">100<", "<circle"}, "Inf"},
		{"nothing at all", Chart{}, []string{"<svg"}, "NaN"},
		{"nothing at all, logarithmic", Chart{Log: true}, []string{"<svg"}, "NaN"},
	} {
		var b strings.Builder
		if err := c.chart.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %s in\n%s", c.reason, want, b.String())
			}
		}
		if strings.Contains(b.String(), c.not) {
			t.Errorf("%s: %s in\n%s", c.reason, c.not, b.String())
		}
		decoder := xml.NewDecoder(strings.NewReader(b.String()))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: no XML: %v", c.reason, err)
			}
		}
	}
}
