package past

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
)

// TestPagesOfFewClusters fills the pages of somebody who may know of one cluster among
// many, and leads through all of the history without an empty page but the last.
func TestPagesOfFewClusters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Add(-2 * time.Hour)
	for i := range 60 {
		cluster := "theirs"
		if i%5 == 0 {
			cluster = "mine"
		}
		s.Record(store.Event{Time: begin.Add(time.Duration(i) * time.Minute), Cluster: cluster, Kind: "applied", Message: fmt.Sprint(i)})
	}
	if err := s.Close(); err != nil { // which writes them
		t.Fatal(err)
	}
	if s, err = sqlite.Open(t.Context(), dir, sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	have, asked := 0, url.Values{"limit": {"4"}}
	for pages := 1; ; pages++ {
		answer := httptest.NewRecorder()
		ServeEvents(s, func(cluster string) bool { return cluster == "mine" }, answer, httptest.NewRequest("GET", "/api/v1/history?"+asked.Encode(), nil))
		var page Events
		if err := json.Unmarshal(answer.Body.Bytes(), &page); err != nil {
			t.Fatalf("%d %v: %s", answer.Code, err, answer.Body)
		}
		for _, e := range page.Events {
			if e.Cluster != "mine" {
				t.Errorf("an event of %s is told", e.Cluster)
			}
		}
		have += len(page.Events)
		if page.Next.IsZero() {
			break
		}
		if len(page.Events) == 0 {
			t.Errorf("page %d is empty, and not the last one", pages)
		}
		next, err := page.Next.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		asked.Set("before", string(next))
	}
	if have != 12 {
		t.Errorf("all pages have %d events, want 12", have)
	}
}
