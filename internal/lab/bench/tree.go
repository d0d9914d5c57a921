package bench

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// argoRoot measures how long a root Application takes to bring up the others: until
// their objects are there, and until all are Healthy.
func argoRoot(ctx context.Context, s *site) ([]Figure, error) {
	f := fleet{apps: 50, form: mixed, by: applications}
	figures, err := cold(f)(ctx, s)
	if err != nil {
		return nil, err
	}
	healthy, err := s.healthy(ctx, f.scaled(s.opts))
	return append(figures, healthy), err
}

// treeBar is how many seconds a line in one of 1,000 apps of a tree may take.
const treeBar = 1

// argoApplications measures 1,000 Applications on a cluster.
func argoApplications(ctx context.Context, s *site) ([]Figure, error) {
	return thousand(ctx, s, fleet{apps: 1000, form: plain, by: applications})
}

// fluxKustomizations measures 1,000 Kustomizations on a cluster.
func fluxKustomizations(ctx context.Context, s *site) ([]Figure, error) {
	return thousand(ctx, s, fleet{apps: 1000, form: plain, by: kustomizations})
}

// thousand measures a tree on a cluster: from nothing, and then after commits that change
// nothing, and one of its apps.
func thousand(ctx context.Context, s *site, f fleet) ([]Figure, error) {
	return s.thenCommits(ctx, f, "a line in one app", func(f fleet) ([]Figure, error) { return s.oneLine(ctx, f, treeBar) })
}

// thenCommits measures a fleet on a cluster: from nothing, and then after a commit that
// changes nothing, and another one.
func (s *site) thenCommits(ctx context.Context, f fleet, about string, measure func(fleet) ([]Figure, error)) ([]Figure, error) {
	figures, err := cold(f)(ctx, s)
	if err != nil {
		return nil, err
	}
	f = f.scaled(s.opts)
	for _, commit := range []struct {
		about   string
		measure func(fleet) ([]Figure, error)
	}{
		{"a commit to the README", func(f fleet) ([]Figure, error) { return s.readme(ctx, f) }},
		{about, measure},
	} {
		found, err := commit.measure(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", commit.about, err)
		}
		for _, figure := range found {
			figure.Name = commit.about + ": " + figure.Name
			figures = append(figures, figure)
		}
	}
	return figures, nil
}

// argoSet measures nave validate of an ApplicationSet, with an empty cache, after a
// commit that changes nothing, and after a change to one of its elements.
func argoSet(ctx context.Context, s *site) ([]Figure, error) {
	f := fleet{apps: 50, form: overlays, by: generated}.scaled(s.opts).on(s.opts.scaled(24))
	name := fmt.Sprintf("%d Applications, ", f.apps*len(f.clusters))
	return s.rendering(ctx, f, []state{
		{name: name + "from nothing"},
		{name: name + "after a commit to the README", changes: files{"README.md": "Another sentence.\n"}},
		{name: name + "after a change to one element", changes: files{setFile: f.set("2")}},
	})
}

// healthy measures how long a fleet takes until every app is Synced and Healthy,
// by what the hub says. The floor applies the same objects, and waits until the
// Deployments are observed by their controller. Ingresses get addresses in both.
func (s *site) healthy(ctx context.Context, f fleet) (Figure, error) {
	f.clusters = s.clusters
	if err := s.rest(ctx, false); err != nil {
		return Figure{}, err
	}
	if err := s.push(ctx, f); err != nil {
		return Figure{}, err
	}
	objects, err := s.wanted(ctx, f)
	if err != nil {
		return Figure{}, err
	}
	var nave, floor []half
	halves := []func() error{
		func() error {
			took, err := s.untilHealthy(ctx, f, func() error { return applyAll(ctx, s.metered, objects) }, s.observed)
			floor = append(floor, half{took: took})
			return err
		},
		func() error {
			took, err := s.untilHealthy(ctx, f, func() error { return s.startHub(ctx) }, s.converged)
			nave = append(nave, half{took: took})
			return err
		},
	}
	for round := range rounds {
		for _, half := range halves {
			if err := half(); err != nil {
				return Figure{}, err
			}
		}
		slices.Reverse(halves)
		s.say("round %d: all Healthy by nave %.1f s, by the floor %.1f s", round+1, nave[round].took.Seconds(), floor[round].took.Seconds())
	}
	figure := compared("until all are Healthy", nave, floor, func(h half) time.Duration { return h.took })
	return figure, s.clear(ctx)
}

// untilHealthy empties the clusters, does something, and returns how long it took
// until what is asked then says.
func (s *site) untilHealthy(ctx context.Context, f fleet, do func() error, since func(context.Context, fleet) (time.Time, error)) (time.Duration, error) {
	if err := s.clear(ctx); err != nil {
		return 0, err
	}
	if err := s.calm(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return 0, err
	}
	if err := s.publish(ctx, f); err != nil {
		return 0, err
	}
	reached, err := since(ctx, f)
	return reached.Sub(began), err
}

// observed waits until the controllers of all clusters have seen all Deployments as
// they are, and returns when that was so.
func (s *site) observed(ctx context.Context, f fleet) (time.Time, error) {
	for cluster, config := range s.direct {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return time.Time{}, err
		}
		list := cache.NewListWatchFromClient(client.AppsV1().RESTClient(), "deployments", metav1.NamespaceAll, fields.Everything())
		seen := map[string]bool{}
		_, err = watchtools.UntilWithSync(ctx, list, &appsv1.Deployment{}, nil, func(event apiwatch.Event) (bool, error) {
			if d, ok := event.Object.(*appsv1.Deployment); ok {
				seen[d.Name] = event.Type != apiwatch.Deleted && d.Status.ObservedGeneration >= d.Generation
			}
			for app := range f.apps {
				if !seen[appName(app)] {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil {
			return time.Time{}, fmt.Errorf("waiting for the Deployments of %s: %w", cluster, err)
		}
	}
	return time.Now(), nil
}

// converged waits until the hub says that every app is Synced and Healthy, and
// returns since when that is so.
func (s *site) converged(ctx context.Context, _ fleet) (since time.Time, err error) {
	if err := s.lab.AwaitFleet(ctx, func(*exec.Cmd) {}); err != nil {
		return time.Time{}, err
	}
	answer, err := s.ask(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, c := range answer.Clusters {
		if c.ConvergedAt.After(since) {
			since = c.ConvergedAt
		}
	}
	return since, nil
}
