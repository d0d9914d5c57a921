package app

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"nave.dev/internal/object"
)

// Child is an app that objects of another app ask for, as a dialect reads them.
// Its sources are named as the objects name them; which repository of the fleet
// that is, and which commit, is not known yet.
type Child struct {
	Name    string
	Cluster string // the member it goes to
	Origins []Origin
	// Refs are sources that only lend files to the others, by the name N in the
	// "$N/…" of a path of Render.
	Refs map[string]Origin
	// Signed is what a project wants of the commits of Origins and Refs; nil is nothing.
	Signed  *Signed
	Options Options
	// Expects are objects that must be among those of the app.
	Expects []object.ID
}

// Signed is a list of those who may sign commits.
type Signed struct {
	Project string   // that has the list
	Keys    []string // long ids and fingerprints of OpenPGP keys, in upper case: by one of them
	Looked  []Origin // what generators of the app's set looked into, and must be signed as well
}

// SameContent reports whether two children render to the same, if they may render at all, whatever their options.
func (c *Child) SameContent(other *Child) bool {
	return reflect.DeepEqual(c.Origins, other.Origins) && reflect.DeepEqual(c.Refs, other.Refs) && reflect.DeepEqual(c.Signed, other.Signed) &&
		slices.Equal(c.Expects, other.Expects)
}

// Origin is one source of a Child.
type Origin struct {
	Repository string // a URL, or what a chart repository or registry is named by
	// Own is the source of the Delivery, at its commit, in place of a Repository.
	Own bool
	// Signed wants a source whose commits, charts or artifacts the Fleet has verified, these by Cosign.
	Signed bool
	// Layers are what the files are made of, the later ones above; if there are any, they
	// count in place of a Repository. Their Sources are not known yet.
	Layers []Layer
	// Revision is a branch, tag, commit or semver range, of a chart a version or a
	// range of versions; empty and HEAD are the repository's default.
	Revision string
	// TagPrefix is cut off tags before they are held against a semver range.
	TagPrefix string
	Path      string // in the repository; empty for a chart
	Chart     string // its name in a chart repository; empty for a path
	// Artifact is what counts below the Repository, a place in a registry, in place of a Revision and Chart.
	Artifact *Artifact
	Render   Render
	// Environment are the variables that texts of Render may name as $NAME or ${NAME},
	// save those that are known only with the commit. Nil if none does.
	Environment map[string]string
}

// Layer takes files of a repository into a tree that is made of several.
type Layer struct {
	Repository, Revision string // as in Origin
	Artifact             *Artifact
	Own, Signed          bool
	Source               Source // what these came to; its Path counts for nothing
	// From are the files: a file, a directory, whose name stays, or all that a pattern
	// matches, in which a wildcard ends at a slash. A pattern that ends in "/**" is all
	// that is in a directory, without its name.
	From string
	// To is where they go; with a slash at its end, or if From is not one file, a
	// directory.
	To      string
	Exclude []string // patterns of paths, or of names in any directory
	Ignore  string   // patterns of .gitignore, of files of the repository that do not count
}

// Part is one of the sources of an app, and how it becomes objects.
type Part struct {
	Source Source
	// Layers are what the files are made of in place of those of Source alone, which is
	// the first one's.
	Layers []Layer
	Render Render
}

// Lineage says where an app comes from, for what happens when it is no longer
// asked for.
type Lineage struct {
	Delivery string `json:"delivery,omitempty"` // whose objects ask for apps; of its own app too
	Parent   string `json:"parent,omitempty"`   // the app whose objects ask for this one; empty for a Delivery's own
	Fleet    bool   `json:"fleet,omitempty"`    // these are read in the context of the fleet
	// Cascade deletes the app's objects when the app is no longer asked for, within
	// the safety rules. Otherwise they stay as orphans.
	Cascade bool `json:"cascade,omitempty"`
	// Confirm holds these deletions until a person confirms them.
	Confirm bool `json:"confirm,omitempty"`
}

// Gate keeps the objects of a wave and of later ones from being applied before
// other apps of the cluster are Synced and Healthy, and with them all apps that
// come of theirs.
type Gate struct {
	Wave int      `json:"wave"`
	Apps []string `json:"apps"` // by name, in order
}

// Precedence is a part of another app of the cluster that comes first: its
// objects of lower waves than the given one, which must be Synced and Healthy.
type Precedence struct {
	App  string `json:"app"`
	Wave int    `json:"wave"`
}

// AllWaves are all that an app has.
const AllWaves = math.MaxInt32

