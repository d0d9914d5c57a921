package gitsource

import (
	"testing"
	"time"
)

func TestNextPoll(t *testing.T) {
	now := time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)
	state := func(change func(s *State)) State {
		s := State{Source: "fleet", URL: "https://h/x", LastAttempt: now, LastFetched: now}
		change(&s)
		return s
	}
	cases := map[string]struct {
		reason   string
		state    State
		interval time.Duration
		min, max time.Duration // from now
	}{
		"never":      {"a source that was never fetched is due", State{}, time.Minute, 0, 0},
		"just now":   {"an interval, stretched by up to a tenth", state(func(s *State) {}), time.Minute, time.Minute, 66 * time.Second},
		"some ago":   {"what has passed counts", state(func(s *State) { s.LastAttempt = now.Add(-50 * time.Second) }), time.Minute, 10 * time.Second, 16 * time.Second},
		"overdue":    {"after a pause it is due once", state(func(s *State) { s.LastAttempt = now.Add(-time.Hour) }), time.Minute, 0, 0},
		"clock back": {"a clock that was set back does not stop polling", state(func(s *State) { s.LastAttempt = now.Add(time.Hour) }), time.Minute, 0, 0},
		"failed":     {"the first failure waits no longer", state(func(s *State) { s.Failures = 1 }), time.Minute, time.Minute, 66 * time.Second},
		"again":      {"each further failure doubles the wait", state(func(s *State) { s.Failures = 3 }), time.Minute, 4 * time.Minute, 264 * time.Second},
		"for long":   {"up to eight intervals", state(func(s *State) { s.Failures = 1000 }), time.Minute, 8 * time.Minute, 528 * time.Second},
		"for long, long interval": {"but no more than 15 minutes", state(func(s *State) { s.Failures = 1000 }), 10 * time.Minute,
			15 * time.Minute, 990 * time.Second},
		"very long interval": {"unless the interval is longer itself", state(func(s *State) { s.Failures = 1000 }), time.Hour, time.Hour, 66 * time.Minute},
		"damaged":            {"a damaged mirror is due", state(func(s *State) { s.Damage = "x" }), time.Hour, 0, 0},
		"damaged, no remote": {"but not while it cannot be repaired", state(func(s *State) { s.Damage = "x"; s.Failures = 1 }), time.Hour, time.Hour, 66 * time.Minute},
	}
	for name, c := range cases {
		if got := NextPoll(now, c.state, c.interval).Sub(now); got < c.min || got > c.max {
			t.Errorf("%s: %s: in %v, want %v to %v", name, c.reason, got, c.min, c.max)
		}
	}
	spread := map[time.Duration]bool{}
	for i := range 100 {
		s := state(func(s *State) { s.Source = string(rune('a' + i)) })
		first := NextPoll(now, s, time.Hour).Sub(now)
		if again := NextPoll(now, s, time.Hour).Sub(now); again != first {
			t.Errorf("the same question has two answers: %v and %v", first, again)
		}
		spread[first.Truncate(time.Minute)] = true
	}
	if len(spread) < 5 {
		t.Errorf("100 sources poll in %d of the 6 minutes there are", len(spread))
	}
}

func FuzzDecodeRefs(f *testing.F) {
	f.Add([]byte("listing 1\nhead refs/heads/main\n1111111111111111111111111111111111111111 refs/heads/main\n"))
	f.Add([]byte("listing 1\nlisting\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRefs(data)
		if err != nil {
			return
		}
		again, err := decodeRefs(r.encode())
		if err != nil || again.listing != r.listing || again.head != r.head || len(again.commits) != len(r.commits) {
			t.Errorf("%q is written as %q: %v", data, r.encode(), err)
		}
	})
}

func FuzzParseRefs(f *testing.F) {
	f.Add([]byte("1111111111111111111111111111111111111111\trefs/heads/main\n2222222222222222222222222222222222222222 refs/tags/v1^{}\n"))
	f.Add([]byte("<html>\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		commits, err := parseRefs(out)
		for name, commit := range commits {
			if err != nil || !isHash(commit) {
				t.Errorf("%q: %q is %q, %v", out, name, commit, err)
			}
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add("tree x\nparent y\nauthor A <a> 1700000000 +0100\ncommitter C <c> 1700000001 +0000\n\nsubject\n\nbody\n")
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, data string) {
		if c, err := parseCommit(data); err == nil && len(c.Subject) > 3*len(data) {
			t.Errorf("%q: %+v", data, c)
		}
	})
}
