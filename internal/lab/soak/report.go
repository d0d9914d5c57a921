package soak

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"nave.dev/internal/lab/chart"
)

// Report is what a soak found.
type Report struct {
	Seed uint64 `json:"seed"`
	// Complete says that the run went to its end: what is missing was not looked
	// for before that.
	Complete bool           `json:"complete"`
	Clusters int            `json:"clusters"`
	Objects  int            `json:"objects"` // that the hub kept when it began
	Seconds  float64        `json:"seconds"` // rests and the end included
	Done     map[string]int `json:"done"`    // what was done, and how often
	Trends   []Trend        `json:"trends"`
	Times    []Times        `json:"times"`
	// Wrong are outcomes that must not be: something lost, late or left behind.
	Wrong []string `json:"wrong"`

	samples []sample
	marks   []mark
	timings map[string][]timing
}

// Times are how long something took, in seconds, where no fault and no restart
// of the hub fell into it.
type Times struct {
	Name   string  `json:"name"`
	Count  int     `json:"count"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
	Worst  float64 `json:"worst"`
}

// Passed reports whether the run went to its end, nothing was lost and nothing
// rises.
func (r *Report) Passed() bool {
	return r.Complete && len(r.Wrong) == 0 && !slices.ContainsFunc(r.Trends, func(t Trend) bool { return t.Verdict == Rising })
}

func (r *run) report() *Report {
	report := &Report{
		Seed: r.opts.Seed, Clusters: len(r.clusters), Seconds: r.elapsed().Seconds(),
		Done: r.counts, Wrong: append([]string{}, r.wrong...),
		samples: r.sampler.samples, marks: r.marks, timings: r.times,
	}
	for _, c := range r.clusters {
		report.Objects += len(c.objects)
	}
	for _, f := range figures {
		if !f.judged {
			continue
		}
		trend := Trend{Name: f.name, Unit: f.unit}
		in := func(phase string) (points []point) {
			for _, s := range report.samples {
				if value, has := s.values[f.key]; has && s.phase == phase {
					points = append(points, point{s.at, value})
				}
			}
			return points
		}
		trend.judge(in(underLoad), in(restBefore), in(restAfter), f.allow)
		report.Trends = append(report.Trends, trend)
	}
	for _, name := range []string{appliedEverywhere, appliedOne, noticed, repaired, caughtUp, resumed} {
		var took []float64
		for _, t := range r.times[name] {
			took = append(took, t.took.Seconds())
		}
		if len(took) > 0 {
			report.Times = append(report.Times, Times{name, len(took), quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1)})
		}
	}
	return report
}

// Print writes the report as tables.
func (r *Report) Print(out io.Writer) error {
	fmt.Fprintf(out, "%d clusters, %d objects, %s, seed %d\n\n", r.Clusters, r.Objects, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), r.Seed)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DONE\tTIMES")
	for _, what := range slices.Sorted(maps.Keys(r.Done)) {
		fmt.Fprintf(table, "%s\t%d\n", what, r.Done[what])
	}
	fmt.Fprintln(table, "\nTOOK, SECONDS\tTIMES\tMEDIAN\tP99\tWORST")
	for _, t := range r.Times {
		fmt.Fprintf(table, "%s\t%d\t%.2f\t%.2f\t%.2f\n", t.Name, t.Count, t.Median, t.P99, t.Worst)
	}
	fmt.Fprintln(table, "\nFIGURE\tREST BEFORE\tFIRST QUARTER\tLAST QUARTER\tREST AFTER\tSLOPE PER HOUR\tVERDICT")
	for _, t := range r.Trends {
		name := t.Name
		if t.Unit != "" {
			name += ", " + t.Unit
		}
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%+.2f\t%s\n", name, t.RestBefore, t.First, t.Last, t.RestAfter, t.Slope, t.Verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !r.Complete {
		fmt.Fprintln(out, "\nthe run did not go to its end: whether anything was lost is not known")
	}
	if len(r.Wrong) == 0 {
		if !r.Complete {
			return nil
		}
		_, err := fmt.Fprintln(out, "\nnothing was lost")
		return err
	}
	_, err := fmt.Fprintf(out, "\nwrong:\n  %s\n", strings.Join(r.Wrong, "\n  "))
	return err
}

// Write writes the report as report.json, the samples as samples.csv and the
// plots as SVG files into a directory.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := errors.Join(
		writeFile(filepath.Join(dir, "report.json"), r.WriteJSON),
		writeFile(filepath.Join(dir, "samples.csv"), r.writeSamples),
	)
	for name, c := range r.charts() {
		if err == nil {
			err = writeFile(filepath.Join(dir, name+".svg"), c.WriteSVG)
		}
	}
	if err != nil {
		return fmt.Errorf("writing the samples and plots: %w", err)
	}
	return nil
}

// WriteJSON writes the report as one JSON object, indented.
func (r *Report) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func (r *Report) writeSamples(out io.Writer) error {
	table := csv.NewWriter(out)
	header := []string{"seconds", "phase"}
	for _, f := range figures {
		header = append(header, strings.TrimSuffix(f.key+"_"+strings.ToLower(f.unit), "_"))
	}
	table.Write(header)
	for _, s := range r.samples {
		row := []string{strconv.FormatFloat(s.at.Seconds(), 'f', 1, 64), s.phase}
		for _, f := range figures {
			text := ""
			if value, has := s.values[f.key]; has {
				text = strconv.FormatFloat(value, 'f', 3, 64)
			}
			row = append(row, text)
		}
		table.Write(row)
	}
	table.Flush()
	return table.Error()
}

// charts are the plots, by the name of their file.
func (r *Report) charts() map[string]chart.Chart {
	base := func(title, unit string, lines ...chart.Line) chart.Chart {
		c := chart.Chart{Title: title, Unit: unit, Lines: lines, Bands: r.rests()}
		for _, m := range r.marks {
			c.Marks = append(c.Marks, chart.Mark{At: m.at, Text: m.text})
		}
		return c
	}
	times := base("How long commits and repairs took", "s", r.dots(appliedEverywhere), r.dots(repaired), r.dots(caughtUp))
	times.Log = true
	return map[string]chart.Chart{
		"soak-memory": base("Memory of the hub", "MiB",
			r.line("anonymous", "anonymous"), r.line("file", "file"), r.line("heap", "live Go heap"), r.line("workers", "render workers, anonymous")),
		"soak-goroutines":  base("Goroutines of the hub", "", r.line("goroutines", "goroutines")),
		"soak-descriptors": base("Open file descriptors of the hub", "", r.line("descriptors", "file descriptors")),
		"soak-watches": base("Open watches, per cluster", "",
			r.line("watches", "of the hub"), r.line("watchers", "at the API server, of all clients")),
		"soak-cpu":   base("Processor time of the hub", "cores", r.line("cpu", "cores")),
		"soak-times": times,
	}
}

// rests are the stretches of time in which nothing was done.
func (r *Report) rests() (bands []chart.Band) {
	for i, s := range r.samples {
		if s.phase != restBefore && s.phase != restAfter {
			continue
		}
		if i > 0 && r.samples[i-1].phase == s.phase {
			bands[len(bands)-1].To = s.at
		} else {
			bands = append(bands, chart.Band{From: s.at, To: s.at, Text: "rest"})
		}
	}
	return bands
}

func (r *Report) line(key, name string) chart.Line {
	line := chart.Line{Name: name}
	last := -1
	for _, s := range r.samples {
		value, has := s.values[key]
		if !has {
			continue
		}
		// A sample that another hub took is not joined with this one's.
		restarts := 0
		for _, m := range r.marks {
			if m.at < s.at {
				restarts++
			}
		}
		if last >= 0 && restarts != last {
			line.Break(s.at)
		}
		last = restarts
		line.Points = append(line.Points, chart.Point{At: s.at, Value: value})
	}
	return line
}

func (r *Report) dots(name string) chart.Line {
	line := chart.Line{Name: name, Dots: true}
	for _, t := range r.timings[name] {
		line.Points = append(line.Points, chart.Point{At: t.at, Value: t.took.Seconds()})
	}
	return line
}
