package parts

import "sync"

// Memo are values by the digest of what they were made of. What nobody asks for any
// more is forgotten in time, however much is asked for. Its zero value is ready, and
// safe for concurrent use.
type Memo[V any] struct {
	mu sync.Mutex
	// recent is what was kept or found since the last turn, and older what was found
	// or kept before that.
	recent, older map[string]V
	fresh         int // kept since the last turn
}

// fewFresh is how much may always be kept beside what is in use.
const fewFresh = 16

// Find returns what was kept under a key.
func (m *Memo[V]) Find(key string) (value V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok = m.recent[key]; ok {
		return value, true
	}
	if value, ok = m.older[key]; ok {
		m.recent[key] = value
		delete(m.older, key)
	}
	return value, ok
}

// Keep keeps a value under a key.
func (m *Memo[V]) Keep(key string, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recent == nil {
		m.recent = map[string]V{}
	}
	m.recent[key] = value
	delete(m.older, key)
	m.fresh++
}

// Turn says that all that is in use was asked for since the last call. Once there is
// more that is new than what was found again, what was not found is forgotten: the
// cost of that follows what is new, and what is kept follows what is in use.
func (m *Memo[V]) Turn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh < max(fewFresh, len(m.recent)-m.fresh) {
		return
	}
	m.recent, m.older, m.fresh = make(map[string]V, len(m.recent)), m.recent, 0
}

// Len counts what is kept.
func (m *Memo[V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.recent) + len(m.older)
}
