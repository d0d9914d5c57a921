package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"nave.dev/internal/lab"
)

// idleTime is how long the processor's use is watched when nothing happens,
// after a pause in which start-up work runs out.
const (
	settleTime = 30 * time.Second
	idleTime   = 60 * time.Second
)

// labItself brings up a lab, measures it and removes it again.
func labItself(ctx context.Context, s *site) (figures []Figure, err error) {
	l, err := lab.New(lab.Options{Dir: filepath.Join(s.dir, "lab"), Bin: s.bin, Progress: s.opts.Starting})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Down(context.WithoutCancel(ctx), true)) }()
	began := time.Now()
	if err := l.Up(ctx, lab.UpOptions{Fleet: s.opts.Fleet}); err != nil {
		return nil, err
	}
	clusters := fmt.Sprintf("%d clusters, ", len(s.opts.Fleet.Clusters))
	figures = append(figures, seconds(clusters+"until all are ready", time.Since(began)).within(120))
	if err := lab.Pause(ctx, settleTime); err != nil {
		return nil, err
	}
	before, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	since := time.Now()
	if err := lab.Pause(ctx, idleTime); err != nil {
		return nil, err
	}
	after, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	gib := float64(after.MemoryBytes) / (1 << 30)
	cores := (after.CPUSeconds - before.CPUSeconds) / time.Since(since).Seconds()
	return append(figures,
		Figure{Name: clusters + "memory (proportional)", Value: gib, Unit: "GiB"}.within(8),
		Figure{Name: clusters + "idle", Value: cores, Unit: "cores"},
	), nil
}
