// Package store says what a hub remembers over a restart, and in which values:
// events and what operators did, which are history; what was last known of each
// cluster; which enrolment tokens were used; and which database it is that
// remembers. The main type is the interface Store, which package store/sqlite
// implements; another implementation needs nothing but these values. The store
// decides nothing: what a hub must know to act is asked of the clusters.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// What callers tell apart.
var (
	// ErrTokenUsed says that a token was used before, with another key.
	ErrTokenUsed = errors.New("the token was used before")
	// ErrSuperseded says that a token's identity number is not above the one that its
	// cluster has, or is below that of a later token.
	ErrSuperseded = errors.New("a later token was made for the cluster, or has enrolled it")
)

// Store is what a hub remembers. Its methods are safe for concurrent use. Where
// nothing else is said, what was written is on the disk when a method returns.
type Store interface {
	// Record takes events into the history. It does not wait: events are written in
	// batches, so that a kill loses the last batch, and what cannot be written is
	// dropped, of which the listener is told.
	Record(events ...Event)
	// Events returns a page of the history, the newest first.
	Events(ctx context.Context, query EventQuery) (EventPage, error)

	// Audit writes down what somebody is about to do and returns the entry's number.
	Audit(ctx context.Context, entry Entry) (int64, error)
	// Conclude adds what became of it. An entry without an outcome is of an action
	// that was broken off.
	Conclude(ctx context.Context, id int64, after json.RawMessage, outcome string) error
	// Entries returns a page of what was done, the newest first.
	Entries(ctx context.Context, query EntryQuery) (EntryPage, error)

	// KeepClusters replaces what is known of clusters, all or none of them. An
	// identity number that is higher than those before counts as enrolled.
	KeepClusters(ctx context.Context, clusters ...Cluster) error
	// Clusters returns what is known of all clusters, by name.
	Clusters(ctx context.Context) ([]Cluster, error)
	// Dismiss has a cluster's identities not be accepted any more: those up to the
	// highest that it has had, which is returned, or 0, and those that tokens have
	// which nobody has used yet. Seen is the highest that has shown itself, or 0: a
	// database that was lost in between does not know it. What is known of the cluster
	// is forgotten.
	Dismiss(ctx context.Context, cluster string, seen int64) (int64, error)
	// Dismissed returns the highest identity that was dismissed, by cluster.
	Dismissed(ctx context.Context) (map[string]int64, error)

	// IssueToken writes down the identity number of a token that is given away: earlier
	// tokens of the cluster are of no use from then on.
	IssueToken(ctx context.Context, cluster string, number int64) error
	// UseToken writes down that a token enrols a key. A token is used once, but for
	// the same key again, so that an agent which did not hear the answer can ask
	// once more. Each identity number of a cluster enrols at most one token. The
	// errors are ErrTokenUsed and ErrSuperseded, beside those of the disk.
	UseToken(ctx context.Context, token Token) error
	// Identity returns the highest number that the cluster has had, or that a token of
	// it has, or 0.
	Identity(ctx context.Context, cluster string) (int64, error)

	// Origin says which database this is, and whether it may lack what happened.
	Origin() Origin
	// SetRecovering writes down why the database may lack what happened, or, with an
	// empty text, that what it lacked is known now.
	// It changes nothing, with an error, if the reason before is another one by now.
	SetRecovering(ctx context.Context, before, why string) error
	// Mark returns how far the database has come, to be told to agents.
	Mark() Mark
	// Covers reports whether the database has all that it had when it gave the mark
	// away. If not, it is another one, or has been put back to an earlier state. The
	// zero Mark is of an agent that was told none, and covered.
	Covers(ctx context.Context, mark Mark) (bool, error)
	// Lacks writes down that the database lacks what a mark speaks of: that is a reason
	// to be recovering, unless there is another one already. All marks of that opening are
	// covered from then on, since what happened in it is asked of the agents once.
	Lacks(ctx context.Context, mark Mark, why string) error

	// Backup writes a consistent copy to a file that does not exist yet, while the
	// store is in use.
	Backup(ctx context.Context, file string) error
	// Close writes what waits to be written and ends the store.
	Close() error
}

// Event is something that happened to a cluster.
type Event struct {
	ID      int64           `json:"id,omitempty"` // given by the store, rising
	Time    time.Time       `json:"time"`
	Cluster string          `json:"cluster,omitempty"`
	App     string          `json:"app,omitempty"`
	Kind    string          `json:"kind"`
	Message string          `json:"message"`
	Detail  json.RawMessage `json:"detail,omitempty"`
}

// EventQuery says which events are wanted; the zero value wants the newest.
type EventQuery struct {
	Cluster, App, Kind string // empty: any
	// Since and Until bound the time of the events: from Since on, before Until.
	Since, Until time.Time
	// Before continues from the Next of the page before.
	Before Cursor
	// Limit is how many events a page has at most. 0 means 100; 1000 is the most.
	Limit int
}

// EventPage is a piece of the history.
type EventPage struct {
	Events []Event `json:"events"`
	// Next is where the next page begins, or zero if this is the last one.
	Next Cursor `json:"next,omitzero"`
}

// Entry is something that an operator did, or tried to.
type Entry struct {
	ID      int64           `json:"id,omitempty"` // given by the store, rising
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"`
	Action  string          `json:"action"`
	Cluster string          `json:"cluster,omitempty"`
	App     string          `json:"app,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
	// Outcome is what became of it; empty until it is concluded.
	Outcome string `json:"outcome,omitempty"`
	Address string `json:"address,omitempty"` // of whoever asked
}

// EntryQuery says which entries are wanted; the zero value wants the newest.
type EntryQuery struct {
	Actor, Action, Cluster, App string // empty: any
	Since, Until                time.Time
	Before                      Cursor
	Limit                       int // as that of EventQuery
}

// EntryPage is a piece of what was done.
type EntryPage struct {
	Entries []Entry `json:"entries"`
	Next    Cursor  `json:"next,omitzero"`
}

// Cluster is what was last known of a cluster.
type Cluster struct {
	Name string `json:"name"`
	// State and Facts are as the hub has them, in JSON.
	State json.RawMessage `json:"state,omitempty"`
	Facts json.RawMessage `json:"facts,omitempty"`
	// Identity is the number in the certificate that the agent shows, Serial that
	// certificate's, and CertificateEnd when it is no longer valid.
	Identity       int64     `json:"identity,omitempty"`
	Serial         string    `json:"serial,omitempty"`
	CertificateEnd time.Time `json:"certificateEnd,omitzero"`
	LastSeen       time.Time `json:"lastSeen,omitzero"`
	AgentVersion   string    `json:"agentVersion,omitempty"`
	// Accepted is the number of the assignment that the cluster accepted last, and
	// Digest that assignment's.
	Accepted int64  `json:"accepted,omitempty"`
	Digest   string `json:"digest,omitempty"`
}

// Token is an enrolment token that is being used.
type Token struct {
	ID       string
	Cluster  string
	Identity int64 // the number that it enrols with, at least 1
	// Key is a digest of the public key that is enrolled.
	Key string
	// End is when the token is no longer valid; some time after that it is forgotten.
	End time.Time
}

// Origin says which database a store works on.
type Origin struct {
	ID   string    `json:"id"` // random
	Made time.Time `json:"made"`
	// Recovering says why the database may lack what happened: it has just been made,
	// or was put back. It stays, also over restarts, until SetRecovering ends it.
	Recovering string `json:"recovering,omitempty"`
}
