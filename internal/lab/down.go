package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"nave.dev/internal/atomicfile"
)

// Down ends every process of the lab, known or left over by a command that was
// killed, and returns when none is left. The data stays, and Up brings
// the clusters back, unless remove is set: then the lab is gone, and so is its
// directory if nothing else is in it.
func (l *Lab) Down(ctx context.Context, remove bool) error {
	if !l.Exists() { // a lab's state is written before its first process runs
		return nil
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// Everything at once and without grace, but for etcd, whose data stays: the
	// others keep nothing.
	if err := l.stopAll(ctx, func(name string) bool { return !isEtcd(name) }, 0); err != nil {
		return err
	}
	if err := l.stopAll(ctx, isEtcd, etcdGrace); err != nil {
		return err
	}
	if remove {
		return l.clear()
	}
	return nil
}

// How long a process may take to end by itself.
const (
	etcdGrace    = 10 * time.Second
	networkGrace = 5 * time.Second
)

func isEtcd(process string) bool {
	return process == sharedEtcd || strings.HasSuffix(process, "/"+sharedEtcd)
}

func (l *Lab) stopAll(ctx context.Context, which func(name string) bool, grace time.Duration) error {
	records, err := l.table.List()
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
	)
	for _, record := range records {
		if !which(record.Name) {
			continue
		}
		group.Go(func() {
			stopErr := l.table.Stop(ctx, record.Name, grace)
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, stopErr)
		})
	}
	group.Wait()
	return err
}

// clear deletes what the lab, whose lock is held, keeps in its directory: the
// state and then the lock last, so that what is left by a run that was killed
// is still known as a lab.
func (l *Lab) clear() error {
	names := []string{
		"clusters", sharedEtcd, gitName, chartsName, "network.log", "network.log.1", "network.sock",
		"kubeconfigs", "fleet", "nave", "hub.log", "hub.log.1", "webhook-secret", "age-keys",
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries { // of a writer that was killed
		if strings.HasPrefix(entry.Name(), atomicfile.Prefix) {
			names = append(names, entry.Name())
		}
	}
	for _, name := range append(names, "run", stateName, lockName) {
		if err := os.RemoveAll(filepath.Join(l.dir, name)); err != nil {
			return err
		}
	}
	err = os.Remove(l.dir)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		return nil // it holds something that is not ours, or another command's new lock
	}
	return err
}
