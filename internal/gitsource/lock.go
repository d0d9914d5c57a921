package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockInterval is how often a lock that somebody else holds is tried again.
const lockInterval = 50 * time.Millisecond

// lock takes the lock of a file, across processes, waiting until ctx ends. It is given back when the returned file is
// closed here and in every process that inherited it; a process that dies gives it back too.
func lock(ctx context.Context, file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// For the error below, in another process; nothing depends on it.
			f.Truncate(0)
			f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %q: %w", file, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			holder := make([]byte, 20)
			n, _ := f.ReadAt(holder, 0)
			f.Close()
			return nil, fmt.Errorf("waiting for process %s, which works on the same mirror: %w",
				strings.TrimSpace(string(holder[:n])), context.Cause(ctx))
		}
	}
}
