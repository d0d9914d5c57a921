package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/proxy"
)

// What is measured of faults.
const (
	caughtUp = "cluster caught up after a fault"
	resumed  = "fleet Synced after a restart of the hub"
)

// returnLimit bounds how long a cluster may take to catch up, and the hub to
// know the fleet again.
const returnLimit = 5 * time.Minute

// flapper takes clusters away and gives them back.
type flapper struct {
	*world
	rand *rand.Rand
}

// fault is one thing that happens to a cluster, and its end.
type fault struct {
	what       string
	begin, end func(ctx context.Context, name string) error
}

func (f *flapper) faults() []fault {
	link := func(change func(*proxy.Link)) func(context.Context, string) error {
		return func(ctx context.Context, name string) error { return f.lab.SetLink(ctx, name, change) }
	}
	heal := link(func(l *proxy.Link) { *l = proxy.Link{} })
	return []fault{{
		what:  "stopped",
		begin: func(ctx context.Context, name string) error { return f.lab.Stop(ctx, name) },
		end:   func(ctx context.Context, name string) error { return f.lab.Start(ctx, name) },
	}, {
		what: "partitioned", begin: link(func(l *proxy.Link) { l.Partitioned = true }), end: heal,
	}, {
		what: "slow", begin: link(func(l *proxy.Link) { l.Latency = 300 * time.Millisecond }), end: heal,
	}}
}

// run disturbs clusters until stop ends, at most an eighth of them at a time, and
// returns when all are back. Each fault lasts up to the longest time.
func (f *flapper) run(ctx, stop context.Context, gap, longest time.Duration) error {
	var (
		group  sync.WaitGroup
		places = make(chan struct{}, max(1, len(f.clusters)/8))
		broken = make(chan error, 1)
	)
	defer group.Wait()
	for lab.Pause(stop, jitter(f.rand, gap)) == nil {
		c := f.clusters[f.rand.IntN(len(f.clusters))]
		kind := f.faults()[f.rand.IntN(3)]
		lasts := longest/4 + time.Duration(f.rand.Int64N(int64(longest)*3/4))
		if away, _ := c.fault(); away {
			continue
		}
		places <- struct{}{}
		if stop.Err() != nil {
			break // while it waited for its turn
		}
		c.goAway()
		group.Go(func() {
			defer func() { <-places }()
			if err := f.flap(ctx, stop, c, kind, lasts); err != nil {
				select {
				case broken <- fmt.Errorf("%s %s: %w", c.name, kind.what, err):
				default:
				}
			}
		})
		select {
		case err := <-broken:
			return err
		default:
		}
	}
	group.Wait()
	select {
	case err := <-broken:
		return err
	default:
		return nil
	}
}

// flap disturbs a cluster for a while, and waits until it has caught up.
func (f *flapper) flap(ctx, stop context.Context, c *cluster, kind fault, lasts time.Duration) error {
	f.count("cluster " + kind.what)
	if err := kind.begin(ctx, c.name); err != nil {
		return err
	}
	lab.Pause(stop, lasts)
	if err := kind.end(ctx, c.name); err != nil {
		return err
	}
	since, restarts := time.Now(), f.hubRestarts()
	text := poll(ctx, 200*time.Millisecond, returnLimit, func(ctx context.Context) string {
		if text := c.unmet(ctx, f.expectations(c)); text != "" {
			return text
		}
		metrics, err := f.hubMetrics(ctx)
		if err != nil {
			return err.Error()
		}
		return metrics.trouble(c.name, false)
	})
	switch {
	case ctx.Err() != nil:
	case text != "":
		f.blame("%s did not catch up within %s of being %s: %s", c.name, returnLimit, kind.what, text)
	case f.undisturbed(restarts):
		f.took(caughtUp, since)
	}
	c.mu.Lock()
	c.away = false
	c.mu.Unlock()
	return nil
}

func (c *cluster) goAway() {
	c.mu.Lock()
	c.away = true
	c.faults++
	c.mu.Unlock()
}

// hubGrace is how long a hub may take to end when asked.
const hubGrace = 30 * time.Second

// restartHub ends the hub, by asking or by killing it, starts another, and waits
// until that knows the clusters that are there to be Synced.
func (w *world) restartHub(ctx context.Context, kill bool) error {
	text, grace := "hub restarted", hubGrace
	if kill {
		text, grace = "hub killed", 0
	}
	w.mu.Lock()
	w.restarts++
	w.marks = append(w.marks, mark{w.elapsed(), text})
	w.mu.Unlock()
	w.count(text)
	if err := w.lab.StopHub(ctx, grace); err != nil {
		return err
	}
	since := time.Now()
	if err := w.lab.StartHub(ctx, lab.HubOptions{}); err != nil {
		return err
	}
	trouble := w.await(ctx, returnLimit, false)
	switch {
	case ctx.Err() != nil:
	case trouble != "":
		w.blame("%s, and %s later: %s", text, returnLimit, trouble)
	default:
		w.took(resumed, since)
	}
	w.mu.Lock()
	w.restarts++ // what began while it was away is not measured either
	w.mu.Unlock()
	return ctx.Err()
}

// await waits until the hub calls every cluster that is there Synced, with
// healthy also Healthy, and says what it still waits for after the limit.
func (w *world) await(ctx context.Context, limit time.Duration, healthy bool) string {
	return poll(ctx, 250*time.Millisecond, limit, func(ctx context.Context) string {
		metrics, err := w.hubMetrics(ctx)
		if err != nil {
			return err.Error()
		}
		for _, c := range w.clusters {
			if away, _ := c.fault(); away {
				continue
			}
			if text := metrics.trouble(c.name, healthy); text != "" {
				return text
			}
		}
		return ""
	})
}
