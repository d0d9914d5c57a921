package bench

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"nave.dev/internal/lab/process"
)

// rounds is how often both halves of a cold run are measured, in turn one and
// the other first.
const rounds = 2

// convergence bounds how long anything may take to be seen.
const convergence = 20 * time.Minute

// coldBar is how many times the floor a cold run may take.
const coldBar = 1.25

// half is one way of bringing a fleet about, from nothing.
type half struct {
	took     time.Duration // until the last object was seen
	cpu      time.Duration // of the hub and its workers
	all      time.Duration // of processor, everything together: clusters, hub, meter
	memory   int64         // anonymous bytes of the hub
	requests counts
}

// cold measures how long a fleet takes on empty clusters, from the start of a hub
// with an empty directory, and how long the floor takes.
func cold(f fleet) func(context.Context, *site) ([]Figure, error) {
	return func(ctx context.Context, s *site) ([]Figure, error) {
		f := f.scaled(s.opts)
		f.clusters = s.clusters
		nave, floor, err := s.compare(ctx, f)
		if err != nil {
			return nil, err
		}
		took := compared("until the last object is there", nave, floor, func(h half) time.Duration { return h.took }).within(coldBar)
		all := compared("processor, everything together", nave, floor, func(h half) time.Duration { return h.all })
		one, requests := nave[0], nave[0].requests
		objects := floor[0].requests.sum(func(r request) bool { return r.verb == "apply" })
		return []Figure{
			took, all,
			seconds("processor, hub and workers", one.cpu),
			{Name: "anonymous memory of the hub at the end", Value: float64(one.memory) / (1 << 20), Unit: "MiB"},
			count("applies", requests.sum(verb("apply"))).against(float64(objects)).within(1),
			count("gets", requests.sum(verb("get"))),
			count("lists", requests.sum(verb("list"))),
			count("watches", requests.sum(verb("watch"))),
			count("questions about rights", requests.sum(verb("review"))),
			count("other writes", requests.sum(verb("create", "update", "patch", "delete", "deletecollection"))),
			count("reads and writes of the cluster record", requests.sum(func(r request) bool { return r.name == recordName })),
		}, nil
	}
}

// compared is a figure of time with its floor: means over all rounds, and the
// mean of the rounds' ratios.
func compared(name string, nave, floor []half, of func(half) time.Duration) Figure {
	var values, floors, ratios []float64
	for i := range nave {
		values = append(values, of(nave[i]).Seconds())
		floors = append(floors, of(floor[i]).Seconds())
		ratios = append(ratios, of(nave[i]).Seconds()/of(floor[i]).Seconds())
	}
	f := Figure{Name: name, Value: mean(values), Unit: "s"}.against(mean(floors))
	*f.Ratio = mean(ratios)
	return f
}

// scaled returns the fleet with its numbers by the scale.
func (f fleet) scaled(opts Options) fleet {
	if f.apps > 1 {
		f.apps = opts.scaled(f.apps)
	}
	if f.objects > 1 {
		f.objects = opts.scaled(f.objects)
	}
	return f
}

// compare brings a fleet about by nave and by the floor, on clusters in the same
// state.
func (s *site) compare(ctx context.Context, f fleet) (nave, floor []half, err error) {
	if err := s.rest(ctx, true); err != nil {
		return nil, nil, err
	}
	if err := s.push(ctx, f); err != nil {
		return nil, nil, err
	}
	objects, err := s.wanted(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	halves := []func() error{
		func() error {
			one, err := s.byFloor(ctx, objects)
			floor = append(floor, one)
			return err
		},
		func() error {
			one, err := s.byNave(ctx, objects)
			nave = append(nave, one)
			return err
		},
	}
	for round := range rounds {
		for _, half := range halves {
			if err := half(); err != nil {
				return nil, nil, err
			}
		}
		slices.Reverse(halves)
		n, f := nave[round], floor[round]
		s.say("round %d: nave %.1f s, floor %.1f s; processor %.1f s, floor %.1f s", round+1,
			n.took.Seconds(), f.took.Seconds(), n.all.Seconds(), f.all.Seconds())
	}
	return nave, floor, s.clear(ctx)
}

// byFloor empties the clusters and applies the objects with no logic at all.
func (s *site) byFloor(ctx context.Context, objects map[string][]stated) (half, error) {
	return s.timed(ctx, objects, func() error { return applyAll(ctx, s.metered, objects) })
}

// byNave empties the clusters and starts a hub in an empty directory, on the
// fleet repository as it is.
func (s *site) byNave(ctx context.Context, objects map[string][]stated) (half, error) {
	one, err := s.timed(ctx, objects, func() error { return s.startHub(ctx) })
	if err != nil {
		return half{}, fmt.Errorf("%w\nhint: the hub's log is %s", err, s.lab.HubLog())
	}
	hub, err := s.lab.Hub()
	if err != nil {
		return half{}, err
	}
	if one.cpu, err = hub.SessionCPU(); err != nil {
		return half{}, err
	}
	usage, err := hub.Usage()
	one.memory = usage.Anonymous
	return one, err
}

// timed empties the clusters, does something, and returns how long the last
// object took to be seen.
func (s *site) timed(ctx context.Context, objects map[string][]stated, do func() error) (half, error) {
	if err := s.clear(ctx); err != nil {
		return half{}, err
	}
	w, err := watch(ctx, s.direct)
	if err != nil {
		return half{}, err
	}
	defer w.close()
	before := s.meter.read()
	spent, err := s.spent()
	if err != nil {
		return half{}, err
	}
	began := time.Now()
	reached := w.expect(expected(objects))
	if err := do(); err != nil {
		return half{}, err
	}
	times, err := w.await(ctx, reached, convergence)
	if err != nil {
		return half{}, err
	}
	after, err := s.spent()
	return half{took: last(times).Sub(began), all: after - spent, requests: s.meter.read().since(before)}, err
}

// spent returns the processor time of the lab, its hub and this process. It says
// more than the clock where others use the machine as well.
func (s *site) spent() (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, err
	}
	cpu, err := s.lab.CPU()
	return cpu + time.Duration(own.Utime.Nano()+own.Stime.Nano()), err
}

// hubUsage returns what the hub has of the machine, and the processor time of it
// and all that it started.
func (s *site) hubUsage() (process.Usage, error) {
	hub, err := s.lab.Hub()
	if err != nil {
		return process.Usage{}, err
	}
	usage, err := hub.Usage()
	if err == nil {
		usage.CPU, err = hub.SessionCPU()
	}
	return usage, err
}
