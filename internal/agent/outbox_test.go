package agent

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/spoke"
)

// TestOutbox adds, sends and acknowledges: what waits keeps its number, whatever comes
// and goes in between.
func TestOutbox(t *testing.T) {
	var o outbox
	add := func(from, to int) {
		for n := from; n <= to; n++ {
			o.add(spoke.Event{Message: strconv.Itoa(n)})
		}
	}
	waits := func(reason string, first, last int) {
		t.Helper()
		events, number := o.waiting()
		var want, have []string
		for n := first; n <= last; n++ {
			want = append(want, strconv.Itoa(n))
		}
		for _, e := range events {
			have = append(have, e.Message)
		}
		if diff := cmp.Diff(want, have); diff != "" || number != int64(first) {
			t.Errorf("%s: the first one is %d, -want +have:\n%s", reason, number, diff)
		}
	}
	waits("nothing", 1, 0)
	add(1, 3)
	waits("some", 1, 3)
	sent, _ := o.waiting()
	add(4, 4)
	waits("the acknowledgement was lost, and there is news", 1, 4)
	o.taken(3)
	waits("it has come", 4, 4)
	if diff := cmp.Diff("3", sent[len(sent)-1].Message); diff != "" || len(sent) != 3 {
		t.Errorf("what was on its way is another now: %v", sent)
	}
	o.taken(2)
	waits("an older acknowledgement comes late", 4, 4)
	add(5, maxEvents+10)
	waits("there is no room: the oldest go", 11, maxEvents+10)
	o.taken(4)
	waits("what went was acknowledged as well", 11, maxEvents+10)
	o.taken(maxEvents + 10)
	waits("all is told", maxEvents+11, maxEvents+10)
}
