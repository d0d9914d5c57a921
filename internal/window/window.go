// Package window evaluates recurring windows of time in which syncs are allowed or
// denied, by the schedules of cron. A schedule is read in its own time zone, so
// that a window begins at the same time of day in summer and in winter.
package window

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // not every machine has it

	"github.com/robfig/cron/v3"
)

// Window is a recurring time. Its fields are those of the Window of package app,
// which can be converted to it.
type Window struct {
	Allow    bool
	Schedule string
	TimeZone string // UTC if empty
	Duration time.Duration
	Manual   bool
	Overrun  bool
}

// longest keeps the search for the beginning of a window that is open short.
const longest = 366 * 24 * time.Hour

var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Validate says what is wrong with a window, all of it.
func (w Window) Validate() error {
	_, _, err := w.parse()
	if w.Duration <= 0 || w.Duration > longest {
		err = errors.Join(err, fmt.Errorf("a window is open for more than nothing and at most a year, not for %s", w.Duration))
	}
	return err
}

func (w Window) parse() (cron.Schedule, *time.Location, error) {
	location, zoneErr := time.LoadLocation(w.TimeZone)
	if zoneErr != nil || w.TimeZone == "Local" {
		zoneErr = fmt.Errorf("%q is no time zone\nhint: such as Europe/Berlin", w.TimeZone)
	}
	// A time zone in the schedule would contradict the field that is for it.
	if strings.Contains(w.Schedule, "=") {
		return nil, nil, errors.Join(zoneErr, fmt.Errorf("%q is no schedule: a time zone has a field of its own", w.Schedule))
	}
	schedule, err := parser.Parse(w.Schedule)
	if err != nil {
		err = fmt.Errorf("%q is no schedule: %w\nhint: minute, hour, day of the month, month and day of the week, such as \"0 22 * * 1-5\"", w.Schedule, err)
	}
	return schedule, location, errors.Join(zoneErr, err)
}

// Open reports whether a window that is valid is open at a time: from the moment
// that the schedule names on, for its duration.
func (w Window) Open(at time.Time) bool {
	schedule, location, err := w.parse()
	if err != nil || w.Duration <= 0 {
		return false
	}
	began := schedule.Next(at.In(location).Add(-w.Duration))
	return !began.IsZero() && !began.After(at)
}

// Permit reports whether windows let an app be synced at a time, by a person if
// manual is set. A sync that began at an earlier time may go on where windows that
// are in its way let it overrun; a zero time means that none has begun.
func Permit(windows []Window, at time.Time, manual bool, began time.Time) bool {
	blocking := inTheWay(windows, at)
	if len(blocking) == 0 {
		return true
	}
	byHand, overrun := true, true
	for _, w := range blocking {
		byHand = byHand && w.Manual
		overrun = overrun && w.Overrun
	}
	if manual && byHand {
		return true
	}
	return overrun && !began.IsZero() && began.Before(at) && Permit(windows, began, manual, time.Time{})
}

// inTheWay returns the windows that forbid a sync at a time: deny windows that are
// open; without any, all allow windows if none of them is open.
func inTheWay(windows []Window, at time.Time) []Window {
	var denying, closed []Window
	allowed := false
	for _, w := range windows {
		switch open := w.Open(at); {
		case open && !w.Allow:
			denying = append(denying, w)
		case open:
			allowed = true
		case w.Allow:
			closed = append(closed, w)
		}
	}
	if len(denying) > 0 {
		return denying
	}
	if allowed {
		return nil
	}
	return closed
}

// Explain says until when windows keep an app from being synced that they do not
// permit now, and whether a person may do so.
func Explain(windows []Window, now time.Time, byHand bool) string {
	why := "its sync windows let nothing through"
	if until, ok := Until(windows, now, byHand); ok {
		why += " until " + until.UTC().Format(time.RFC3339)
	}
	if !byHand && Permit(windows, now, true, time.Time{}) {
		why += ", but nave sync"
	}
	return why
}
