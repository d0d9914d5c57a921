// Package fight counts the corrections of objects that somebody else changes again
// and again, and says how long the next one is to wait, so that nobody's API server
// suffers. It corrects nothing.
package fight

import (
	"maps"
	"time"

	"nave.dev/internal/object"
)

// Usual is how many corrections of one object within a minute are no fight: from
// then on each waits twice as long as the one before.
const Usual = 5

const (
	window  = time.Minute
	longest = 10 * time.Minute // that a correction waits
)

// Fights are the objects of one app that had to be corrected of late. It is not safe
// for concurrent use.
type Fights map[object.ID]count

// count is how often an object was corrected, and when last.
type count struct {
	times int
	last  time.Time
}

// Wait returns how long the next correction of an object is to wait.
func (f Fights) Wait(id object.ID) time.Duration { return backoff(f[id].times) }

// Correct counts a correction and returns how long the next one is to wait.
func (f Fights) Correct(id object.ID, now time.Time) time.Duration {
	maps.DeleteFunc(f, func(_ object.ID, c count) bool { return c.over(now) })
	c := f[id]
	c.times++
	c.last = now
	f[id] = c
	return backoff(c.times)
}

// over reports whether there was peace for so long that the next correction is the
// first again.
func (c count) over(now time.Time) bool { return now.Sub(c.last) > max(window, 2*backoff(c.times)) }

func backoff(times int) time.Duration {
	if times <= Usual {
		return 0
	}
	return min(time.Second<<min(times-Usual, 20), longest)
}
