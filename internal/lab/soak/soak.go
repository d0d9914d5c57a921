// Package soak disturbs a lab's fleet for a long time and looks at what becomes
// of it. Run commits to the fleet repository, changes objects by hand, takes
// clusters away and gives them back, restarts the hub, and meanwhile samples what
// the hub uses. It asks the clusters themselves whether every commit arrived,
// every change by hand was undone and nothing else was deleted, and judges from
// the samples whether anything grows. A run has two parts: a warm-up, in which
// the hub is killed and restarted as well, and a load on one hub process, with a
// rest before and after it in which nothing is done, so that what remains open
// shows. The package starts no lab; nave-lab soak does.
package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"nave.dev/internal/lab"
)

// Options say how long and how a fleet is soaked. Its zero value works.
type Options struct {
	// For is the time of warm-up and load together; an hour unless set. The rests
	// and the end come on top.
	For time.Duration
	// Seed decides what is done in which order; runs of one seed differ in what
	// falls together.
	Seed uint64
	// Progress, if set, is told what begins.
	Progress func(string)
}

// The longest of what is scaled to the length of a run: between samples, between
// commits, between changes by hand, between faults, of a fault, and of a rest. A
// run of an hour has these.
const (
	sampleGap = 15 * time.Second
	commitGap = 25 * time.Second
	driftGap  = 5 * time.Second
	flapGap   = 30 * time.Second
	faultTime = 60 * time.Second
	restTime  = 2 * time.Minute
)

// scale shortens a time of a run of an hour for a shorter run, but not below a
// least one, and not as much as the run is shorter: its clusters are as slow.
func (o Options) scale(longest, least time.Duration) time.Duration {
	return max(least, min(longest, time.Duration(3*float64(longest)*o.For.Hours())))
}

// Run soaks the fleet of a lab in which the sample's fleet is converged. The
// error says that the run could not be made, or not to its end, as when ctx is
// done: then the report tells of what there is, and is nil if that is nothing.
func Run(ctx context.Context, l *lab.Lab, opts Options) (*Report, error) {
	if opts.For == 0 {
		opts.For = time.Hour
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	w, err := survey(ctx, l)
	if err != nil {
		return nil, err
	}
	possible := edits(l.SampleDir(), w.clusters)
	if len(possible) == 0 {
		return nil, errors.New("no edit of the sample's repository shows on these clusters")
	}
	source := func(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(opts.Seed, stream)) }
	r := &run{
		world: w, opts: opts, sampler: &sampler{world: w, phase: warmUp},
		committer: &committer{world: w, dir: l.SampleDir(), rand: source(1), edits: possible},
		drifter:   &drifter{world: w, rand: source(2), last: map[string]time.Time{}},
		flapper:   &flapper{world: w, rand: source(3)},
	}
	sampling, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { r.sampler.run(sampling, opts.scale(sampleGap, time.Second)) })
	err = r.phases(ctx)
	stop()
	group.Wait()
	if err == nil {
		err = r.check(ctx)
	}
	report := r.report()
	report.Complete = err == nil
	return report, err
}

// run is one soak under way.
type run struct {
	*world
	opts      Options
	sampler   *sampler
	committer *committer
	drifter   *drifter
	flapper   *flapper
}

