package spoke

import (
	"time"

	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/spoke/report"
)

// Namespace is where a spoke keeps its record and its lease.
const Namespace = record.Namespace

// Pause keeps an app, or the whole cluster, from being written for a while.
type Pause = record.Pause

// SyncStatus says whether an app's objects are what they should be.
type SyncStatus = report.SyncStatus

// The sync statuses.
const (
	Synced    = report.Synced
	OutOfSync = report.OutOfSync
	Unknown   = report.Unknown
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

// State is what is known of a cluster at one moment.
type State = report.State

// AppState is what is known of one app on one cluster.
type AppState = report.AppState

// Held is a list of deletions that wait for confirmation.
type Held = report.Held

// EventKind is what an event is about.
type EventKind string

// The kinds of events.
const (
	EventApplied EventKind = "applied" // a sync changed objects
	EventDrift   EventKind = "drift"   // somebody changed an object
	EventHeld    EventKind = "held"    // deletions wait for confirmation, or an app for rights
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
