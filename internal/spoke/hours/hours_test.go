package hours

import (
	"strings"
	"testing"
	"time"

	"nave.dev/internal/app"
)

func TestShut(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	lunch := []app.Window{{Schedule: "0 12 * * *", Duration: time.Hour}}
	byHand := []app.Window{{Schedule: "0 12 * * *", Duration: time.Hour, Manual: true}}
	var h Hours
	for _, step := range []struct {
		reason  string
		windows []app.Window
		ask     Question
		now     time.Time
		shut    bool
	}{
		{"before the window", lunch, Question{Options: "a"}, noon.Add(-time.Second), false},
		{"the answer ends when the window begins", lunch, Question{Options: "a"}, noon, true},
		{"it is remembered", lunch, Question{Options: "a"}, noon.Add(time.Minute), true},
		{"other options are another question", byHand, Question{Options: "b"}, noon.Add(time.Minute), true},
		{"so is a person who asks", byHand, Question{Options: "b", ByHand: true}, noon.Add(time.Minute), false},
		{"a clock set back has it asked again", lunch, Question{Options: "b", ByHand: true}, noon.Add(-time.Hour), false},
		{"after the window", lunch, Question{Options: "a"}, noon.Add(time.Hour), false},
	} {
		if why := h.Shut(step.ask, step.windows, step.now); (why != "") != step.shut {
			t.Errorf("%s: %q", step.reason, why)
		}
	}
	unreadable := []app.Window{{Allow: true, Schedule: "never", Duration: time.Hour}}
	if why := h.Shut(Question{Options: "c"}, unreadable, noon); !strings.Contains(why, "cannot be read") {
		t.Errorf("of a window that cannot be read: %q", why)
	}
}