// phases goes through the whole of it. The hub is restarted in the first third,
// so that one process carries the rest.
func (r *run) phases(ctx context.Context) error {
	third := r.opts.For / 3
	r.enter(warmUp)
	err := r.disorder(ctx, third, func(stop context.Context) error {
		for _, kill := range []bool{true, false} {
			if lab.Pause(stop, third/3) != nil {
				return nil
			}
			if err := r.restartHub(ctx, kill); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.rest(ctx, restBefore); err != nil {
		return err
	}
	r.enter(underLoad)
	if err := r.disorder(ctx, r.opts.For-third, nil); err != nil {
		return err
	}
	return r.rest(ctx, restAfter)
}

func (r *run) enter(phase string) {
	r.opts.Progress(fmt.Sprintf("%s: %s", r.elapsed().Round(time.Second), phase))
	r.sampler.enter(phase)
}

// disorder commits, drifts and flaps for a time, beside what else is given, and
// returns when all that was begun has ended.
func (r *run) disorder(ctx context.Context, lasts time.Duration, also func(stop context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop, end := context.WithTimeout(ctx, lasts)
	defer end()
	var group sync.WaitGroup
	begin := func(task func() error) {
		group.Go(func() {
			if err := task(); err != nil {
				cancel(err) // the others end as well
			}
		})
	}
	begin(func() error { return r.committer.run(ctx, stop, r.opts.scale(commitGap, 2*time.Second)) })
	begin(func() error { r.drifter.run(ctx, stop, r.opts.scale(driftGap, time.Second)); return nil })
	begin(func() error {
		return r.flapper.run(ctx, stop, r.opts.scale(flapGap, 3*time.Second), r.opts.scale(faultTime, 4*time.Second))
	})
	if also != nil {
		begin(func() error { return also(stop) })
	}
	group.Wait()
	return context.Cause(ctx)
}

// settleLimit bounds how long the fleet may take to become Synced and Healthy
// when nothing is done to it any more.
const settleLimit = 10 * time.Minute

// calmTime is how long before a rest that is judged nothing is done: the hub's
// idle render workers and connections, and pods that end, are gone by then.
const calmTime = 100 * time.Second

// rest waits until the fleet is settled and then a while longer. What happens
// while it settles is no part of the rest.
func (r *run) rest(ctx context.Context, phase string) error {
	r.enter(settling)
	if trouble := r.await(ctx, settleLimit, true); trouble != "" && ctx.Err() == nil {
		r.blame("the fleet has not settled after %s: %s", settleLimit, trouble)
	}
	lasts := r.opts.scale(restTime, time.Second)
	calm := lasts / 2
	if r.opts.For-r.opts.For/3 >= leastLoad {
		calm = max(calm, calmTime)
	}
	lab.Pause(ctx, calm)
	r.enter(phase)
	lab.Pause(ctx, lasts)
	return context.Cause(ctx)
}

// check restarts the hub once more and holds every cluster against the head of
// the fleet branch and against what was there in the beginning.
func (r *run) check(ctx context.Context) error {
	r.opts.Progress(fmt.Sprintf("%s: checking every cluster", r.elapsed().Round(time.Second)))
	if err := r.restartHub(ctx, false); err != nil {
		return err
	}
	if trouble := r.await(ctx, settleLimit, true); trouble != "" && ctx.Err() == nil {
		r.blame("at the end: %s", trouble)
	}
	for _, c := range r.clusters {
		if err := r.hold(ctx, c); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// answerLimit bounds how long a cluster may take to answer at the end, on a
// machine with much else to do.
const answerLimit = time.Minute

// hold holds a cluster against what should be on it.
func (r *run) hold(ctx context.Context, c *cluster) error {
	for _, e := range r.expectations(c) {
		text := poll(ctx, time.Second, answerLimit, func(ctx context.Context) string { return c.unmet(ctx, []expectation{e}) })
		if text != "" && ctx.Err() == nil {
			r.blame("at the end %s: %s", c.name, text)
		}
	}
	var now map[ref]types.UID
	text := poll(ctx, time.Second, answerLimit, func(ctx context.Context) string {
		var err error
		if now, err = c.marked(ctx); err != nil {
			return err.Error()
		}
		return ""
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case text != "":
		return fmt.Errorf("looking at cluster %s: %s", c.name, text)
	}
	added := func(object ref) bool {
		return object.GroupVersionResource == configMaps && slices.ContainsFunc(r.committer.extra, func(e extra) bool {
			return e.name == object.name && e.env == c.env
		})
	}
	for _, text := range c.compare(now, added) {
		r.blame("%s", text)
	}
	return nil
}

// compare says what has become of the objects that were there in the beginning,
// and which are there now that no commit added.
func (c *cluster) compare(now map[ref]types.UID, added func(ref) bool) (wrong []string) {
	for object, uid := range c.objects {
		found, there := now[object]
		switch {
		case !there:
			wrong = append(wrong, fmt.Sprintf("%s of %s is lost", object, c.name))
		case found != uid && !c.deleted[object]:
			wrong = append(wrong, fmt.Sprintf("%s of %s was deleted and made again, and nobody deleted it", object, c.name))
		}
	}
	for object := range now {
		if _, was := c.objects[object]; !was && !added(object) {
			wrong = append(wrong, fmt.Sprintf("%s of %s is there, and no commit says so", object, c.name))
		}
	}
	slices.Sort(wrong)
	return wrong
}
