package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"nave.dev/internal/atomicfile"
)

// noLab is the error of what needs a lab that is there.
func (l *Lab) noLab() error {
	return fmt.Errorf("there is no lab in %s\nhint: nave-lab up starts one; --dir or NAVE_LAB_DIR say where", l.dir)
}

// Exists reports whether the directory holds a lab. One whose state file is
// lost still has its processes.
func (l *Lab) Exists() bool {
	if _, err := os.Stat(l.stateFile()); err == nil {
		return true
	}
	_, err := l.table.Get(networkProcess)
	return err == nil
}

// change runs a change of a lab that is there under its lock: only one at a
// time, over all programs. The state that do leaves behind is saved also if it
// fails, since processes may already follow it.
func (l *Lab) change(ctx context.Context, do func(s *state) error) error {
	if !l.Exists() { // asked before the lock, which would make the directory
		return l.noLab()
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !l.Exists() { // deleted while this waited
		return errors.Join(l.noLab(), l.clear())
	}
	return l.changeLocked(do)
}

// create is change for what makes a lab where there is none yet. It keeps off
// directories with other things in them, since down --delete clears a lab's.
func (l *Lab) create(ctx context.Context, do func(s *state) error) error {
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if !l.Exists() && entry.Name() != lockName && !strings.HasPrefix(entry.Name(), atomicfile.Prefix) {
			return fmt.Errorf("%s is no lab and holds other things, such as %q\nhint: give the lab a directory of its own with --dir",
				l.dir, entry.Name())
		}
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return l.changeLocked(do)
}

func (l *Lab) changeLocked(do func(s *state) error) error {
	s, err := l.load()
	if err != nil {
		return err
	}
	err = do(s)
	return errors.Join(err, l.save(s))
}

const lockName = "lock"

// errBusy says that another program holds the lab's lock.
var errBusy = errors.New("another nave-lab command runs")

// lock takes the lab's lock, which the system releases however the holder ends.
func (l *Lab) lock(ctx context.Context) (unlock func(), err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		unlock, err := l.tryLock()
		if !errors.Is(err, errBusy) {
			if told {
				l.progress(Progress{Name: "lab"})
			}
			return unlock, err
		}
		l.progress(Progress{Name: "lab", WaitsFor: "another nave-lab command"})
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.progress(Progress{Name: "lab"})
			return nil, fmt.Errorf("waiting for another nave-lab command: %w", context.Cause(ctx))
		}
	}
}

// tryLock takes the lab's lock, or returns errBusy.
func (l *Lab) tryLock() (unlock func(), err error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(l.dir, lockName)
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the directory was deleted since
		return nil, errBusy
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("locking %s: %w", l.dir, err)
	}
	// If the last holder deleted the lab and its lock with it, this is the lock
	// of nothing, and another program may hold the one that took its place.
	held, heldErr := file.Stat()
	there, thereErr := os.Stat(name)
	if heldErr != nil || thereErr != nil || !os.SameFile(held, there) {
		file.Close()
		return nil, errBusy
	}
	return func() { file.Close() }, nil
}
