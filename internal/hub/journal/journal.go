// Package journal keeps the last events of a hub in memory, and wakes who waits for
// news. The main type is [Journal]. What is older is in the hub's database.
package journal

import (
	"sync"

	"nave.dev/internal/spoke"
)

// journalSize is how many events are kept in memory. They are trimmed some at a
// time, so that one more does not cost a copy of all.
const (
	journalSize = 10_000
	journalTrim = journalSize / 10
)

// Journal keeps the last events and wakes who waits for news.
type Journal struct {
	mu     sync.Mutex
	events []spoke.Event
	first  int64 // number of events[0]
	news   chan struct{}
}

// Add adds an event, and wakes who waits.
func (j *Journal) Add(e spoke.Event) {
	j.mu.Lock()
	j.events = append(j.events, e)
	if over := len(j.events) - journalSize; over > journalTrim {
		j.events = append([]spoke.Event(nil), j.events[over:]...)
		j.first += int64(over)
	}
	j.mu.Unlock()
	j.Wake()
}

// Wake tells who waits that something is another than before.
func (j *Journal) Wake() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
}

// Wait returns a channel that is closed at the next news.
func (j *Journal) Wait() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news == nil {
		j.news = make(chan struct{})
	}
	return j.news
}

// Since returns the kept events from a number on, at most so many, and the number
// after the last of them. From a negative number on they are the last ones.
func (j *Journal) Since(number int64, most int) ([]spoke.Event, int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	length := int64(len(j.events))
	from := min(max(0, number-j.first), length)
	if number < 0 {
		from = max(0, length-int64(most))
	}
	to := min(length, from+int64(most))
	return append([]spoke.Event(nil), j.events[from:to]...), j.first + to
}
