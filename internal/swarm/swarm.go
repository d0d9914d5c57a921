// Package swarm measures a hub with very many agents. The hub is a real process on a
// real Git repository; agents enrol with real tokens and speak the real protocol, by
// the product's own packages, but the clusters behind them are made up. [Run] goes
// through the phases of a fleet's life (enrolment, rest, commits, churn, a hub that
// is killed, one that lost its database) and returns figures, each held against its
// bar. It is to the product what a fleet of agents is, and the product does not know
// it; the agents are in one process, the hub in another, so that memory and
// processor time of the hub are its own.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/lab/bench"
)

// The bars of the design, for 1,000 agents with 100 apps each.
const (
	memoryBar = 1024 // MiB of anonymous memory of the hub
	pageBar   = 100  // milliseconds for 99 in 100 pages of the API
	knownBar  = 60   // seconds until a hub knows everything again
)

// patience is how long anything may take before the swarm gives up.
const patience = 15 * time.Minute

// Options say how large the swarm is. The zero value is the size that the bars are
// about.
type Options struct {
	Agents int           // 0 means 1,000
	Apps   int           // of each cluster; 0 means 100
	Phase  time.Duration // of rest, and of churn; 0 means a minute
	// Every is how often something happens on a cluster while there is churn, on
	// average; 0 means 10 seconds.
	Every time.Duration
	Bin   string // directory of nave; empty: that of the running program
	// Profiles is a directory for profiles of the hub, taken in each phase; empty
	// takes none.
	Profiles string
	// Keep leaves the directory of the run, with the hub's log, where it is.
	Keep bool
	// Progress, if set, is told in words what is being done, and Measured of each
	// figure as soon as it is known.
	Progress func(string)
	Measured func(bench.Figure)
}

// Validate reports everything that is wrong with the options, joined, or nil.
func (o Options) Validate() error {
	var problems []error
	if o.Agents < 0 || o.Agents > 10_000 {
		problems = append(problems, fmt.Errorf("%d agents: want 1 to 10,000", o.Agents))
	}
	if o.Apps < 0 || o.Apps > 1000 {
		problems = append(problems, fmt.Errorf("%d apps: want 1 to 1,000", o.Apps))
	}
	if o.Phase < 0 || o.Every < 0 {
		problems = append(problems, errors.New("times are not negative"))
	}
	return errors.Join(problems...)
}

func (o Options) withDefaults() (Options, error) {
	zero(&o.Agents, 1000)
	zero(&o.Apps, 100)
	zero(&o.Phase, time.Minute)
	zero(&o.Every, 10*time.Second)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Measured == nil {
		o.Measured = func(bench.Figure) {}
	}
	if o.Bin == "" {
		program, err := os.Executable()
		if err != nil {
			return o, err
		}
		o.Bin = filepath.Dir(program)
	}
	return o, nil
}

func zero[T int | time.Duration](value *T, otherwise T) {
	if *value == 0 {
		*value = otherwise
	}
}

// swarm is a run.
type swarm struct {
	opts     Options
	site     *site
	agents   []*agent
	contents contents
	running  sync.WaitGroup
	commit   string // that the fleet has
	figures  []bench.Figure

	wire, reports, bundles tally
	certified              atomic.Int64 // enrolments and renewals
}

// Run measures, and returns the figures. Those that are there when it fails are
// returned with the error. What it started has ended when it returns.
func Run(ctx context.Context, opts Options) (figures []bench.Figure, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nave-swarm-") // short: there is a socket in it
	if err != nil {
		return nil, err
	}
	if opts.Keep {
		opts.Progress("directory: " + dir)
	} else {
		defer os.RemoveAll(dir)
	}
	// The agents share the processor with the hub that is measured, and are to take
	// little of it.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	s := &swarm{opts: opts}
	s.contents.bundles = map[string]*app.Bundle{}
	if s.site, err = newSite(ctx, filepath.Join(opts.Bin, "nave"), dir, opts.Agents, opts.Apps); err != nil {
		return nil, err
	}
	defer s.site.close()
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer cancel()
	for _, phase := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"enrol", s.enrol}, {"idle", s.idle}, {"one-line", s.oneLine}, {"readme", s.readme}, {"churn", s.churn},
		{"storm", s.storm}, {"killed", s.killed}, {"lost", s.lost},
	} {
		if err := s.phase(ctx, phase.name, phase.run); err != nil {
			return s.figures, fmt.Errorf("measuring %s: %w%s", phase.name, err, s.lastWords())
		}
	}
	return s.figures, nil
}

// lastWords are the end of the hub's log, for an error.
func (s *swarm) lastWords() string {
	data, err := os.ReadFile(s.site.log())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "\nthe hub's last words:\n" + strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// Summary says in one line whether the bars held, and which did not.
func Summary(figures []bench.Figure) (line string, held bool) {
	bars, over := 0, []string{}
	for _, f := range figures {
		if f.Bar != nil {
			bars++
		}
		if f.Over() {
			over = append(over, fmt.Sprintf("%s, %s: %.4g %s, bar %.4g", f.Bench, f.Name, f.Value, f.Unit, *f.Bar))
		}
	}
	if len(over) > 0 {
		return fmt.Sprintf("%d of %d bars did not hold: %s", len(over), bars, strings.Join(over, "; ")), false
	}
	return fmt.Sprintf("all %d bars held", bars), bars > 0
}

// await waits until something is so, and returns when it was.
func (s *swarm) await(ctx context.Context, what string, so func() (bool, string, error)) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s is not so after %s", what, patience))
	defer cancel()
	tick, told := time.NewTicker(200*time.Millisecond), time.Now()
	defer tick.Stop()
	for {
		yes, how, err := so()
		if yes || err != nil && ctx.Err() == nil {
			return time.Now(), err
		}
		if time.Since(told) > 10*time.Second {
			s.opts.Progress("  " + what + ": " + how)
			told = time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%w; %s", context.Cause(ctx), how)
		}
	}
}

// knows waits until the hub knows every cluster to be Synced at the present commit.
func (s *swarm) knows(ctx context.Context) (time.Time, error) {
	return s.await(ctx, "the hub knows every cluster", func() (bool, string, error) {
		if told := s.told(); told < len(s.agents) { // the hub is not burdened with questions before
			return false, fmt.Sprintf("%d of %d agents have reported", told, len(s.agents)), nil
		}
		found, err := s.site.known(ctx, s.commit, s.opts.Apps)
		if err != nil {
			return false, err.Error(), nil // it may be about to start
		}
		return found == len(s.agents), fmt.Sprintf("%d of %d are Synced at the commit", found, len(s.agents)), nil
	})
}

// told counts the agents that have reported all on their present connection.
func (s *swarm) told() (n int) {
	for _, a := range s.agents {
		if _, told := a.peek(); told {
			n++
		}
	}
	return n
}

// quantile returns the value below which a part of the durations lies, by the nearest
// rank. The durations are sorted.
func quantile(sorted []time.Duration, part float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

func sortDurations(durations []time.Duration) []time.Duration {
	slices.Sort(durations)
	return durations
}
