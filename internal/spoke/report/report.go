// Package report has the types of what a spoke says of its cluster: the State, with each
// app's. They are values to be shown and kept, and know nothing of how it came about.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/spoke/rights"
)

// SyncStatus says whether an app's objects are what they should be.
type SyncStatus string

// The sync statuses.
const (
	Synced    SyncStatus = "Synced"
	OutOfSync SyncStatus = "OutOfSync"
	Unknown   SyncStatus = "Unknown"
)

// State is what is known of a cluster at one moment. It is a copy.
type State struct {
	Cluster string `json:"cluster"`
	// Online says whether the cluster answers; OfflineSince and Error since when
	// and why not.
	Online       bool      `json:"online"`
	OfflineSince time.Time `json:"offlineSince,omitzero"`
	Error        string    `json:"error,omitempty"`
	// Writer is false while another writer holds the cluster: then nothing is written.
	Writer  bool           `json:"writer"`
	Holder  string         `json:"holder,omitempty"`  // who writes, as far as that is known
	Version string         `json:"version,omitempty"` // of Kubernetes
	Number  int64          `json:"number"`            // of the accepted assignment
	Sync    SyncStatus     `json:"sync"`
	Health  health.Summary `json:"health"`
	Apps    []AppState     `json:"apps"`
	Pauses  []record.Pause `json:"pauses,omitempty"`
	Watches int            `json:"watches"` // that are open on the cluster
	// ConvergedAt is when all apps were last seen to be Synced and Healthy.
	ConvergedAt time.Time `json:"convergedAt,omitzero"`
}

// Settled returns, of the apps of an assignment that the state tells of, those that are
// on the cluster as it says, with nothing left to delete, and the digests of their
// bundles. The apps are by name.
func (s State) Settled(apps []app.Desired) map[string]string {
	settled := map[string]string{}
	for _, one := range s.Apps {
		at, given := slices.BinarySearchFunc(apps, one.Name, func(d app.Desired, name string) int { return cmp.Compare(d.Name, name) })
		if given && apps[at].Bundle != nil && apps[at].Bundle.Digest == one.Digest && s.Online && one.Sync == Synced && one.Held == nil {
			settled[one.Name] = one.Digest
		}
	}
	return settled
}

// AppState is what is known of one app on one cluster.
type AppState struct {
	Name string `json:"name"`
	// Parent is the app whose objects ask for this one; empty for a Delivery's own.
	Parent string `json:"parent,omitempty"`
	// Removed says that the app is no longer asked for, and goes with its objects.
	Removed bool           `json:"removed,omitempty"`
	Sync    SyncStatus     `json:"sync"`
	Health  health.Summary `json:"health"`
	Objects int            `json:"objects"`
	// Message says in words why the app is not Synced, or what it waits for.
	Message  string    `json:"message,omitempty"`
	Digest   string    `json:"digest,omitempty"` // of the bundle that is wanted
	Source   string    `json:"source,omitempty"`
	SyncedAt time.Time `json:"syncedAt,omitzero"`
	// Problems are objects that could not be brought about, held and conflicting
	// ones among them.
	Problems change.Set `json:"problems,omitempty"`
	// Drift is what is different now and is not corrected.
	Drift change.Set `json:"drift,omitempty"`
	Held  *Held      `json:"held,omitempty"`
	// Lacks are the rights for want of which nothing of the app is written.
	Lacks []rights.Rule `json:"lacks,omitempty"`
	// Hooks are those of the last sync, nil if the app has none.
	Hooks *hook.Summary `json:"hooks,omitempty"`
}

// Conclude says what the problems of the app, its, drift and held deletions
// come to.
func (a *AppState) Conclude(waitsFor string, err error) {
	switch {
	case err != nil:
		a.Sync, a.Message = OutOfSync, err.Error()
	case len(a.Problems) > 0:
		a.Sync, a.Message = OutOfSync, a.Problems.First()
	case a.Held != nil:
		a.Sync, a.Message = OutOfSync, a.Held.String()
	case len(a.Drift) > 0:
		a.Sync, a.Message = OutOfSync, fmt.Sprintf("%d objects differ, which is only reported", len(a.Drift))
	case waitsFor != "":
		a.Sync, a.Message = OutOfSync, "waits for "+waitsFor
	default:
		a.Sync, a.Message = Synced, ""
	}
}

// Held is a list of deletions that wait for confirmation.
type Held struct {
	Digest  string      `json:"digest"` // what people confirm
	Reason  string      `json:"reason"` // which safety rule holds them
	Objects []object.ID `json:"objects"`
}

// String says how many deletions are held, and why.
func (h *Held) String() string {
	if n := len(h.Objects); n != 1 {
		return fmt.Sprintf("holds %d deletions: %s", n, h.Reason)
	}
	return "holds 1 deletion: " + h.Reason
}

// AppDiff is what a sync of one app would do to its cluster now.
type AppDiff struct {
	App string `json:"app"`
	// Changes are those objects that differ; values of Secrets are veiled.
	Changes change.Set `json:"changes"`
	// Note says why no sync is under way, if so, such as that the app is paused.
	Note string `json:"note,omitempty"`
	// Error says why it cannot be told what a sync would do, or all of it.
	Error string `json:"error,omitempty"`
}

// Orphan is an object on a cluster whose app is no longer assigned there.
type Orphan struct {
	Cluster string    `json:"cluster"`
	Object  object.ID `json:"object"`
	App     string    `json:"app"` // that had it
	// Since is when the app left the cluster, zero if that is not known.
	Since time.Time `json:"since,omitzero"`
}
