package socket

import (
	"os"
	"testing"
)

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "hub") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for range 2 { // the second time over what a dead hub left
		listener, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(Path(dir))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("socket: %v, %v, want mode 0600", info, err)
		}
		listener.Close()
	}
}
