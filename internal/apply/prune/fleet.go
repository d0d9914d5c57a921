package prune

import (
	"fmt"
	"maps"
	"slices"

	"nave.dev/internal/object"
)

// Cluster is what the prunes of one cluster mean to its fleet.
type Cluster struct {
	Objects int         // that the cluster has
	Going   []object.ID // removals that the fleet has not held so far
	Held    []object.ID // those that it has, and that are neither done nor undone
	Gone    []object.ID // those that it has let pass, of the same snapshot
}

// fewClusters is the size of a fleet from which on one object may be too much.
const fewClusters = 4

// Fleet returns why the removals that are Going are too much for the clusters of
// a fleet at once, or nothing. What is held already counts as far as it is the
// same objects: a cluster that comes late to what others hold is no small matter,
// and one that is away for long does not use up the budget of the others. What has
// passed counts as well, so that clusters which come one by one to a snapshot have
// one budget together.
func Fleet(clusters []Cluster) (reason string) {
	on := map[object.ID]int{} // number of clusters, of objects that go on one at least
	objects, total := 0, 0
	for _, c := range clusters {
		objects += c.Objects
		for _, id := range c.Going {
			on[id] = 0
		}
	}
	if len(on) == 0 {
		return ""
	}
	for _, c := range clusters {
		counted := map[object.ID]bool{} // several apps may have had one object
		for i, id := range slices.Concat(c.Gone, c.Going, c.Held) {
			_, going := on[id]
			if counted[id] || !going && i >= len(c.Gone) {
				continue
			}
			counted[id] = true
			total++
			if going {
				on[id]++
			}
		}
	}
	if limit := budget(20, 5, objects); total > limit {
		return fmt.Sprintf("%d of the fleet's %d objects would go at once, more than %d", total, objects, limit)
	}
	for _, id := range slices.SortedFunc(maps.Keys(on), object.Compare) {
		if len(clusters) >= fewClusters && 2*on[id] > len(clusters) {
			return fmt.Sprintf("%s would go on %d of the fleet's %d clusters at once, more than half", id, on[id], len(clusters))
		}
	}
	return ""
}
