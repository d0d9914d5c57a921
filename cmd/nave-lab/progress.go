package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"nave.dev/internal/lab"
)

// newProgress returns a listener that shows how far starting is: a line per
// cluster that is ready, and on a terminal below them one that says what the
// others wait for and since when.
func newProgress(out io.Writer) func(lab.Progress) {
	p := &progress{out: out, waiting: map[string]wait{}}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.width, _, _ = term.GetSize(int(file.Fd()))
	}
	return p.tell
}

type progress struct {
	out   io.Writer
	width int // of the terminal; 0 means that there is none

	mu      sync.Mutex
	waiting map[string]wait
}

type wait struct {
	what  string
	since time.Time
}

func (p *progress) tell(step lab.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	switch {
	case step.Err != nil:
		delete(p.waiting, step.Name)
		fmt.Fprintf(p.out, "[%d/%d] %s failed after %.1f s\n", step.Done, step.Total, step.Name, step.Took.Seconds())
	case step.Ready:
		delete(p.waiting, step.Name)
		fmt.Fprintf(p.out, "[%d/%d] %s ready after %.1f s\n", step.Done, step.Total, step.Name, step.Took.Seconds())
	case step.WaitsFor == "":
		delete(p.waiting, step.Name)
	default:
		if p.waiting[step.Name].what != step.WaitsFor {
			p.waiting[step.Name] = wait{step.WaitsFor, time.Now()}
			if p.width == 0 && step.Total == 0 { // shared processes have no line of their own later
				fmt.Fprintf(p.out, "%s: waiting for %s\n", step.Name, step.WaitsFor)
			}
		}
	}
	if p.width > 0 {
		p.show(step.Done, step.Total)
	}
}

func (p *progress) show(done, total int) {
	if len(p.waiting) == 0 || total > 0 && done == total {
		return
	}
	var parts []string
	for name, w := range p.waiting {
		parts = append(parts, fmt.Sprintf("%s: %s %.0fs", name, w.what, time.Since(w.since).Seconds()))
	}
	slices.Sort(parts)
	line := strings.Join(parts, ", ")
	if total > 0 {
		line = fmt.Sprintf("%d/%d  %s", done, total, line)
	}
	if len(line) >= p.width {
		line = line[:p.width-1]
	}
	fmt.Fprint(p.out, line)
}

// clear wipes the line that show left.
func (p *progress) clear() {
	if p.width > 0 {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
