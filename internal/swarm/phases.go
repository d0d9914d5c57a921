package swarm

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nave.dev/internal/lab/bench"
)

// phase runs one phase, and measures what the hub took of the machine meanwhile.
func (s *swarm) phase(ctx context.Context, name string, run func(context.Context) error) error {
	s.opts.Progress(name + load())
	first := len(s.figures)
	s.wire.take()
	s.reports.take()
	s.bundles.take()
	for _, a := range s.agents {
		a.mark()
	}
	stop := s.profile(ctx, name)
	defer stop()
	before, _ := s.site.usage() // there is no hub before the first phase
	pid := s.site.pid()
	began := time.Now()
	if err := run(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := s.site.usage()
	if err != nil {
		return err
	}
	used := after.CPU
	if s.site.pid() == pid {
		used -= before.CPU
	}
	s.add("time", took.Seconds(), "s")
	s.add("hub, processor", used.Seconds(), "s")
	s.add("hub, processor for an agent in a second", used.Seconds()/took.Seconds()/float64(len(s.agents))*1e6, "µs")
	s.within("hub, anonymous memory", mebibytes(after.Anonymous), "MiB", memoryBar)
	s.add("hub, anonymous memory for an agent", mebibytes(after.Anonymous)*1024/float64(len(s.agents)), "KiB")
	reports, reported := s.reports.take()
	_, passed := s.wire.take()
	s.add("reports", float64(reports), "")
	s.add("reports, compressed", mebibytes(reported), "MiB")
	s.add("all bytes of the tunnels", mebibytes(passed), "MiB")
	for i := first; i < len(s.figures); i++ {
		s.figures[i].Bench = name
		s.opts.Measured(s.figures[i])
	}
	return nil
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func (s *swarm) add(name string, value float64, unit string) {
	s.figures = append(s.figures, bench.Figure{Name: name, Value: value, Unit: unit})
}

func (s *swarm) within(name string, value float64, unit string, bar float64) {
	s.figures = append(s.figures, bench.Figure{Name: name, Value: value, Unit: unit, Bar: &bar})
}

// enrol starts a hub and brings up all agents from nothing.
func (s *swarm) enrol(ctx context.Context) (err error) {
	if s.commit, _, err = s.site.push(ctx, "A fleet to measure"); err != nil {
		return err
	}
	if err := s.site.start(); err != nil {
		return err
	}
	_, err = s.await(ctx, "the hub has read the fleet", func() (bool, string, error) {
		var found page
		if err := s.site.call(ctx, http.MethodGet, "/api/v1/fleet?apps=none", nil, &found); err != nil {
			return false, err.Error(), nil // it may be about to start
		}
		return found.Revision.Commit == s.commit, found.Revision.Error, nil
	})
	if err != nil {
		return err
	}
	joining := make([]struct{ Token, Roots string }, s.opts.Agents)
	const atOnce = 8
	err = each(s.opts.Agents, atOnce, func(i int) error {
		action := map[string]string{"cluster": clusterName(i), "actor": "swarm"}
		return s.site.call(ctx, http.MethodPost, "/api/v1/join", action, &joining[i])
	})
	if err != nil {
		return err
	}
	for i, with := range joining {
		a := newAgent(s, i)
		a.token = with.Token
		s.agents = append(s.agents, a)
		s.running.Go(func() { a.run(ctx, s.site.agents, []byte(with.Roots)) })
	}
	if _, err = s.knows(ctx); err != nil {
		return err
	}
	s.sent()
	return nil
}

// taken is how many assignments agents took in this phase.
func (s *swarm) taken() (n int) {
	for _, a := range s.agents {
		taken, _ := a.peek()
		n += taken
	}
	return n
}

// sent adds figures of assignments and bundles that were sent.
func (s *swarm) sent() {
	bundles, bytes := s.bundles.take()
	s.add("assignments sent", float64(s.taken()), "")
	s.add("bundles sent", float64(bundles), "")
	s.add("bundles, compressed", mebibytes(bytes), "MiB")
}

// idle lets nothing happen.
func (s *swarm) idle(ctx context.Context) error {
	if err := wait(ctx, s.opts.Phase); err != nil {
		return err
	}
	s.nothing()
	return nil
}

// nothing adds that no agent was sent anything, which is a bar.
func (s *swarm) nothing() {
	s.within("assignments sent", float64(s.taken()), "", 0)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// oneLine changes one object of every cluster by one line.
func (s *swarm) oneLine(ctx context.Context) error {
	file := filepath.Join(s.site.repository(), filepath.FromSlash(baseFile))
	if err := writeFile(file, deployment(appName(0), 2)); err != nil {
		return err
	}
	commit, pushed, err := s.site.push(ctx, "web: version 2")
	if err != nil {
		return err
	}
	s.commit = commit
	_, err = s.await(ctx, "every agent keeps what is new", func() (bool, string, error) {
		have := 0
		for _, a := range s.agents {
			if taken, _ := a.peek(); taken > 0 {
				have++
			}
		}
		return have == len(s.agents), fmt.Sprintf("%d of %d agents have it", have, len(s.agents)), nil
	})
	if err != nil {
		return err
	}
	known, err := s.knows(ctx)
	if err != nil {
		return err
	}
	s.sent()
	var times []time.Duration
	for _, a := range s.agents {
		_, accepted := a.mark()
		times = append(times, accepted.Sub(pushed))
	}
	s.distribution("from the push until an agent keeps it", sortDurations(times), time.Second, "s")
	s.add("from the push until the hub knows all to be Synced", known.Sub(pushed).Seconds(), "s")
	return nil
}

// distribution adds the quantiles of durations, in a unit.
func (s *swarm) distribution(name string, sorted []time.Duration, unit time.Duration, word string) {
	for _, part := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		s.add(name+", "+part.name, float64(quantile(sorted, part.part))/float64(unit), word)
	}
}

// readme changes nothing for any cluster.
func (s *swarm) readme(ctx context.Context) error {
	if err := writeFile(filepath.Join(s.site.repository(), "README.md"), "Another sentence.\n"); err != nil {
		return err
	}
	commit, pushed, err := s.site.push(ctx, "README: another sentence")
	if err != nil {
		return err
	}
	s.commit = commit
	known, err := s.knows(ctx)
	if err != nil {
		return err
	}
	s.add("from the push until the hub has the commit in force", known.Sub(pushed).Seconds(), "s")
	s.nothing()
	return nil
}

// churn has things happen on all clusters while people read pages, and has every
// agent renew its certificate, one after the other.
func (s *swarm) churn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Phase)
	defer cancel()
	certified := s.certified.Load()
	s.running.Go(func() { s.flaps(ctx) })
	s.running.Go(func() { s.renewals(ctx) })
	latencies, err := s.read(ctx)
	if err != nil {
		return err
	}
	for _, page := range pages {
		sorted := sortDurations(latencies[page.name])
		if len(sorted) == 0 {
			return fmt.Errorf("nobody has read the page of %s", page.name)
		}
		s.add("API, "+page.name+", p50", float64(quantile(sorted, 0.5))/1e6, "ms")
		s.within("API, "+page.name+", p99", float64(quantile(sorted, 0.99))/1e6, "ms", pageBar)
		s.add("API, "+page.name+", max", float64(quantile(sorted, 1))/1e6, "ms")
	}
	s.add("certificates renewed", float64(s.certified.Load()-certified), "")
	s.nothing()
	return nil
}

