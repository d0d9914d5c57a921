package chartsource

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// State says how a source is doing. It is kept in the cache directory and outlives the process.
type State struct {
	Source       string    `json:"source"`
	URL          string    `json:"url"`
	LastAttempt  time.Time `json:"lastAttempt"`           // when a fetch last began
	LastFetched  time.Time `json:"lastFetched"`           // when all that was wanted was last brought
	FailingSince time.Time `json:"failingSince,omitzero"` // when the first of the failures since LastFetched began
	Failures     int       `json:"failures,omitempty"`    // how many there were
	Err          string    `json:"error,omitempty"`       // what the last of them was
}

// after is the state after an attempt.
func (s State) after(began time.Time, err error) State {
	s.LastAttempt = began
	if err == nil {
		s.LastFetched, s.FailingSince, s.Failures, s.Err = began, time.Time{}, 0, ""
		return s
	}
	if s.Failures == 0 {
		s.FailingSince = began
	}
	s.Failures++
	s.Err = err.Error()
	return s
}

// digest is the SHA-256 of data as hexadecimal digits.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readJSON reads a file into v, which stays as it is if there is no file or it cannot be understood: what is kept in
// such files can be found out again.
func readJSON(file string, v any) {
	if data, err := os.ReadFile(file); err == nil && json.Valid(data) {
		json.Unmarshal(data, v)
	}
}

func writeJSON(file string, v any, durable bool) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %q: %w", file, err)
	}
	return writeFile(file, append(data, '\n'), durable)
}

// temporary begins the names of files that are not complete.
const temporary = ".tmp-"

// writeFile replaces a file in one step, so that nobody reads half of it. A durable one is as good after a power cut.
func writeFile(file string, data []byte, durable bool) error {
	next, err := os.CreateTemp(filepath.Dir(file), temporary+"*")
	if err != nil {
		return fmt.Errorf("writing %q: %w", file, err)
	}
	_, err = next.Write(data)
	if durable {
		err = errors.Join(err, next.Sync())
	}
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), file)
	}
	if err != nil {
		os.Remove(next.Name())
		return fmt.Errorf("writing %q: %w", file, err)
	}
	return nil
}

// exists reports whether there is such a file.
func exists(file string) bool {
	_, err := os.Lstat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
