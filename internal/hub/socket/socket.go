// Package socket is where the command line reaches a hub: a socket in the directory
// that the hub works in, which only its owner can open.
package socket

import (
	"errors"
	"net"
	"os"
	"path/filepath"
)

// Path returns where the hub that works in a directory is reached.
func Path(dir string) string { return filepath.Join(dir, "hub.sock") }

// Listen listens where the hub that works in a directory is reached. The directory is
// this hub's own, so that a socket which is there already is a dead one's. The new one
// is made aside, and is where it is looked for only once others cannot open it.
func Listen(dir string) (net.Listener, error) {
	path, aside := Path(dir), filepath.Join(dir, "hub.new")
	for _, old := range []string{aside, path} {
		if err := os.Remove(old); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: aside, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err = os.Chmod(aside, 0o600); err == nil {
		err = os.Rename(aside, path)
	}
	if err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}
