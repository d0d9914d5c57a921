// Package hours says whether the windows of an app let it be synced, and remembers
// the answer for as long as it holds: it is asked for many apps, again and again.
package hours

import (
	"fmt"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/window"
)

// longest is for how long an answer serves at most.
const longest = 10 * time.Minute

// Hours remember the last answer about an app. The zero value remembers none. It is
// not safe for concurrent use.
type Hours struct {
	question    Question
	from, until time.Time
	why         string
}

// Question is what an answer is about.
type Question struct {
	Options string    // that the windows are of, by digest
	ByHand  bool      // a person asked for the sync
	Began   time.Time // the sync that goes on; zero if none does
}

// Shut says which of an app's windows keep it from being synced now, or nothing.
func (h *Hours) Shut(q Question, of []app.Window, now time.Time) string {
	same := h.question.Options == q.Options && h.question.ByHand == q.ByHand && h.question.Began.Equal(q.Began)
	if same && !now.Before(h.from) && now.Before(h.until) {
		return h.why
	}
	*h = Hours{question: q, from: now, until: now.Add(longest)}
	windows, err := Read(of)
	if next, ok := window.Next(windows, now); ok && next.Before(h.until) {
		h.until = next
	}
	switch {
	case err != nil:
		h.why = err.Error()
	case !window.Permit(windows, now, q.ByHand, q.Began):
		h.why = window.Explain(windows, now, q.ByHand)
	}
	return h.why
}

// Read returns an app's windows. One that cannot be read permits nothing.
func Read(of []app.Window) ([]window.Window, error) {
	var windows []window.Window
	for _, w := range of {
		read := window.Window(w)
		if err := read.Validate(); err != nil {
			return nil, fmt.Errorf("a sync window cannot be read: %w", err)
		}
		windows = append(windows, read)
	}
	return windows, nil
}
