package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"nave.dev/internal/lab/process"
)

// Between these lines of a page the figures are; the rest is written by people.
const (
	beginMark = "<!-- figures -->"
	endMark   = "<!-- /figures -->"
)

// WritePage puts figures into the table of a Markdown file. Rows of benches that
// were not measured stay as they are, each with its own day.
func WritePage(file string, figures []Figure, now time.Time) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the page of figures: %w", err)
	}
	page, err := rewrite(string(data), figures, now)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(page), 0o644)
}

func rewrite(page string, figures []Figure, now time.Time) (string, error) {
	before, rest, begun := strings.Cut(page, beginMark+"\n")
	old, after, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		return "", fmt.Errorf("the page has no lines %s and %s for the figures between them", beginMark, endMark)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(old) {
		if name, ok := benchOf(line); ok {
			rows[name] = append(rows[name], strings.TrimSuffix(line, "\n"))
		}
	}
	measured := map[string]bool{}
	for _, f := range figures {
		if !measured[f.Bench] {
			measured[f.Bench], rows[f.Bench] = true, nil
		}
		rows[f.Bench] = append(rows[f.Bench], f.row(now.UTC().Format(time.DateOnly)))
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s%s\n%s\n\n", before, beginMark, machine())
	text.WriteString("| bench | what | value | unit | floor | ratio | bar | day |\n|---|---|---|---|---|---|---|---|\n")
	for _, b := range All() {
		for _, row := range rows[b.Name] {
			text.WriteString(row + "\n")
		}
	}
	return text.String() + endMark + after, nil
}

// benchOf returns the bench that a line of the table is about.
func benchOf(line string) (name string, ok bool) {
	cell, ok := strings.CutPrefix(line, "| `")
	if !ok {
		return "", false
	}
	name, _, ok = strings.Cut(cell, "` |")
	return name, ok
}

// machine says what the figures were measured with.
func machine() string {
	text := fmt.Sprintf("%d cores", runtime.NumCPU())
	if total, err := process.MemoryTotal(); err == nil {
		text += fmt.Sprintf(", %.0f GiB of memory", float64(total)/(1<<30))
	}
	text += ", " + runtime.GOOS + "/" + runtime.GOARCH + ", " + runtime.Version()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "k8s.io/client-go" {
				text += ", Kubernetes v1" + strings.TrimPrefix(module.Version, "v0")
			}
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				text += fmt.Sprintf(", commit %.12s", setting.Value)
			}
		}
	}
	return text + "."
}
