package rights

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// note takes in that who keeps the cluster has the rights of a rule: where it is about
// reading a kind, its objects are read there from now on.
func (m *Memory) note(r Rule) {
	if r.Namespace == "" || slices.ContainsFunc(reads, func(verb string) bool { return !slices.Contains(r.Verbs, verb) }) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.view(schema.GroupKind{Group: r.Group, Kind: r.kind})
	if !v.namespaces[r.Namespace] {
		v.namespaces[r.Namespace], v.wider = true, true
	}
}

// view returns that of a kind. The Memory is locked.
func (m *Memory) view(kind schema.GroupKind) *view {
	if m.seen[kind] == nil {
		m.seen[kind] = &view{namespaces: map[string]bool{}}
	}
	return m.seen[kind]
}

// Narrow returns the namespaces in which a kind may be read that may not be in the whole
// cluster, in order, as far as apps needed them.
func (m *Memory) Narrow(kind schema.GroupKind) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.view(kind)
	v.narrow, v.wider = true, false
	return slices.Sorted(maps.Keys(v.namespaces))
}

// IsNarrow reports whether some objects of a kind may be out of sight.
func (m *Memory) IsNarrow(kind schema.GroupKind) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[kind] != nil && m.seen[kind].narrow
}

// Sight names where a kind is read that may not be read in the whole cluster; it is empty
// of any other.
func (m *Memory) Sight(kind schema.GroupKind) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.seen[kind]; v != nil && v.narrow {
		return strings.Join(slices.Sorted(maps.Keys(v.namespaces)), " ")
	}
	return ""
}

// Wider returns the kinds that may be read in more namespaces than Narrow last said.
func (m *Memory) Wider() (kinds []schema.GroupKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind, v := range m.seen {
		if v.narrow && v.wider {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}
