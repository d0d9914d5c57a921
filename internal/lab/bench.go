package lab

import (
	"context"
	"fmt"
	"time"
)

// Figure is one thing measured.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Bar is the value that the figure is held against; 0 means none.
	Bar float64 `json:"bar,omitempty"`
}

// String returns the figure as a line of a table.
func (f Figure) String() string {
	line := fmt.Sprintf("%-28s %8.2f %s", f.Name, f.Value, f.Unit)
	if f.Bar > 0 {
		line += fmt.Sprintf("  (bar %g)", f.Bar)
	}
	return line
}

// idleTime is how long the processor's use is watched when nothing happens,
// after a pause in which start-up work runs out.
const (
	settleTime = 30 * time.Second
	idleTime   = 60 * time.Second
)

// Bench brings up a fresh fleet, measures it and removes it again. The lab's
// directory must be empty.
func (l *Lab) Bench(ctx context.Context, fleet Fleet) (figures []Figure, err error) {
	if l.Exists() {
		return nil, fmt.Errorf("measuring needs a fresh lab, and there is one in %s\nhint: give another --dir", l.dir)
	}
	defer func() {
		if downErr := l.Down(context.WithoutCancel(ctx), true); err == nil {
			err = downErr
		}
	}()
	began := time.Now()
	if err := l.Up(ctx, UpOptions{Fleet: fleet}); err != nil {
		return nil, err
	}
	clusters := fmt.Sprintf("%d clusters ", len(fleet.Clusters))
	figures = append(figures, Figure{Name: clusters + "ready", Value: time.Since(began).Seconds(), Unit: "s", Bar: 120})

	if err := pause(ctx, settleTime); err != nil {
		return nil, err
	}
	before, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	since := time.Now()
	if err := pause(ctx, idleTime); err != nil {
		return nil, err
	}
	after, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	gib := float64(after.MemoryBytes) / (1 << 30)
	cores := (after.CPUSeconds - before.CPUSeconds) / time.Since(since).Seconds()
	return append(figures,
		Figure{Name: clusters + "memory (PSS)", Value: gib, Unit: "GiB", Bar: 8},
		Figure{Name: clusters + "idle", Value: cores, Unit: "cores"},
	), nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
