package journal

import (
	"testing"

	"nave.dev/internal/spoke"
)

func TestJournal(t *testing.T) {
	var j Journal
	news := j.Wait()
	for range journalSize + 2*journalTrim {
		j.Add(spoke.Event{})
	}
	select {
	case <-news:
	default:
		t.Error("who waited was not woken")
	}
	total := int64(journalSize + 2*journalTrim)
	for _, c := range []struct {
		reason      string
		from        int64
		least, most int
		next        int64
	}{
		{"from the beginning: those that are kept", 0, journalSize, journalSize + journalTrim, total},
		{"the last one", total - 1, 1, 1, total},
		{"what is to come", total, 0, 0, total},
		{"a number of another hub's journal", 2 * total, 0, 0, total},
		{"the last ones", -1, journalSize, journalSize + journalTrim, total},
	} {
		events, next := j.Since(c.from, journalSize+journalTrim)
		if len(events) < c.least || len(events) > c.most || next != c.next {
			t.Errorf("%s: %d events, next %d", c.reason, len(events), next)
		}
	}
	if events, next := j.Since(total-5, 2); len(events) != 2 || next != total-3 {
		t.Errorf("two of five: %d events, next %d of %d", len(events), next, total)
	}
	if events, next := j.Since(-1, 2); len(events) != 2 || next != total {
		t.Errorf("the last two: %d events, next %d of %d", len(events), next, total)
	}
}
