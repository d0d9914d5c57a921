// Package upkeep is what is done to the directory of a hub, and to the authority's
// key, from outside the hub's process: making them, backing up the database and
// putting it back, and rotating the key. It also says whose a directory is, so that
// what must not be done below a hub that runs is not.
package upkeep

import (
	"context"
	"path/filepath"
	"time"

	"nave.dev/internal/store/sqlite"
	"nave.dev/internal/tunnel"
	"nave.dev/internal/tunnel/authority"
)

// Database is where the database of the hub that works in a directory is.
func Database(dir string) string { return filepath.Join(dir, "store") }

// Init makes the authority of a fleet in a directory of its own, and beside it the
// database of the hub that works in dir, of which it is known that no cluster was
// ever enrolled: a hub that finds the key without that database has lost it. No hub
// may be running.
func Init(ctx context.Context, dir, key, fleet string, now time.Time) error {
	free, err := Own(dir)
	if err != nil {
		return err
	}
	defer free()
	memory, err := sqlite.Open(ctx, Database(dir), sqlite.Options{})
	if err != nil {
		return err
	}
	defer memory.Close()
	if err := authority.Init(key, fleet, now); err != nil {
		return err
	}
	return memory.SetRecovering(ctx, memory.Origin().Recovering, "") // what it lacks would be of this key
}

// Backup writes a copy of the database of the hub that works in a directory to a file
// that does not exist yet, also while it runs.
func Backup(ctx context.Context, dir, file string) error {
	return sqlite.Backup(ctx, Database(dir), file)
}

// Restore puts such a copy back. It returns the directory to which it moved what was
// there, if anything was. No hub may be running; the one that starts next is
// recovering.
func Restore(ctx context.Context, dir, file string) (before string, err error) {
	free, err := Own(dir)
	if err != nil {
		return "", err
	}
	defer free()
	return sqlite.Restore(ctx, file, Database(dir))
}

// Rotate gives the authority in a directory a new key. A hub that runs takes it within
// seconds.
func Rotate(key string, now time.Time) error { return authority.Rotate(key, now) }

// Retire ends the trust in the key before that. Early is before every certificate
// that it signed has ended.
func Retire(key string, early bool, now time.Time) error {
	return authority.Retire(key, tunnel.CertificateLife, early, now)
}
