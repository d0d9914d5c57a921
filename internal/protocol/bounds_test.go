package protocol

import (
	"bytes"
	"strings"
	"testing"

	"nave.dev/internal/change"
	"nave.dev/internal/spoke"
)

// passed is a report as a hub reads it.
func passed(t *testing.T, r Report) Report {
	t.Helper()
	data, err := Compressed(r)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadReport(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestReportsTogether has an agent tell of more and more apps: a hub does not hold all
// that it ever said.
func TestReportsTogether(t *testing.T) {
	var m Mirror
	if !m.Take(passed(t, Report{Sequence: 1, Whole: true})) {
		t.Fatal("the first report is not taken")
	}
	taken := 0
	for i := range 100 {
		name := string(rune('a'+i%26)) + strings.Repeat("x", i)
		if !m.Take(passed(t, Report{Sequence: int64(i + 2), Apps: []spoke.AppState{{Name: name, Message: strings.Repeat("m", 1<<20)}}})) {
			break
		}
		taken++
	}
	if want := maxGrown>>20 - 1; taken != want {
		t.Errorf("%d reports of a megabyte were taken, want %d", taken, want)
	}
	if !m.Take(passed(t, Report{Sequence: 1, Whole: true})) || len(m.State().Apps) > 0 {
		t.Errorf("a whole report does not take the place of all before it: %d apps", len(m.State().Apps))
	}
	if !m.Take(passed(t, Report{Sequence: 2, Apps: []spoke.AppState{{Name: "a"}}})) {
		t.Error("nothing is taken after a whole report")
	}
}

func TestEventsAreBounded(t *testing.T) {
	long := strings.Repeat("l", 1<<20)
	large := change.Set{{Reason: long}}
	small := change.Set{{Action: change.Updated, Reason: "why"}}
	read := passed(t, Report{Events: []spoke.Event{
		{Kind: spoke.EventKind(long), App: long, Message: long, Changes: large},
		{Kind: spoke.EventDrift, App: "web", Message: "was changed", Changes: small},
	}}).Events
	if e := read[0]; e.Kind != otherKind || len(e.App) != maxApp || len(e.Message) != maxText || e.Changes != nil {
		t.Errorf("an event has the kind %.20q, an app of %d bytes, a message of %d and %d changes", e.Kind, len(e.App), len(e.Message), len(e.Changes))
	}
	if e := read[1]; e.Kind != spoke.EventDrift || e.App != "web" || e.Message != "was changed" || len(e.Changes) != 1 {
		t.Errorf("an ordinary event has become %+v", e)
	}
}
