package journal

import (
	"strings"
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

// TestLongEvents adds events that are longer together than the journal may be.
func TestLongEvents(t *testing.T) {
	var j Journal
	event := spoke.Event{Message: strings.Repeat("m", 1<<20)}
	most := int64(journalBytes >> 20)
	for i := range 3 * most {
		j.Add(event)
		if events, next := j.Since(0, journalSize); int64(len(events)) > most || next != i+1 {
			t.Fatalf("%d events of a megabyte are kept, next %d", len(events), next)
		}
	}
	if events, _ := j.Since(-1, journalSize); int64(len(events)) < most/2 {
		t.Errorf("only %d are kept", len(events))
	}
	j.Add(spoke.Event{Message: strings.Repeat("m", journalBytes+1)})
	if events, _ := j.Since(-1, 1); len(events) != 1 {
		t.Error("the last event is not there, however long")
	}
}
