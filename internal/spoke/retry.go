package spoke

import (
	"fmt"
	"time"

	"nave.dev/internal/change"
)

// Waits before an app that could not be brought about is tried again.
const (
	firstAppRetry = 2 * time.Second
	lastAppRetry  = 3 * time.Minute
)

// astray reports whether an object is to be looked at, since somebody changed it.
func (w *work) astray(now time.Time) bool {
	for _, from := range w.drifted {
		if !now.Before(from) {
			return true
		}
	}
	return false
}

// retry sets when a sync that did not come to its end is tried again: as soon as
// the app says if objects failed, and at last not at all.
func (w *work) retry(now time.Time) {
	rule := w.options.Retry
	if rule == nil || len(w.state.Problems.With(change.Failed, change.Conflict)) == 0 {
		w.retryLater(now)
		return
	}
	wait, again := rule.Wait(w.tried + 1)
	if !again {
		w.retryAt, w.gaveUp = time.Time{}, true
		w.state.Message += fmt.Sprintf("; given up after %d retries, until Git changes or somebody runs nave sync", w.tried)
		return
	}
	w.retryAt = now.Add(wait)
	w.tried++
}

// retryLater has the app tried again, each time after twice as long.
func (w *work) retryLater(now time.Time) {
	w.retryAt = now.Add(min(firstAppRetry<<min(w.failures, 10), lastAppRetry))
	w.failures++
}