// String names the objects that come first.
func (p Precedence) String() string {
	if p.Wave == AllWaves {
		return "the objects of " + p.App
	}
	return fmt.Sprintf("the objects of %s below wave %d", p.App, p.Wave)
}

// Readiness is when another app of the cluster is ready for who depends on it, in
// place of being Synced and Healthy.
type Readiness struct {
	App string `json:"app"`
	// Expression, in the Common Expression Language, is true when it is. It is told of
	// both apps as objects: "self" asks, and "dep" has a status by the conditions of
	// Flux.
	Expression string         `json:"expression"`
	Self       map[string]any `json:"self"`
	Dependency map[string]any `json:"dependency"`
}

// Window is a recurring time in which syncs are allowed, or denied. If any allow
// window concerns an app, it is synced within one only; a deny window that is open
// wins.
type Window struct {
	Allow    bool          `json:"allow"`
	Schedule string        `json:"schedule"` // of cron, five fields
	TimeZone string        `json:"timeZone,omitempty"`
	Duration time.Duration `json:"duration"`
	// Manual lets a person sync while the window is in the way.
	Manual bool `json:"manual,omitempty"`
	// Overrun lets what has begun go on.
	Overrun bool `json:"overrun,omitempty"`
}

// Retry is how often, and after which waits, a sync that failed is tried again.
type Retry struct {
	Limit  int           `json:"limit"`  // negative is for ever
	First  time.Duration `json:"first"`  // 0 means 2 seconds
	Factor float64       `json:"factor"` // 0 means 2
	Most   time.Duration `json:"most"`   // 0 means 3 minutes
}

// What a Retry waits that does not say: at first, and at most.
const (
	firstRetry = 2 * time.Second
	lastRetry  = 3 * time.Minute
)

// Wait returns how long to wait after so many attempts, at least one, until the
// next, at least a second, and whether there is to be one. Without a rule there is
// none.
func (r *Retry) Wait(attempts int) (wait time.Duration, again bool) {
	if r == nil || r.Limit >= 0 && attempts > r.Limit {
		return 0, false
	}
	first, most := cmp.Or(r.First, firstRetry), cmp.Or(r.Most, lastRetry)
	wait = most
	// Not for a number that is none, or too large to be a duration.
	if grown := float64(first) * math.Pow(max(cmp.Or(r.Factor, 2), 1), float64(attempts-1)); grown < float64(most) {
		wait = max(time.Duration(grown), time.Second)
	}
	return wait, true
}

// Metadata are labels and annotations of an object.
type Metadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Difference names what is left to others of some objects.
type Difference struct {
	Group     string `json:"group,omitempty"` // "*" is every group, as in the others
	Kind      string `json:"kind"`
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// Pointers are JSON pointers (RFC 6901), and JQ paths in the language of jq.
	Pointers []string `json:"pointers,omitempty"`
	JQ       []string `json:"jq,omitempty"`
	// Managers are field managers whose fields count before Git's.
	Managers []string `json:"managers,omitempty"`
}

// Applies reports whether the difference is about an object.
func (d Difference) Applies(id object.ID) bool {
	return (d.Group == "*" || d.Group == id.Group) && (d.Kind == "*" || d.Kind == id.Kind) &&
		(d.Name == "" || Match(d.Name, id.Name)) && (d.Namespace == "" || Match(d.Namespace, id.Namespace))
}

// readKinds are the kinds that dialects read, by group; "*" is every kind.
var readKinds = map[string][]string{
	"argoproj.io":                    {"Application", "AppProject", "ApplicationSet"},
	"kustomize.toolkit.fluxcd.io":    {"Kustomization"},
	"helm.toolkit.fluxcd.io":         {"HelmRelease"},
	"source.toolkit.fluxcd.io":       {"*"},
	"source.extensions.fluxcd.io":    {"*"},
	"notification.toolkit.fluxcd.io": {"*"},
	"image.toolkit.fluxcd.io":        {"*"},
}

// AsksForApps reports whether an object is of a kind that a dialect reads: it asks
// for apps, or says what these may do or are made of.
func AsksForApps(id object.ID) bool {
	kinds := readKinds[id.Group]
	return len(kinds) > 0 && (kinds[0] == "*" || slices.Contains(kinds, id.Kind))
}

// LeavesAlone reports whether an object of the app stays on its cluster as it is
// though the app does not have it: it is read in place of being applied, or is
// passed over.
func (o Options) LeavesAlone(id object.ID) bool {
	return !o.Dialects && AsksForApps(id) || o.Leaves.Match(id)
}