// renewal is how far ahead the clock of an agent is that renews a certificate which
// it was just given: these are renewed after a third of a week.
const renewal = 60 * time.Hour

// renewals has one agent after the other find its certificate due, all of them within
// most of the phase.
func (s *swarm) renewals(ctx context.Context) {
	defer func() {
		for _, a := range s.agents {
			a.ahead.Store(0)
		}
	}()
	tick := time.NewTicker(max(time.Millisecond, s.opts.Phase*8/10/time.Duration(len(s.agents))))
	defer tick.Stop()
	for _, a := range s.agents {
		select {
		case <-tick.C:
			a.ahead.Store(int64(renewal))
		case <-ctx.Done():
			return
		}
	}
	<-ctx.Done()
}

// flaps has something happen on some cluster, again and again, until ctx is done.
func (s *swarm) flaps(ctx context.Context) {
	tick := time.NewTicker(max(time.Millisecond, s.opts.Every/time.Duration(len(s.agents))))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
			s.agents[i%len(s.agents)].flap()
		case <-ctx.Done():
			return
		}
	}
}

// storm breaks all connections at one moment. The hub goes on.
func (s *swarm) storm(ctx context.Context) error {
	began := time.Now()
	for _, a := range s.agents {
		a.cut()
	}
	return s.again(ctx, began, "all agents reconnected, and the hub knows everything again")
}

// again adds how long it took until the hub knows everything.
func (s *swarm) again(ctx context.Context, began time.Time, name string) error {
	known, err := s.knows(ctx)
	if err != nil {
		return err
	}
	s.within(name, known.Sub(began).Seconds(), "s", knownBar)
	s.sent()
	return nil
}

// killed kills the hub and starts it again.
func (s *swarm) killed(ctx context.Context) error {
	s.site.kill()
	return s.restarted(ctx, "from the start until the hub knows everything again")
}

func (s *swarm) restarted(ctx context.Context, name string) error {
	_, err := s.await(ctx, "agents have noticed", func() (bool, string, error) {
		told := s.told()
		return told == 0, fmt.Sprintf("%d have not", told), nil
	})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.site.start(); err != nil {
		return err
	}
	return s.again(ctx, began, name)
}

// lost kills the hub and starts one that has nothing but the authority's key.
func (s *swarm) lost(ctx context.Context) error {
	s.site.kill()
	if err := s.site.forget(); err != nil {
		return err
	}
	return s.restarted(ctx, "from the start without a database until the hub knows everything again")
}

// load is the load of the machine in words, or nothing where that is not told.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(data), " ")
	return " (load of the machine: " + first + ")"
}
