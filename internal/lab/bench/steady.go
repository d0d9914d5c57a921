package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"nave.dev/internal/lab"
)

// quiet is how long the hub is watched around a commit that changes nothing.
const quiet = 10 * time.Second

// readme measures what a commit costs that changes no cluster: processor time of
// the hub beyond that of an equal time before, and requests to clusters beside
// the renewal of leases.
func readme(ctx context.Context, s *site) ([]Figure, error) {
	return s.readme(ctx, large.scaled(s.opts))
}

func (s *site) readme(ctx context.Context, f fleet) ([]Figure, error) {
	if err := s.settle(ctx, f); err != nil {
		return nil, err
	}
	if err := lab.Pause(ctx, settleTime); err != nil { // workers end, caches are written
		return nil, err
	}
	var spent [3]time.Duration
	var requests counts
	for i := range spent {
		before, err := s.hubUsage()
		if err != nil {
			return nil, err
		}
		counted := s.meter.read()
		if i == 1 {
			if _, _, err := s.change(ctx, files{"README.md": "Another sentence.\n"}, "readme"); err != nil {
				return nil, err
			}
		}
		if err := lab.Pause(ctx, quiet); err != nil {
			return nil, err
		}
		after, err := s.hubUsage()
		if err != nil {
			return nil, err
		}
		spent[i] = after.CPU - before.CPU
		if i == 1 {
			requests = s.meter.read().since(counted)
		}
	}
	head, err := s.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	if answer, err := s.ask(ctx); err != nil || answer.Revision.Commit != head {
		return nil, errors.Join(err, fmt.Errorf("the hub is at %s, not at %s", answer.Revision.Commit, head))
	}
	idle := (spent[0] + spent[2]) / 2
	return []Figure{
		count("requests to clusters", requests.sum(func(r request) bool { return r.agent == hubAgent && !own(r) })).within(0),
		seconds(fmt.Sprintf("processor for %d apps", f.apps*len(s.clusters)), max(0, spent[1]-idle)).within(0.1),
		seconds(fmt.Sprintf("processor in %s without a commit", quiet), idle),
	}, nil
}

// watched has a hub keep a fleet, and returns a watcher of its clusters once they
// are as they should be, which the caller closes.
func (s *site) watched(ctx context.Context, f fleet) (*watcher, error) {
	if err := s.settle(ctx, f); err != nil {
		return nil, err
	}
	return watch(ctx, s.direct)
}

// edits is how many commits are measured one after the other.
const edits = 20

// oneLine measures how long a line in a base takes to be on all clusters, and what
// is written.
func oneLine(ctx context.Context, s *site) ([]Figure, error) {
	return s.oneLine(ctx, large.scaled(s.opts), 2)
}

// oneLine is that of a fleet; the bar is in seconds, until the line is everywhere.
func (s *site) oneLine(ctx context.Context, f fleet, bar float64) ([]Figure, error) {
	w, err := s.watched(ctx, f)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var each, all []time.Duration
	var wrote counts = map[request]int{}
	commits := min(edits, f.apps)
	for i := range commits {
		file := f.deploymentFile(i)
		revision := fmt.Sprintf("edit-%d", i)
		old, replaced := f.objectsOf(i)["deployment.yaml"], fmt.Sprintf("%s: %q", revisionKey, revision)
		changed := strings.Replace(old, revisionKey+`: "1"`, replaced, 1)
		want := map[place]string{}
		for _, cluster := range s.clusters {
			want[place{cluster, "Deployment", namespaceOf(i), appName(i)}] = revision
		}
		before := s.meter.read()
		reached := w.expect(want)
		_, pushed, err := s.change(ctx, files{file: changed}, revision)
		if err != nil {
			return nil, err
		}
		times, err := w.await(ctx, reached, convergence)
		if err != nil {
			return nil, err
		}
		for _, t := range times {
			each = append(each, t.Sub(pushed))
		}
		all = append(all, last(times).Sub(pushed))
		if err := lab.Pause(ctx, time.Second); err != nil { // requests that follow belong to it
			return nil, err
		}
		for what, n := range s.meter.read().since(before) {
			wrote[what] += n
		}
	}
	s.kept = fleet{} // the repository is another one now
	objects := float64(commits * len(s.clusters))
	return []Figure{
		seconds("after the push, one cluster, p50", quantile(each, 0.5)),
		seconds("after the push, one cluster, p99", quantile(each, 0.99)),
		seconds("after the push, everywhere, p50", quantile(all, 0.5)),
		seconds("after the push, everywhere, p99", quantile(all, 0.99)).within(bar),
		count("writes", wrote.sum(verb("apply", "create", "update", "patch", "delete"))).against(objects).within(1),
		count("reads", wrote.sum(verb("get", "list"))),
		count("writes of the cluster record", wrote.sum(func(r request) bool { return r.name == recordName && r.verb == "update" })),
	}, nil
}

// damages is how many objects are changed by hand.
const damages = 200

