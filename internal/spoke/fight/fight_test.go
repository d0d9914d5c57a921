package fight

import (
	"testing"
	"time"

	"nave.dev/internal/object"
)

func TestFights(t *testing.T) {
	id, now := object.ID{Kind: "ConfigMap", Namespace: "shop", Name: "a"}, time.Now()
	f := Fights{}
	correct := func(times int) (wait time.Duration) {
		for range times {
			wait = f.Correct(id, now)
		}
		return wait
	}
	for _, step := range []struct {
		reason string
		later  time.Duration
		times  int
		want   time.Duration
	}{
		{"a few corrections are no fight", 0, Usual, 0},
		{"one more is, and the next waits", 0, 1, 2 * time.Second},
		{"each waits twice as long", 0, 2, 8 * time.Second},
		{"and none longer than the longest", 0, 30, longest},
		{"a wait that is over is no peace", longest, 1, longest},
		{"twice as long without one is", 2*longest + time.Second, 1, 0},
	} {
		now = now.Add(step.later)
		if have := correct(step.times); have != step.want || f.Wait(id) != step.want {
			t.Errorf("%s: %v, then %v, want %v", step.reason, have, f.Wait(id), step.want)
		}
	}
	if other := (object.ID{Kind: "ConfigMap", Name: "b"}); f.Wait(other) != 0 {
		t.Error("an object that nobody fights over waits")
	}
}

// TestFightsAreForgotten: of what nobody fights over any more nothing is kept.
func TestFightsAreForgotten(t *testing.T) {
	now, f := time.Now(), Fights{}
	for _, name := range []string{"a", "b", "c"} {
		f.Correct(object.ID{Kind: "ConfigMap", Name: name}, now)
	}
	last := object.ID{Kind: "ConfigMap", Name: "d"}
	if f.Correct(last, now.Add(window)); len(f) != 4 {
		t.Errorf("%d objects are known within the window, want 4", len(f))
	}
	if f.Correct(last, now.Add(window+time.Second)); len(f) != 1 {
		t.Errorf("%d objects are known after it, want the last one", len(f))
	}
}
