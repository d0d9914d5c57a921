package spoke

import (
	"fmt"
	"time"

	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/record"
)

// Namespace is where a spoke keeps its record and its lease.
const Namespace = record.Namespace

// Pause keeps an app, or the whole cluster, from being written for a while.
type Pause = record.Pause

// SyncStatus says whether an app's objects are what they should be.
type SyncStatus string

// The sync statuses.
const (
	Synced    SyncStatus = "Synced"
	OutOfSync SyncStatus = "OutOfSync"
	Unknown   SyncStatus = "Unknown"
)

// Health is the health of a whole and what decides it.
type Health = health.Summary

// The words for health that a State holds, of those of package health.
const (
	Healthy       = health.Healthy
	HealthUnknown = health.Unknown
)

// FleetHealth returns the health of a fleet from what is known of its clusters.
func FleetHealth(clusters []State) Health {
	parts := make([]health.Part, 0, len(clusters))
	for _, c := range clusters {
		parts = append(parts, c.Health.Part(c.Cluster))
	}
	return health.Aggregate(parts, 0)
}

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
	Pauses  []Pause        `json:"pauses,omitempty"`
	Watches int            `json:"watches"` // that are open on the cluster
	// ConvergedAt is when all apps were last seen to be Synced and Healthy.
	ConvergedAt time.Time `json:"convergedAt,omitzero"`
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
	// Hooks are those of the last sync, nil if the app has none.
	Hooks *Hooks `json:"hooks,omitempty"`
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

// EventKind is what an event is about.
type EventKind string

// The kinds of events.
const (
	EventApplied EventKind = "applied" // a sync changed objects
	EventDrift   EventKind = "drift"   // somebody changed an object
	EventHeld    EventKind = "held"    // deletions wait for confirmation
	EventFailed  EventKind = "failed"  // an app or an object could not be brought about
	EventHook    EventKind = "hook"    // a hook runs, or has ended
	EventOnline  EventKind = "online"
	EventOffline EventKind = "offline"
	EventPaused  EventKind = "paused"
	EventResumed EventKind = "resumed" // somebody ended a pause before its time
)

// Event is something that was done, or seen, and why.
type Event struct {
	Time    time.Time  `json:"time"`
	Cluster string     `json:"cluster"`
	App     string     `json:"app,omitempty"`
	Kind    EventKind  `json:"kind"`
	Message string     `json:"message"`
	Changes change.Set `json:"changes,omitempty"`
}

// Listener is told what a spoke does. Its functions are called from the spoke's
// own goroutine and must not block.
type Listener struct {
	Event   func(Event)
	Changed func(cluster string) // the State is another one
	// FactsChanged: the cluster serves other kinds than before.
	FactsChanged func(cluster string)
}