// drift measures how long a field that somebody changed stays changed.
func drift(ctx context.Context, s *site) ([]Figure, error) {
	f := large.scaled(s.opts)
	w, err := s.watched(ctx, f)
	if err != nil {
		return nil, err
	}
	defer w.close()
	before := s.meter.read()
	var took []time.Duration
	targets := rand.Perm(f.apps * len(s.clusters) * 2)
	for _, n := range targets[:min(len(targets), s.opts.scaled(damages))] {
		app, kind := n/2%f.apps, []string{"Service", "Deployment"}[n%2]
		cluster := s.clusters[n/2/f.apps]
		at := place{cluster, kind, namespaceOf(app), appName(app)}
		w.mu.Lock()
		was := w.seen[at]
		w.mu.Unlock()
		done, err := damage(ctx, s.direct[cluster], at)
		if err != nil {
			return nil, err
		}
		repaired, err := w.repaired(ctx, at, was, done)
		if err != nil {
			return nil, err
		}
		took = append(took, repaired)
	}
	requests := s.meter.read().since(before)
	n := float64(len(took))
	return []Figure{
		seconds("after the write, p50", quantile(took, 0.5)),
		seconds("after the write, p99", quantile(took, 0.99)).within(1),
		count("writes", requests.sum(verb("apply", "create", "update", "patch", "delete"))).against(n).within(1),
		count("reads", requests.sum(verb("get", "list"))).against(n),
	}, nil
}

// damage changes a field of an object that nave owns, as a person would, and
// returns when that was done.
func damage(ctx context.Context, config *rest.Config, at place) (time.Time, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return time.Time{}, err
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"damaged"}}}`, revisionKey)
	_, err = client.Resource(resources[at.kind]).Namespace(at.namespace).Patch(ctx, at.name, types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: "kubectl-edit"})
	return time.Now(), err
}

// repaired waits until an object that is damaged is as it was.
func (w *watcher) repaired(ctx context.Context, at place, was string, damaged time.Time) (time.Duration, error) {
	// The damage may not have been seen yet; a repair may have been already.
	w.mu.Lock()
	w.awaited, w.times, w.reached = map[place]string{at: was}, map[string]time.Time{}, make(chan struct{})
	reached := w.reached
	w.mu.Unlock()
	times, err := w.await(ctx, reached, time.Minute)
	if err != nil {
		return 0, err
	}
	return times[at.cluster].Sub(damaged), nil
}

// memory measures the hub at rest.
func memory(ctx context.Context, s *site) ([]Figure, error) {
	if err := s.settle(ctx, large.scaled(s.opts)); err != nil {
		return nil, err
	}
	if err := lab.Pause(ctx, settleTime); err != nil {
		return nil, err
	}
	usage, err := s.hubUsage()
	if err != nil {
		return nil, err
	}
	return []Figure{
		Figure{Name: "anonymous memory of the hub", Value: float64(usage.Anonymous) / (1 << 20), Unit: "MiB"}.within(250),
		{Name: "memory of files, shared in proportion", Value: float64(usage.Memory-usage.Anonymous) / (1 << 20), Unit: "MiB"},
	}, nil
}

// restart measures how long a hub that is started again takes to know that
// everything is in place, and what it asks and writes for that.
func restart(ctx context.Context, s *site) ([]Figure, error) {
	f := large.scaled(s.opts)
	if err := s.settle(ctx, f); err != nil {
		return nil, err
	}
	kept := s.kept
	if err := s.stopHub(ctx); err != nil {
		return nil, err
	}
	before := s.meter.read()
	began := time.Now()
	if err := s.startHub(ctx); err != nil {
		return nil, err
	}
	known, err := s.converged(ctx, f)
	if err != nil {
		return nil, err
	}
	usage, err := s.hubUsage()
	if err != nil {
		return nil, err
	}
	s.kept = kept
	requests := s.meter.read().since(before)
	return []Figure{
		seconds("until all clusters are Synced and Healthy", known.Sub(began)),
		seconds("processor", usage.CPU),
		count("objects written", requests.sum(verb("apply", "create", "update", "patch", "delete"))).within(0),
		count("gets", requests.sum(verb("get"))),
		count("lists", requests.sum(verb("list"))),
		count("watches", requests.sum(verb("watch"))),
		count("questions about rights", requests.sum(verb("review"))),
	}, nil
}

// rendering is one run of nave validate.
type rendering struct {
	took, cpu time.Duration
	memory    int64 // resident bytes, the most of the process or of any worker
}

// validate runs nave validate on the repository, with the caches of a directory.
func (s *site) validate(ctx context.Context) (rendering, error) {
	cmd := exec.CommandContext(ctx, s.nave(), "validate", s.repository(), "--dir", filepath.Join(s.dir, "caches"))
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return rendering{}, fmt.Errorf("nave validate: %w: %s", err, out)
	}
	took := time.Since(began)
	return rendering{took: took, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory: maxResident(cmd.ProcessState)}, nil
}
