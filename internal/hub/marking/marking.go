// Package marking tells agents how far the hub's database has come, and learns from
// what they repeat whether the database has been put back since, or is another one.
// What agents are told is sealed: an agent that makes something up tells nothing.
package marking

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"nave.dev/internal/store"
	"nave.dev/internal/tunnel/authority"
)

// Marks gives marks away and takes them back. It is safe for concurrent use.
type Marks struct {
	Store     store.Store
	Authority *authority.Authority
	Log       *slog.Logger

	mu     sync.Mutex
	newest sealed
	given  json.RawMessage // newest, as agents are told it
}

// sealed is a mark as agents keep it.
type sealed struct {
	Mark json.RawMessage `json:"mark"`
	Seal []byte          `json:"seal"`
}

// Compare looks at what an agent was told last, and returns what to tell it now. A
// database that has not all of that was put back, and the hub is recovering from then
// on, once for each time that the lost one was opened. Where that cannot be told, or
// not be written down, it returns nil, and the agent keeps what it was told.
func (m *Marks) Compare(ctx context.Context, cluster string, told json.RawMessage) (now json.RawMessage) {
	now, err := m.give()
	if err == nil && len(told) > 0 && !bytes.Equal(told, now) {
		err = m.learn(ctx, cluster, told)
	}
	if err != nil {
		m.Log.Error("comparing the database with what an agent was told", "cluster", cluster, "error", err)
		return nil
	}
	return now
}

// give returns the mark of now, sealed.
func (m *Marks) give() (json.RawMessage, error) {
	mark, err := json.Marshal(m.Store.Mark())
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes.Equal(mark, m.newest.Mark) {
		return m.given, nil
	}
	seal, err := m.Authority.Seal(mark)
	if err != nil {
		return nil, err
	}
	newest := sealed{mark, seal}
	given, err := json.Marshal(newest)
	if err != nil {
		return nil, err
	}
	m.newest, m.given = newest, given
	return given, nil
}

func (m *Marks) learn(ctx context.Context, cluster string, told json.RawMessage) error {
	var s sealed
	var mark store.Mark
	if json.Unmarshal(told, &s) != nil || !m.Authority.Sealed(s.Mark, s.Seal) || json.Unmarshal(s.Mark, &mark) != nil {
		m.Log.Warn("an agent repeats what this hub's authority has not told it, which says nothing about the database", "cluster", cluster)
		return nil
	}
	if covered, err := m.Store.Covers(ctx, mark); err != nil || covered {
		return err
	}
	why := fmt.Sprintf("the agent of %s was told of a later state of the database, or of another one", cluster)
	m.Log.Warn("the hub is recovering", "reason", why)
	return m.Store.Lacks(ctx, mark, why)
}
