package window

import "time"

// horizon is how far Until looks ahead, and steps how many beginnings and ends it
// looks at on the way: windows of each minute change their mind all the time.
const (
	horizon = 366 * 24 * time.Hour
	steps   = 100
)

// Until returns when windows that do, or do not, permit a sync at a time will next
// have it the other way round, and false if that is not within sight. The windows
// are looked at as Permit does for a sync that has not begun.
func Until(windows []Window, at time.Time, manual bool) (time.Time, bool) {
	now := Permit(windows, at, manual, time.Time{})
	next := at
	for range steps {
		var ok bool
		if next, ok = Next(windows, next); !ok || next.Sub(at) > horizon {
			return time.Time{}, false
		}
		if Permit(windows, next, manual, time.Time{}) != now {
			return next, true
		}
	}
	return time.Time{}, false
}

// Next returns the first moment after a time at which any window opens or closes,
// and false if none does.
func Next(windows []Window, after time.Time) (first time.Time, ok bool) {
	consider := func(t time.Time) {
		if !t.IsZero() && t.After(after) && (!ok || t.Before(first)) {
			first, ok = t, true
		}
	}
	for _, w := range windows {
		schedule, location, err := w.parse()
		if err != nil || w.Duration <= 0 {
			continue
		}
		consider(schedule.Next(after.In(location)))
		// The window that closes next is one that began within its duration.
		if began := schedule.Next(after.In(location).Add(-w.Duration)); !began.IsZero() {
			consider(began.Add(w.Duration))
		}
	}
	return first, ok
}
