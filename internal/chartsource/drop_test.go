package chartsource

import (
	"errors"
	"testing"
	"time"
)

// TestUnusedArchivesGo: what nothing used for a month is removed, and nothing else, however the clock jumps.
func TestUnusedArchivesGo(t *testing.T) {
	s := newWebServer(t)
	now := time.Now()
	dir := t.TempDir()
	open := func() *Repository {
		t.Helper()
		charts, err := Open(dir, Options{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		r, err := charts.Repository("base", Remote{URL: s.URL + "/charts"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	there := func(r *Repository, digestOf string) bool {
		t.Helper()
		return exists(r.kept(digestOf, archiveExtension))
	}
	r := open()
	first := s.add(t, "1.0.0", "one")
	resolve(t, r, "*")
	second := s.add(t, "1.1.0", "two")
	fetch(t, r)
	resolve(t, r, "*")
	exact := Request{Chart: "web", Versions: "1.0.0"}
	if _, err := r.Resolve(exact); err != nil && !errors.Is(err, ErrNotFetched) {
		t.Fatal(err)
	}
	fetch(t, r)
	signatures := func(digestOf string) string { return r.kept(digestOf, "-00"+signedExtension) }
	for _, digestOf := range []string{first, second} {
		if err := writeJSON(signatures(digestOf), signed{}, false); err != nil {
			t.Fatal(err)
		}
	}

	now = now.Add(unused - time.Hour)
	resolve(t, r, "*")
	fetch(t, r)
	if !there(r, first) || !there(r, second) {
		t.Error("an archive goes before its time")
	}
	now = now.Add(2 * time.Hour)
	fetch(t, r)
	if there(r, first) || !there(r, second) || exists(r.wantFile(exact)) {
		t.Error("an archive and a request that nobody made for a month stay, or one that was made goes")
	}
	fetch(t, r)
	if exists(signatures(first)) || !exists(signatures(second)) {
		t.Error("the signatures of an archive stay without it, or go before it")
	}

	// A clock that jumps while nothing runs: who has just begun knows nothing of what is used.
	now = now.Add(2 * unused)
	r = open()
	fetch(t, r)
	if !there(r, second) {
		t.Error("an archive goes as soon as a process begins")
	}
	if _, err := r.Chart(second); err != nil {
		t.Fatal(err)
	}
	now = now.Add(settled)
	fetch(t, r)
	if !there(r, second) {
		t.Error("an archive goes that is in use, though nobody asks for its version")
	}
}
