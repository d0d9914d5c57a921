package past

import (
	"context"
	"slices"

	"nave.dev/internal/store"
)

// Kept is a cluster of which is written down what is known.
type Kept interface {
	// Due returns what is to be written, and whether anything is: of all that is news,
	// or of that for which it is time. It counts as written then.
	Due(all bool) (known store.Cluster, due bool)
	// Lost says that it was not written.
	Lost()
}

// writtenAtOnce bounds the memory that writing takes: what is known of a cluster with a
// hundred apps is a fifth of a megabyte.
const writtenAtOnce = 16

// Keep writes down what is due of clusters, a few at once.
func Keep(ctx context.Context, s store.Store, clusters []Kept, all bool) error {
	for some := range slices.Chunk(clusters, writtenAtOnce) {
		var known []store.Cluster
		var due []Kept
		for _, k := range some {
			if c, is := k.Due(all); is {
				known, due = append(known, c), append(due, k)
			}
		}
		if err := s.KeepClusters(ctx, known...); err != nil {
			for _, k := range due {
				k.Lost()
			}
			return err
		}
	}
	return nil
}
