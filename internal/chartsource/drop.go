package chartsource

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An archive goes when it was not used for so long, and a request when it was not made: they are fetched, and made,
// again if they are needed after all. A process that has just begun does not know yet what is used.
const (
	unused  = 30 * 24 * time.Hour
	settled = 24 * time.Hour
)

// use notes that an archive is used, also for other processes and later ones.
func (r *Repository) use(digestOf string) {
	now := r.opts.Now()
	r.mu.Lock()
	last, known := r.used[digestOf]
	fresh := !known || now.Sub(last) >= time.Hour
	if fresh {
		r.used[digestOf] = now
	}
	r.mu.Unlock()
	if fresh {
		os.Chtimes(r.kept(digestOf, archiveExtension), now, now) // without it the archive is fetched again one day
	}
}

// drop removes what was not used for long. What this process uses is told by its own clock, which does not jump.
func (r *Repository) drop() {
	now := r.opts.Now()
	if now.Sub(r.began) < settled {
		return
	}
	needed := map[string]bool{}
	r.mu.Lock()
	for digestOf, last := range r.used {
		if needed[digestOf] = now.Sub(last) < unused; !needed[digestOf] {
			delete(r.used, digestOf)
		}
	}
	r.mu.Unlock()
	for _, file := range entriesOf(r.file(wantsDir)) {
		var w want
		readJSON(file.path, &w)
		if now.Sub(file.changed) < unused || needed[w.Digest] {
			needed[w.Digest] = true
		} else {
			os.Remove(file.path)
		}
	}
	for _, file := range entriesOf(r.file(archivesDir)) {
		digestOf, packed := strings.CutSuffix(filepath.Base(file.path), archiveExtension)
		if packed && !needed[digestOf] && now.Sub(file.changed) >= unused {
			os.Remove(file.path)
			os.Remove(r.kept(digestOf, provenanceExtension))
		}
		archive, _, with := strings.Cut(strings.TrimSuffix(filepath.Base(file.path), signedExtension), "-")
		if with && !exists(r.kept(archive, archiveExtension)) {
			os.Remove(file.path)
		}
	}
}

// kept is a file of a directory, and when it was last changed.
type kept struct {
	path    string
	changed time.Time
}

// entriesOf are the files of a directory; none if it cannot be read.
func entriesOf(dir string) (files []kept) {
	found, _ := os.ReadDir(dir) // what this process uses is known without it
	for _, entry := range found {
		if info, err := entry.Info(); err == nil && !strings.HasPrefix(entry.Name(), temporary) {
			files = append(files, kept{filepath.Join(dir, entry.Name()), info.ModTime()})
		}
	}
	return files
}
