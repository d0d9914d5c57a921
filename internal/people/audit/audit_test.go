package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func open(t *testing.T, now *time.Time) (*Log, *sqlite.Store) {
	t.Helper()
	clock := func() time.Time { return *now }
	memory, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	return New(Options{Store: memory, Now: clock, Problem: func(err error) { t.Error(err) }}), memory
}

func entries(t *testing.T, s *sqlite.Store) []store.Entry {
	t.Helper()
	page, err := s.Entries(t.Context(), store.EntryQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return page.Entries
}

// TestDo: an entry is there while something is done, and says afterwards what became
// of it, also if who asked for it has gone.
func TestDo(t *testing.T) {
	now := start
	log, memory := open(t, &now)
	ctx, cancel := context.WithCancel(t.Context())
	paused := store.Entry{Actor: "ana", Action: "pause", Cluster: "one", Before: Value([]string{}), Address: "192.0.2.1"}
	err := log.Do(ctx, paused, func() (any, error) {
		if found := entries(t, memory); len(found) != 1 || found[0].Outcome != "" {
			t.Errorf("while it is done: %+v", found)
		}
		cancel()
		return map[string]int{"until": 5}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("cluster two is offline")
	if err := log.Do(t.Context(), store.Entry{Actor: "bob\x1b[2J\n", Action: "sync", Cluster: "two", Reason: strings.Repeat("ä", maxText)}, func() (any, error) { return nil, broken }); err != broken {
		t.Errorf("what failed: %v", err)
	}
	want := []store.Entry{
		{ID: 2, Time: start, Actor: "bob [2J ", Action: "sync", Cluster: "two", Reason: strings.Repeat("ä", maxText/2) + "…", Outcome: "failed: cluster two is offline"},
		{ID: 1, Time: start, Actor: "ana", Action: "pause", Cluster: "one", Before: json.RawMessage("[]"), After: json.RawMessage(`{"until":5}`), Address: "192.0.2.1", Outcome: "done"},
	}
	if diff := cmp.Diff(want, entries(t, memory)); diff != "" {
		t.Error(diff)
	}
}

// full is a store on a full disk, once so many entries are in it.
type full struct{ left int }

func (f *full) write() error {
	if f.left--; f.left < 0 {
		return errors.New("database or disk is full")
	}
	return nil
}

func (f *full) Audit(context.Context, store.Entry) (int64, error) { return 1, f.write() }

func (f *full) Conclude(context.Context, int64, json.RawMessage, string) error { return f.write() }

// TestDiskIsFull: what cannot be written down is not done; what was done and cannot be
// concluded is told.
func TestDiskIsFull(t *testing.T) {
	for left, want := range []string{"", "sync of one by ana, which is done: database or disk is full"} {
		did, told := false, ""
		log := New(Options{Store: &full{left}, Problem: func(err error) { told = err.Error() }})
		err := log.Do(t.Context(), store.Entry{Actor: "ana", Action: "sync", Cluster: "one"}, func() (any, error) {
			did = true
			return nil, nil
		})
		if did != (left > 0) || (err != nil) != (left == 0) || told != want {
			t.Errorf("room for %d: done %t, %v, told %q", left, did, err, told)
		}
		if left == 0 && !strings.Contains(err.Error(), "cannot be written down: database or disk is full\nhint:") {
			t.Errorf("the refusal: %v", err)
		}
	}
}

// notebook is a store that writes at once, for those who write much.
type notebook []store.Entry

func (n *notebook) Audit(_ context.Context, e store.Entry) (int64, error) {
	*n = append(*n, e)
	return int64(len(*n)), nil
}

func (n *notebook) Conclude(context.Context, int64, json.RawMessage, string) error { return nil }

func (n *notebook) newestFirst() []store.Entry {
	entries := slices.Clone(*n)
	slices.Reverse(entries)
	return entries
}

// TestRefused: who is refused again and again is written down some times, with how
// often it happened, and does not keep others from being written down.
func TestRefused(t *testing.T) {
	now := start
	var book notebook
	log := New(Options{Store: &book, Now: func() time.Time { return now }})
	refuse := func(address string) {
		log.Refused(t.Context(), store.Entry{Action: "login", Address: address}, "wrong")
	}
	for range 10 * partyRefusals {
		refuse("192.0.2.1")
	}
	if found := book.newestFirst(); len(found) != partyRefusals {
		t.Fatalf("%d entries", len(found))
	}
	refuse("192.0.2.2")
	if found := book.newestFirst(); len(found) != partyRefusals+1 || found[0].Outcome != fmt.Sprintf("refused: wrong (%d more were refused before and are not written down)", 9*partyRefusals) {
		t.Errorf("another address: %d entries, %+v", len(found), found[0])
	}
	for i := range 10 * maxParties { // from everywhere
		refuse(fmt.Sprintf("2001:db8:0:%x::1", i))
	}
	if found := book.newestFirst(); len(found) > allRefusals {
		t.Errorf("%d entries", len(found))
	}
	if len(log.parties) > maxParties {
		t.Errorf("%d networks are remembered", len(log.parties))
	}
	now = now.Add(time.Hour)
	before := len(book)
	refuse("192.0.2.1")
	if found := book.newestFirst(); len(found) != before+1 {
		t.Errorf("an hour later: %d entries, %d before", len(found), before)
	}
}

func TestValue(t *testing.T) {
	for want, value := range map[string]any{"": nil, `["a"]`: []string{"a"}, `{"omittedBytes":65539}`: strings.Repeat("x", maxValue+1)} {
		if got := string(Value(value)); got != want {
			t.Errorf("%.20q is kept as %q, want %q", value, got, want)
		}
	}
}
