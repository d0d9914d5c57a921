package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Tail returns the last lines of a log, at most n of them and 64 KiB. A log
// that does not exist is empty.
func Tail(file string, n int) ([]byte, error) {
	data, err := lastBytes(file, 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	end := len(bytes.TrimRight(data, "\n"))
	start := end
	for ; n > 0 && start > 0; n-- {
		start = bytes.LastIndexByte(data[:start], '\n')
		if start < 0 {
			start = 0
			break
		}
	}
	return bytes.TrimLeft(data[start:end], "\n"), nil
}

// Trim bounds a log that its process keeps open for appending: past the limit
// in bytes, the last half-limit of it moves to FILE.1 and the file starts
// again. Lines written at that very moment can be lost.
func Trim(file string, limit int64) error {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() <= limit {
		return nil
	}
	if err != nil {
		return err
	}
	kept, err := lastBytes(file, limit/2)
	if err == nil {
		err = os.WriteFile(file+".1", kept, 0o600)
	}
	if err == nil {
		err = os.Truncate(file, 0)
	}
	if err != nil {
		return fmt.Errorf("bounding the log %s: %w", file, err)
	}
	return nil
}

func lastBytes(file string, n int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, size-n), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, n))
}
