package protocol

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"nave.dev/internal/spoke"
)

// What an agent may have a hub hold, which is bounded however often it reports: whole
// reports by MaxMessage, what came after the last of them by maxGrown bytes, then the
// next one has to be whole; and each event.
const (
	maxGrown   = 32 << 20
	maxApp     = 253
	maxText    = 4 << 10
	maxChanges = 256 << 10 // as JSON
)

// kinds are those of events; any other is otherKind.
var kinds = []spoke.EventKind{
	spoke.EventApplied, spoke.EventDrift, spoke.EventHeld, spoke.EventFailed, spoke.EventHook,
	spoke.EventOnline, spoke.EventOffline, spoke.EventPaused, spoke.EventResumed,
}

const otherKind spoke.EventKind = "other"

// ReadReport decodes a compressed report. Its events are within bounds.
func ReadReport(in io.Reader) (r Report, err error) {
	data, err := decompress(in, MaxMessage)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading a report: %w", err)
	}
	r.size = len(data)
	for i, event := range r.Events {
		r.Events[i] = bounded(event)
	}
	return r, nil
}

// bounded cuts what an event says. Changes that are too many are left out.
func bounded(e spoke.Event) spoke.Event {
	if !slices.Contains(kinds, e.Kind) {
		e.Kind = otherKind
	}
	e.App, e.Message = e.App[:min(len(e.App), maxApp)], e.Message[:min(len(e.Message), maxText)]
	if len(e.Changes) > 0 {
		if data, err := json.Marshal(e.Changes); err != nil || len(data) > maxChanges {
			e.Changes = nil
		}
	}
	return e
}
