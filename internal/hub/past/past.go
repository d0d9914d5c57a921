// Package past answers what happened on clusters and who did what, from the database:
// also what was before this hub was started. It writes down what is to be answered.
package past

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
)

// Write puts an event into the history.
func Write(s store.Store, e spoke.Event) {
	written := store.Event{Time: e.Time, Cluster: e.Cluster, App: e.App, Kind: string(e.Kind), Message: e.Message}
	if len(e.Changes) > 0 {
		if detail, err := json.Marshal(e.Changes); err == nil {
			written.Detail = detail
		}
	}
	s.Record(written)
}

// Events are a page of what was done, the newest first.
type Events struct {
	Events []spoke.Event `json:"events"`
	Next   store.Cursor  `json:"next,omitzero"` // where the next page begins
}

// ServeEvents answers what was done on clusters that the caller sees, also before
// this hub was started.
func ServeEvents(s store.Store, sees func(cluster string) bool, w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	query := store.EventQuery{Cluster: asked.Get("cluster"), App: asked.Get("app"), Kind: asked.Get("kind")}
	period, ok := readPeriod(w, asked)
	if !ok {
		return
	}
	query.Since, query.Until, query.Before = period.since, period.until, period.before
	limit := min(max(period.limit, 1), 1000)
	out := Events{Events: []spoke.Event{}}
	for range pages {
		query.Limit = limit - len(out.Events)
		page, err := s.Events(r.Context(), query)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for _, e := range page.Events {
			if sees(e.Cluster) {
				out.Events = append(out.Events, event(e))
			}
		}
		query.Before, out.Next = page.Next, page.Next
		if page.Next.IsZero() || len(out.Events) == limit {
			break
		}
	}
	answer(w, out)
}

// event is one of the history as it was told.
func event(e store.Event) spoke.Event {
	one := spoke.Event{Time: e.Time, Cluster: e.Cluster, App: e.App, Kind: spoke.EventKind(e.Kind), Message: e.Message}
	if len(e.Detail) > 0 {
		if err := json.Unmarshal(e.Detail, &one.Changes); err != nil {
			one.Message += " (what was changed cannot be read)"
		}
	}
	return one
}

// pages bounds how much one call looks through for what its caller may see.
const pages = 10

// ServeEntries answers who did what on clusters that the caller sees. What concerns no
// cluster is for admins of all.
func ServeEntries(s store.Store, sees func(cluster string) bool, w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	query := store.EntryQuery{Actor: asked.Get("actor"), Action: asked.Get("action"), Cluster: asked.Get("cluster"), App: asked.Get("app")}
	period, ok := readPeriod(w, asked)
	if !ok {
		return
	}
	query.Since, query.Until, query.Before = period.since, period.until, period.before
	limit := min(max(period.limit, 1), 1000)
	caller := gate.From(r.Context())
	found := store.EntryPage{Entries: []store.Entry{}}
	for range pages {
		query.Limit = limit - len(found.Entries)
		page, err := s.Entries(r.Context(), query)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for _, e := range page.Entries {
			if e.Cluster != "" && sees(e.Cluster) || e.Cluster == "" && caller.Everywhere(v1alpha1.RoleAdmin) {
				found.Entries = append(found.Entries, e)
			}
		}
		query.Before, found.Next = page.Next, page.Next
		if page.Next.IsZero() || len(found.Entries) == limit {
			break
		}
	}
	answer(w, found)
}

// period is what a query says of the times and the page that are wanted.
type period struct {
	since, until time.Time
	before       store.Cursor
	limit        int // as it stands
}

// readPeriod reads it, or answers what is wrong with it.
func readPeriod(w http.ResponseWriter, asked url.Values) (p period, ok bool) {
	p.limit = 100
	for name, read := range map[string]func(string) error{
		"since":  func(text string) (err error) { p.since, err = time.Parse(time.RFC3339, text); return },
		"until":  func(text string) (err error) { p.until, err = time.Parse(time.RFC3339, text); return },
		"before": func(text string) error { return p.before.UnmarshalText([]byte(text)) },
		"limit":  func(text string) (err error) { p.limit, err = strconv.Atoi(text); return },
	} {
		if text := asked.Get(name); text != "" {
			if err := read(text); err != nil {
				http.Error(w, fmt.Sprintf("%s: %v", name, err), http.StatusBadRequest)
				return p, false
			}
		}
	}
	return p, true
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
