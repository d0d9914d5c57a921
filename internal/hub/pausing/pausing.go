// Package pausing keeps the pauses of clusters in a file of the hub's directory. A
// cluster's record counts before it; one that was deleted while the hub did not look
// gets its pauses back from here.
package pausing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nave.dev/internal/atomicfile"
	"nave.dev/internal/spoke"
)

// File is the name of the file.
const File = "pauses.json"

// Read returns the pauses that are kept in a directory, by cluster. With an error
// there are none.
func Read(dir string) (map[string][]spoke.Pause, error) {
	pauses := map[string][]spoke.Pause{}
	data, err := os.ReadFile(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return pauses, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &pauses)
	}
	if err != nil {
		return map[string][]spoke.Pause{}, fmt.Errorf("reading the pauses of clusters: %w", err)
	}
	if pauses == nil { // the file says null
		pauses = map[string][]spoke.Pause{}
	}
	return pauses, nil
}

// Write keeps pauses in a directory in place of those from before.
func Write(dir string, pauses map[string][]spoke.Pause) error {
	data, err := json.Marshal(pauses)
	if err == nil {
		err = atomicfile.WriteDurably(filepath.Join(dir, File), data)
	}
	if err != nil {
		return fmt.Errorf("keeping the pauses of clusters: %w", err)
	}
	return nil
}
