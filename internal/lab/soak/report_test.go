package soak

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	w := &world{times: map[string][]timing{repaired: {{time.Second, 300 * time.Millisecond}}}, counts: map[string]int{"hub killed": 1}, marks: []mark{{2 * time.Second, "hub killed"}}}
	r := &run{world: w, sampler: &sampler{world: w}}
	for i, phase := range []string{warmUp, warmUp, restBefore, restBefore, underLoad, restAfter} {
		r.sampler.samples = append(r.sampler.samples, sample{time.Duration(i) * time.Second, phase, map[string]float64{"goroutines": 100}})
	}
	report := r.report()
	if report.Passed() {
		t.Error("a run that did not go to its end has passed")
	}
	var unfinished strings.Builder
	if err := report.Print(&unfinished); err != nil || strings.Contains(unfinished.String(), "nothing was lost") {
		t.Errorf("printed of a run that did not go to its end, %v:\n%s", err, unfinished.String())
	}
	report.Complete = true
	if !report.Passed() {
		t.Errorf("a run with nothing wrong has not passed: %+v", report)
	}
	var out strings.Builder
	if err := report.Print(&out); err != nil || !strings.Contains(out.String(), "nothing was lost") || !strings.Contains(out.String(), repaired) {
		t.Errorf("printed, %v:\n%s", err, out.String())
	}
	dir := t.TempDir()
	if err := report.Write(dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil || !strings.Contains(string(data), `"complete": true`) {
		t.Errorf("report, %v:\n%s", err, data)
	}
	samples, err := os.ReadFile(filepath.Join(dir, "samples.csv"))
	if err != nil || !strings.Contains(string(samples), "4.0,load,,,,,100.000") {
		t.Errorf("samples, %v:\n%s", err, samples)
	}
	plot, err := os.ReadFile(filepath.Join(dir, "soak-goroutines.svg"))
	if err != nil || !strings.Contains(string(plot), "hub killed") || strings.Count(string(plot), `class="band"`) != 2 {
		t.Errorf("plot, %v:\n%s", err, plot)
	}
	w.blame("a cluster did not catch up")
	failed := r.report()
	failed.Complete = true
	if failed.Passed() {
		t.Error("a run with a wrong outcome has passed")
	}
	report.Trends[0].Verdict = Rising
	if report.Passed() {
		t.Error("a run in which a figure rises has passed")
	}
}
