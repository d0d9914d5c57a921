// Package journal keeps the last events of a hub in memory, and wakes who waits for
// news. The main type is [Journal]. What is older is in the hub's database.
package journal

import (
	"encoding/json"
	"slices"
	"sync"

	"nave.dev/internal/spoke"
)

// journalSize is how many events are kept in memory, and journalBytes how long they
// may be together. They are trimmed some at a time, so that one more does not cost a
// copy of all.
const (
	journalSize  = 10_000
	journalTrim  = journalSize / 10
	journalBytes = 64 << 20
)

// Journal keeps the last events and wakes who waits for news.
type Journal struct {
	mu     sync.Mutex
	events []spoke.Event
	sizes  []int // of events, in bytes
	bytes  int   // of all of them
	first  int64 // number of events[0]
	news   chan struct{}
}

// Add adds an event, and wakes who waits.
func (j *Journal) Add(e spoke.Event) {
	size := sizeOf(e)
	j.mu.Lock()
	j.events, j.sizes = append(j.events, e), append(j.sizes, size)
	j.bytes += size
	over := len(j.events) - journalSize
	if over > journalTrim || j.bytes > journalBytes {
		over = max(over, 0)
		for left := j.bytes - sum(j.sizes[:over]); left > journalBytes-journalBytes/10 && over < len(j.events)-1; over++ {
			left -= j.sizes[over]
		}
		j.bytes -= sum(j.sizes[:over])
		j.events, j.sizes = slices.Clone(j.events[over:]), slices.Clone(j.sizes[over:])
		j.first += int64(over)
	}
	j.mu.Unlock()
	j.Wake()
}

// sizeOf is about how much memory an event takes.
func sizeOf(e spoke.Event) int {
	size := 256 + len(e.App) + len(e.Message)
	if len(e.Changes) > 0 {
		changes, _ := json.Marshal(e.Changes) // plain data
		size += 2 * len(changes)
	}
	return size
}

func sum(sizes []int) (total int) {
	for _, size := range sizes {
		total += size
	}
	return total
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
