// Package protocol is what a hub and an agent say to each other, in JSON over
// HTTP: an [Assignment] goes down, and the agent fetches the bundles in it that it
// lacks; a [Report] goes up whenever the agent's state is another one, with what is
// new in it; an [Action] or a question goes down when a person asks. A [Mirror] is
// the hub's picture of what an agent reported. The package reaches no network.
//
// Fields that a reader does not know are left out of account, and those that a
// writer does not know are zero: so that one may be newer than the other.
package protocol

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Paths of the hub, which the agent calls.
const (
	// ReportPath takes a Report by POST, in Compressed form, and answers Taken.
	ReportPath = "/agent/v1/report"
	// BundlePath, with the digest after it, answers a bundle as EncodeBundle has it, or
	// a range of it.
	BundlePath = "/agent/v1/bundles/"
)

// Paths of the agent, which the hub calls.
const (
	// AssignmentPath takes an Assignment by PUT, in Compressed form. It answers when
	// the agent has everything in it and keeps it on the cluster.
	AssignmentPath = "/hub/v1/assignment"
	// ActionPath takes an Action by POST. What it could not do it answers as text, with
	// StatusRefused.
	ActionPath = "/hub/v1/action"
	// DiffPath answers what a sync of the app in the query, or of all, would change.
	DiffPath = "/hub/v1/diff"
	// OrphansPath answers what apps left on the cluster.
	OrphansPath = "/hub/v1/orphans"
	// AskPath, with one of live's questions after it, answers that as live has it.
	AskPath = "/hub/v1/live/"
	// LeasePath answers a Lease.
	LeasePath = "/hub/v1/lease"
)

// StatusRefused is the HTTP status of what an agent understood and did not do.
const StatusRefused = 422

// Taken answers a Report.
type Taken struct {
	// Whole asks that the next report be a whole one: the hub has not what this one
	// builds on.
	Whole bool `json:"whole,omitempty"`
	// Mark says how far the hub's database has come, for the agent to repeat.
	Mark json.RawMessage `json:"mark,omitempty"`
}

// Lease is what an agent says of the lease of its cluster.
type Lease struct {
	Held bool `json:"held"` // by this agent
	// Cluster is the UID of the namespace kube-system: that of a cluster that was copied
	// is the same, and its lease is another.
	Cluster string `json:"cluster,omitempty"`
}

// Things that an Action asks for.
const (
	Sync       = "sync"        // App
	RerunHooks = "rerun-hooks" // of App
	Confirm    = "confirm"     // the held list Digest
	Pause      = "pause"       // App, or all if that is empty, until Until
	Renew      = "renew"       // the agent's certificate
)

// Action is what an operator asks of a cluster.
type Action struct {
	Do     string    `json:"do"`
	App    string    `json:"app,omitempty"`
	Digest string    `json:"digest,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
}

// MaxMessage is how many bytes a message may have once it is no longer compressed.
const MaxMessage = 16 << 20

// Compressed encodes a message.
func Compressed(message any) ([]byte, error) {
	data, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	return compress(data)
}

// Read decodes a compressed message.
func Read(in io.Reader, message any) error {
	data, err := decompress(in, MaxMessage)
	if err == nil {
		err = json.Unmarshal(data, message)
	}
	if err != nil {
		return fmt.Errorf("reading a message: %w", err)
	}
	return nil
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

// decompress reads at most so many bytes; more is an error.
func decompress(in io.Reader, most int64) ([]byte, error) {
	r, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	return data, err
}
