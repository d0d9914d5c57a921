package health

import (
	"fmt"
	"time"
)

// controllerGrace is how much longer than an object's own deadline is waited, so that the controller, which knows more,
// speaks first.
const controllerGrace = time.Minute

// Deadline is how long an object may stay Progressing.
type Deadline struct {
	// Limit is the time allowed; 0 means for ever. Where the object states a longer deadline of its own that its
	// controller enforces ([Result.OwnDeadline]), that one holds.
	Limit time.Duration
	// Since is when the object last changed for a reason that gives it new time: a change that was applied, or
	// progress that was seen. The zero time means unknown, and nothing expires.
	Since time.Time
}

// Expires returns when r becomes Degraded if nothing changes; ok is false if it does not.
func (d Deadline) Expires(r Result) (at time.Time, ok bool) {
	if r.Status != Progressing || d.Limit <= 0 || d.Since.IsZero() {
		return time.Time{}, false
	}
	return d.Since.Add(d.limit(r)), true
}

func (d Deadline) limit(r Result) time.Duration {
	if r.OwnDeadline > 0 {
		return max(d.Limit, r.OwnDeadline+controllerGrace)
	}
	return d.Limit
}

// Apply returns r as it is to be seen at the time now: Degraded, with the time that was allowed and what it waits for, if
// it has been Progressing past the deadline, and otherwise unchanged. What it says does not change with the time that
// passes, so that nobody is told again and again.
func (d Deadline) Apply(r Result, now time.Time) Result {
	at, ok := d.Expires(r)
	if !ok || now.Before(at) {
		return r
	}
	message := fmt.Sprintf("progressing for longer than %s", d.limit(r))
	if r.Message != "" {
		message += ": " + r.Message
	}
	r.Status, r.Message = Degraded, shorten(message)
	return r
}

// Judge applies the deadline to results, in place, and returns when the outcome will be another if nothing changes,
// the zero time if never.
func (d Deadline) Judge(results []Result, now time.Time) (next time.Time) {
	for i, r := range results {
		if at, ok := d.Expires(r); ok && now.Before(at) && (next.IsZero() || at.Before(next)) {
			next = at
		}
		results[i] = d.Apply(r, now)
	}
	return next
}
