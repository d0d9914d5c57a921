package hub

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

// journal keeps the last events and wakes who waits for news.
type journal struct {
	mu     sync.Mutex
	events []spoke.Event
	first  int64 // number of events[0]
	news   chan struct{}
}

func (j *journal) add(e spoke.Event) {
	j.mu.Lock()
	j.events = append(j.events, e)
	if over := len(j.events) - journalSize; over > journalTrim {
		j.events = append([]spoke.Event(nil), j.events[over:]...)
		j.first += int64(over)
	}
	j.mu.Unlock()
	j.wake(e.Cluster)
}

// wake tells who waits that something is another than before.
func (j *journal) wake(string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
}

// wait returns a channel that is closed at the next news.
func (j *journal) wait() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news == nil {
		j.news = make(chan struct{})
	}
	return j.news
}

// since returns the kept events from a number on, and the number after the last.
func (j *journal) since(number int64) ([]spoke.Event, int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	from := min(max(0, number-j.first), int64(len(j.events)))
	return append([]spoke.Event(nil), j.events[from:]...), j.first + int64(len(j.events))
}
