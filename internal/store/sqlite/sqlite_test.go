package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/store"
)

func TestMain(m *testing.M) {
	if part, dir := os.Getenv("NAVE_STORE_PART"), os.Getenv("NAVE_STORE_DIR"); part != "" {
		if err := parts[part](context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// start opens a database, which is closed with the test.
func start(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestHistory(t *testing.T) {
	s := start(t, t.TempDir(), Options{Now: func() time.Time { return noon }})
	for i := range 60 {
		s.Record(store.Event{
			Time: noon.Add(time.Duration(i/2-100) * time.Second), Cluster: fmt.Sprintf("c%d", i%3), App: fmt.Sprintf("a%d", i%2),
			Kind: []string{"Synced", "Drift", "Failed", "Synced", "Synced"}[i%5], Message: fmt.Sprint(i), Detail: json.RawMessage(`{"n":1}`),
		})
	}
	at := func(i int) time.Time { return noon.Add(time.Duration(i/2-100) * time.Second) }
	tests := []struct {
		reason string
		query  store.EventQuery
		want   func(i int) bool
	}{
		{"the zero value wants all", store.EventQuery{}, func(int) bool { return true }},
		{"of a cluster", store.EventQuery{Cluster: "c1"}, func(i int) bool { return i%3 == 1 }},
		{"of an app", store.EventQuery{App: "a1"}, func(i int) bool { return i%2 == 1 }},
		{"of a kind", store.EventQuery{Kind: "Drift"}, func(i int) bool { return i%5 == 1 }},
		{"of an app on a cluster", store.EventQuery{Cluster: "c1", App: "a1"}, func(i int) bool { return i%3 == 1 && i%2 == 1 }},
		{"all that can be asked", store.EventQuery{Cluster: "c1", App: "a1", Kind: "Drift"}, func(i int) bool { return i == 1 || i == 31 }},
		{"since is part of it, until is not", store.EventQuery{Since: at(10), Until: at(20)}, func(i int) bool { return i >= 10 && i < 20 }},
		{"nothing", store.EventQuery{Cluster: "c9"}, func(int) bool { return false }},
	}
	for _, test := range tests {
		for _, limit := range []int{0, 1, 3, 1000} {
			var want, have []string
			for i := 59; i >= 0; i-- {
				if test.want(i) {
					want = append(want, fmt.Sprint(i))
				}
			}
			query, pages := test.query, 0
			query.Limit = limit
			for {
				page, err := s.Events(t.Context(), query)
				check(t, err)
				for _, e := range page.Events {
					have = append(have, e.Message)
				}
				if pages++; page.Next.IsZero() {
					break
				}
				query.Before = page.Next
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s, in pages of %d (-want +have):\n%s", test.reason, limit, diff)
			}
			if limit == 1 && len(want) > 0 && pages != len(want) {
				t.Errorf("%s: %d events were on %d pages of one", test.reason, len(want), pages)
			}
		}
	}
}

func TestWhatOthersSayIsBounded(t *testing.T) {
	s := start(t, t.TempDir(), Options{Now: func() time.Time { return noon }})
	s.Record(
		store.Event{Time: noon.Add(time.Hour), Message: "from a clock that is ahead"},
		store.Event{Message: strings.Repeat("x", messageBytes+1), Detail: bytes.Repeat([]byte("1"), detailBytes+1)},
		store.Event{Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Detail: bytes.Repeat([]byte("1"), detailBytes)},
	)
	page, err := s.Events(t.Context(), store.EventQuery{})
	check(t, err)
	for _, e := range page.Events {
		if !e.Time.Equal(noon) || len(e.Message) > messageBytes || len(e.Detail) != 0 && len(e.Detail) != detailBytes {
			t.Errorf("kept an event of %s with a message of %d and a detail of %d bytes", e.Time, len(e.Message), len(e.Detail))
		}
	}
	for range 30 {
		s.Record(store.Event{Detail: bytes.Repeat([]byte("1"), detailBytes)})
	}
	page, err = s.Events(t.Context(), store.EventQuery{})
	check(t, err)
	if len(page.Events) > pageBytes/detailBytes+1 || page.Next.IsZero() {
		t.Errorf("a page of %d large events, and then %v", len(page.Events), page.Next)
	}
}

// TestEventsAreWrittenInBatches sees events in the file only once the interval is
// over, and at once when there are enough.
func TestEventsAreWrittenInBatches(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := must(Open(t.Context(), dir, Options{FlushInterval: time.Minute / 2}))(t)
		defer s.Close()
		count := func() (n int) {
			synctest.Wait()
			check(t, s.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM events`).Scan(&n))
			return n
		}
		s.Record(store.Event{Kind: "a"}, store.Event{Kind: "b"})
		if n := count(); n != 0 {
			t.Errorf("%d events were written before the interval was over", n)
		}
		<-time.After(time.Minute / 2)
		if n := count(); n != 2 {
			t.Errorf("%d events were written after the interval, want 2", n)
		}
		s.Record(make([]store.Event, batch)...)
		if n := count(); n != batch+2 {
			t.Errorf("%d events were written once they made a batch, want %d", n, batch+2)
		}
		s.Record(store.Event{Kind: "c"})
		check(t, s.Close())
		again := must(Open(t.Context(), dir, Options{}))(t)
		defer again.Close()
		check(t, again.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM events`).Scan(new(int)))
		if page := must(again.Events(t.Context(), store.EventQuery{Kind: "c"}))(t); len(page.Events) != 1 {
			t.Error("what waited when the store was closed is lost")
		}
	})
}

func TestAudit(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, Options{Now: func() time.Time { return noon }})
	entry := store.Entry{
		Actor: "anna", Action: "pause", Cluster: "prod-1", App: "cart", Reason: "incident 88", Before: json.RawMessage(`{}`), Address: "192.0.2.1",
	}
	id := must(s.Audit(t.Context(), entry))(t)
	must(s.Audit(t.Context(), store.Entry{Actor: "ben", Action: "sync"}))(t)
	check(t, s.Conclude(t.Context(), id, json.RawMessage(`{"paused":true}`), "done"))
	if err := s.Conclude(t.Context(), id, nil, "never happened"); err == nil {
		t.Error("what was concluded was changed")
	}
	if err := s.Conclude(t.Context(), 99, nil, "done"); err == nil {
		t.Error("concluded what nobody began")
	}
	check(t, s.Close())
	s = start(t, dir, Options{})
	entry.ID, entry.Time, entry.After, entry.Outcome = id, noon, json.RawMessage(`{"paused":true}`), "done"
	for _, query := range []store.EntryQuery{{Actor: "anna"}, {Cluster: "prod-1"}, {App: "cart"}, {Action: "pause"}} {
		page, err := s.Entries(t.Context(), query)
		check(t, err)
		if diff := cmp.Diff([]store.Entry{entry}, page.Entries); diff != "" {
			t.Errorf("%+v (-want +have):\n%s", query, diff)
		}
	}
	page := must(s.Entries(t.Context(), store.EntryQuery{Limit: 1}))(t)
	if len(page.Entries) != 1 || page.Entries[0].Actor != "ben" || page.Entries[0].Outcome != "" {
		t.Errorf("the newest is %+v, want that of ben, without an outcome", page.Entries)
	}
	if page = must(s.Entries(t.Context(), store.EntryQuery{Before: page.Next}))(t); len(page.Entries) != 1 || page.Entries[0].Actor != "anna" {
		t.Errorf("the next page is %+v", page.Entries)
	}
}

func TestClusters(t *testing.T) {
	s := start(t, t.TempDir(), Options{})
	a := store.Cluster{
		Name: "a", State: json.RawMessage(`{"sync":"Synced"}`), Facts: json.RawMessage(`{"version":"v1.36.3"}`), Identity: 3, Serial: "0a",
		CertificateEnd: noon, LastSeen: noon.Add(-time.Hour), AgentVersion: "v0.1.0", Accepted: 42, Digest: "abc",
	}
	check(t, s.KeepClusters(t.Context(), store.Cluster{Name: "b"}, a))
	if diff := cmp.Diff([]store.Cluster{a, {Name: "b"}}, must(s.Clusters(t.Context()))(t)); diff != "" {
		t.Errorf("clusters (-want +have):\n%s", diff)
	}
	a.Identity, a.State = 2, nil
	check(t, s.KeepClusters(t.Context(), a))
	if n := must(s.Dismiss(t.Context(), "b", 0))(t); n != 0 {
		t.Errorf("a cluster without an identity is dismissed up to %d", n)
	}
	if diff := cmp.Diff([]store.Cluster{a}, must(s.Clusters(t.Context()))(t)); diff != "" {
		t.Errorf("clusters after a change (-want +have):\n%s", diff)
	}
	if n := must(s.Dismiss(t.Context(), "a", 0))(t); n != 3 {
		t.Errorf("the cluster is dismissed up to %d, want 3, the highest that it had", n)
	}
	if n := must(s.Identity(t.Context(), "a"))(t); n != 4 {
		t.Errorf("the highest number of a forgotten cluster is %d, want 4, which a token may have", n)
	}
	if diff := cmp.Diff([]store.Cluster(nil), must(s.Clusters(t.Context()))(t)); diff != "" {
		t.Errorf("clusters that were dismissed (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"a": 4, "b": 1}, must(s.Dismissed(t.Context()))(t)); diff != "" {
		t.Errorf("dismissed (-want +have):\n%s", diff)
	}
}

func TestTokens(t *testing.T) {
	now := noon
	s := start(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	check(t, s.KeepClusters(t.Context(), store.Cluster{Name: "echoed", Identity: 5}))
	end := noon.Add(time.Hour)
	tests := []struct {
		reason string
		token  store.Token
		want   error
	}{
		{"a first use", store.Token{ID: "1", Cluster: "a", Identity: 1, Key: "k", End: end}, nil},
		{"the answer was not heard", store.Token{ID: "1", Cluster: "a", Identity: 1, Key: "k", End: end}, nil},
		{"a second use", store.Token{ID: "1", Cluster: "a", Identity: 1, Key: "other", End: end}, store.ErrTokenUsed},
		{"a token that was made in vain", store.Token{ID: "2", Cluster: "a", Identity: 1, Key: "k", End: end}, store.ErrSuperseded},
		{"the next one", store.Token{ID: "3", Cluster: "a", Identity: 2, Key: "k2", End: end}, nil},
		{"another cluster", store.Token{ID: "4", Cluster: "b", Identity: 1, Key: "k", End: end}, nil},
		{"a number that an agent has shown", store.Token{ID: "5", Cluster: "echoed", Identity: 5, Key: "k", End: end}, store.ErrSuperseded},
		{"one above it", store.Token{ID: "5", Cluster: "echoed", Identity: 6, Key: "k", End: end}, nil},
	}
	for _, test := range tests {
		if err := s.UseToken(t.Context(), test.token); !errors.Is(err, test.want) {
			t.Errorf("%s: have %v, want %v", test.reason, err, test.want)
		}
	}
	for _, token := range []store.Token{{Cluster: "a", Identity: 9, Key: "k"}, {ID: "9", Identity: 9, Key: "k"}, {ID: "9", Cluster: "a", Key: "k"}, {ID: "9", Cluster: "a", Identity: 9}} {
		if s.UseToken(t.Context(), token) == nil {
			t.Errorf("used %+v", token)
		}
	}
	now = end.Add(tokenMargin + time.Second)
	check(t, s.tidy(t.Context()))
	var n int
	check(t, s.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM tokens`).Scan(&n))
	if n != 0 {
		t.Errorf("%d tokens are remembered after their end", n)
	}
	if err := s.UseToken(t.Context(), tests[0].token); !errors.Is(err, store.ErrSuperseded) {
		t.Errorf("a forgotten token: have %v, want it superseded", err)
	}
}

func TestOldItemsAreRemoved(t *testing.T) {
	now := noon
	s := start(t, t.TempDir(), Options{Events: 500, EventAge: time.Hour, Entries: 2, Now: func() time.Time { return now }})
	count := func(table string) (n int) {
		check(t, s.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
		return n
	}
	s.Record(make([]store.Event, 1500)...)
	for _, reason := range []string{"1", "2", "3"} {
		must(s.Audit(t.Context(), store.Entry{Reason: reason}))(t)
	}
	s.flush(t.Context())
	check(t, s.tidy(t.Context()))
	if n := count("events"); n != 500 {
		t.Errorf("%d events are kept, want 500", n)
	}
	page := must(s.Entries(t.Context(), store.EntryQuery{}))(t)
	if len(page.Entries) != 2 || page.Entries[1].Reason != "2" {
		t.Errorf("kept %+v, want the last two", page.Entries)
	}

	// A clock that goes wrong costs some of it.
	s.opts.Events = 100_000
	s.Record(make([]store.Event, 11_000)...)
	s.flush(t.Context())
	now = noon.Add(100 * 365 * 24 * time.Hour)
	check(t, s.tidy(t.Context()))
	if n := count("events"); n != 11_500-tidyByAge {
		t.Errorf("%d events are left by a clock that jumped, want %d", n, 11_500-tidyByAge)
	}
	for range 3 {
		check(t, s.tidy(t.Context()))
	}
	if n := count("events"); n != 0 {
		t.Errorf("%d events are older than an hour", n)
	}
	s.Record(store.Event{})
	if page := must(s.Events(t.Context(), store.EventQuery{}))(t); page.Events[0].ID != 12_501 {
		t.Errorf("the number %d was used before", page.Events[0].ID)
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "copy")
	check(t, start(t, dir, Options{}).Backup(t.Context(), file))
	if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "another process works with the database") {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := Restore(t.Context(), file, dir); err == nil || !strings.Contains(err.Error(), "another process works with the database") {
		t.Errorf("restored while it is open: %v", err)
	}
}

// TestIssuedTokens has a later token make the ones before it useless, and a removal
// reach those that nobody has used.
func TestIssuedTokens(t *testing.T) {
	s := start(t, t.TempDir(), Options{Now: func() time.Time { return noon }})
	end := noon.Add(time.Hour)
	token := func(number int64) store.Token {
		return store.Token{ID: fmt.Sprint("t", number), Cluster: "a", Identity: number, Key: fmt.Sprint("k", number), End: end}
	}
	for _, number := range []int64{1, 7, 5} {
		if err := s.IssueToken(t.Context(), "a", number); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.Identity(t.Context(), "a"); err != nil || n != 7 {
		t.Errorf("the highest number is %d (%v), want 7", n, err)
	}
	for number, want := range map[int64]error{1: store.ErrSuperseded, 5: store.ErrSuperseded, 7: nil} {
		if err := s.UseToken(t.Context(), token(number)); !errors.Is(err, want) {
			t.Errorf("token %d: %v, want %v", number, err, want)
		}
	}
	if err := s.UseToken(t.Context(), token(7)); err != nil {
		t.Errorf("whose answer was lost: %v", err)
	}
	if err := s.IssueToken(t.Context(), "a", 12); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Dismiss(t.Context(), "a", 0); err != nil || n != 7 {
		t.Errorf("dismissed is %d (%v), want 7", n, err)
	}
	if upTo, err := s.Dismissed(t.Context()); err != nil || upTo["a"] != 12 {
		t.Errorf("dismissed are those up to %d (%v), want 12", upTo["a"], err)
	}
	if err := s.UseToken(t.Context(), token(12)); !errors.Is(err, store.ErrSuperseded) {
		t.Errorf("the token of a cluster that was removed: %v", err)
	}
}
