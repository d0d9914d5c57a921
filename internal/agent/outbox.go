package agent

import "nave.dev/internal/spoke"

// maxEvents is how many events wait for a hub; the oldest ones go first.
const maxEvents = 1000

// outbox has the events that no hub has acknowledged. Each has a number, from 1, in
// this process: by it a hub knows those again whose acknowledgement was lost. Its zero
// value is empty.
type outbox struct {
	events []spoke.Event
	gone   int64 // how many there were before events[0]
}

// add puts an event in, for the oldest where there is no room.
func (o *outbox) add(e spoke.Event) {
	o.events = append(o.events, e)
	o.taken(o.gone + int64(max(0, len(o.events)-maxEvents)))
}

// waiting returns the events, which are not changed later, and the first one's number.
func (o *outbox) waiting() ([]spoke.Event, int64) {
	return o.events[:len(o.events):len(o.events)], o.gone + 1
}

// taken forgets the events up to and with a number.
func (o *outbox) taken(last int64) {
	if over := last - o.gone; over > 0 {
		o.events, o.gone = o.events[over:], last
	}
}
