package upkeep

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Own makes a directory this process's own until free is called or the process
// ends, however it ends.
func Own(dir string) (free func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "hub.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { file.Close() }, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another hub works in %s", dir)
	}
	return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
}
