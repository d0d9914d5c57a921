package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"nave.dev/internal/atomicfile"
	"nave.dev/internal/spoke"
)

// pauseFile is where, in the hub's directory, the pauses of clusters are kept. A
// cluster's record counts before it; one that was deleted while the hub did not
// look gets its pauses back from here.
const pauseFile = "pauses.json"

// readPauses returns the pauses that were kept, by cluster.
func readPauses(dir string) (map[string][]spoke.Pause, error) {
	pauses := map[string][]spoke.Pause{}
	data, err := os.ReadFile(filepath.Join(dir, pauseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return pauses, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &pauses)
	}
	if err != nil {
		return map[string][]spoke.Pause{}, fmt.Errorf("reading the pauses of clusters: %w", err)
	}
	return pauses, nil
}

// keepPauses keeps the pauses as the clusters have them. Those of one that is not
// known now stay until their time is over.
func (h *Hub) keepPauses() {
	h.keeping.Lock()
	defer h.keeping.Unlock()
	h.mu.Lock()
	before := h.pauses
	next := maps.Clone(before)
	for name, m := range h.members {
		if m.spoke != nil && m.spoke.Known() {
			next[name] = m.spoke.State().Pauses
		}
	}
	h.mu.Unlock()
	for name, pauses := range next {
		next[name] = slices.DeleteFunc(slices.Clone(pauses), func(p spoke.Pause) bool { return !h.opts.Now().Before(p.Until) })
	}
	maps.DeleteFunc(next, func(_ string, pauses []spoke.Pause) bool { return len(pauses) == 0 })
	if reflect.DeepEqual(before, next) {
		return
	}
	data, err := json.Marshal(next)
	if err == nil {
		err = atomicfile.WriteDurably(filepath.Join(h.opts.Dir, pauseFile), data)
	}
	if err != nil {
		h.opts.Log.Error("keeping the pauses of clusters", "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pauses = next
}
