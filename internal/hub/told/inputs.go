package told

import (
	"hash/maphash"
	"strconv"
	"time"

	"nave.dev/internal/app"
)

// recompiling is how long a compilation counts while nothing that is known of differs.
// It is for what is not known of, such as a file of a cache that somebody removed.
const recompiling = 10 * time.Minute

// Compilation is one that went well; the zero one is none.
type Compilation struct {
	At     time.Time
	Inputs uint64 // sum of those of the clusters
}

// Holds reports whether another compilation of the same state of Git would come to the
// same, as far as that is the clusters'.
func (c Compilation) Holds(inputs uint64) bool {
	return !c.At.IsZero() && c.Inputs == inputs && time.Since(c.At) < recompiling
}

// seed is this process's own: nobody can choose what has the digest of something else.
var seed = maphash.MakeSeed()

// Sum begins the sum of Inputs with numbers.
func Sum(numbers ...uint64) (sum uint64) {
	for i, n := range numbers {
		sum += maphash.Comparable(seed, [2]uint64{uint64(i), n})
	}
	return sum
}

// Inputs is a digest of what a compilation takes from a cluster: what its API server
// says of itself, the apps that were found there, and those that are Synced as given,
// each with its bundle. It differs where any of them does, and counts in this process.
func Inputs(cluster string, known bool, facts app.Facts, found []string, settled map[string]string) (sum uint64) {
	type input struct{ cluster, kind, name, value string }
	add := func(kind, name, value string) {
		sum += maphash.Comparable(seed, input{cluster, kind, name, value}) // in any order
	}
	add("known", "", strconv.FormatBool(known))
	add("version", "", facts.KubernetesVersion)
	add("looked", "", strconv.FormatBool(found != nil))
	for _, version := range facts.APIVersions {
		add("api", version, "")
	}
	for kind, namespaced := range facts.Scopes {
		add("scope", kind, strconv.FormatBool(namespaced))
	}
	for kind, resource := range facts.Resources {
		add("resource", kind, resource)
	}
	for _, name := range found {
		add("found", name, "")
	}
	for name, digest := range settled {
		add("settled", name, digest)
	}
	return sum
}
