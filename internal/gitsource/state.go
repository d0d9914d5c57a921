package gitsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"time"

	"nave.dev/internal/atomicfile"
)

// State says how a source is doing. It is kept in the cache directory and outlives the process.
type State struct {
	Source       string    `json:"source"`
	URL          string    `json:"url"`                   // without user and password
	LastAttempt  time.Time `json:"lastAttempt"`           // when a fetch last began
	LastFetched  time.Time `json:"lastFetched"`           // when the mirror last had all that the remote had
	FailingSince time.Time `json:"failingSince,omitzero"` // when the first of the failures since LastFetched began
	Failures     int       `json:"failures,omitempty"`    // how many there were
	Err          string    `json:"error,omitempty"`       // what the last of them was
	Head         string    `json:"head,omitempty"`        // the commit of the default branch, in the mirror
	Default      string    `json:"defaultBranch,omitempty"`
	Damage       string    `json:"-"` // what is wrong with the mirror, until a fetch has replaced it
}

// Failing reports whether the last fetch did not succeed.
func (s State) Failing() bool { return s.Failures > 0 }

const (
	maxBackoff = 8                // intervals
	longest    = 15 * time.Minute // unless the interval itself is longer
)

// NextPoll returns when to fetch next, which is now or later. The interval is stretched by up to a tenth, differently
// for each source and time, so that sources do not march in step; failures double it, up to eight intervals or 15
// minutes. A damaged mirror is due at once. It depends on nothing but its arguments.
func NextPoll(now time.Time, s State, interval time.Duration) time.Time {
	if s.LastAttempt.IsZero() || s.Damage != "" && !s.Failing() {
		return now
	}
	wait := interval
	for n := 1; n < s.Failures && wait < maxBackoff*interval; n++ {
		wait *= 2
	}
	wait = min(wait, max(interval, longest))
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %s %d", s.Source, s.URL, s.LastAttempt.UnixNano())
	wait += time.Duration(float64(wait) / 10 * float64(h.Sum64()>>11) / (1 << 53))
	// A clock that was set back must not stop polling until it has caught up.
	if since := now.Sub(s.LastAttempt); since < 0 {
		return now
	} else if since < wait {
		return now.Add(wait - since)
	}
	return now
}

// succeeded and failed are the states after an attempt.
func (s State) succeeded(began time.Time) State {
	s.LastAttempt, s.LastFetched = began, began
	s.FailingSince, s.Failures, s.Err = time.Time{}, 0, ""
	return s
}

func (s State) failed(began time.Time, err error) State {
	if s.Failures == 0 {
		s.FailingSince = began
	}
	s.LastAttempt, s.Err = began, err.Error()
	s.Failures++
	return s
}

// readJSON reads a file into v, which stays as it is if there is no file or it cannot be understood: what Nave keeps in
// such files can be found out again.
func readJSON(file string, v any) {
	if data, err := os.ReadFile(file); err == nil {
		json.Unmarshal(data, v)
	}
}

func writeJSON(file string, v any, durable bool) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("writing %q: %w", file, err)
	}
	return writeFile(file, append(data, '\n'), durable)
}

// writeFile replaces a file in one step, so that nobody reads half of it. A durable one is as good after a power cut.
func writeFile(file string, data []byte, durable bool) error {
	write := atomicfile.Write
	if durable {
		write = atomicfile.WriteDurably
	}
	if err := write(file, data); err != nil {
		return fmt.Errorf("writing %q: %w", file, err)
	}
	return nil
}

// exists reports whether there is such a file; one that cannot be seen counts as there.
func exists(file string) bool {
	_, err := os.Lstat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
