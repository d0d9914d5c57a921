// Package atomicfile puts a file into its place in one step: who reads it sees
// what was there before or all of what is there now, also if the writer is
// killed, and of several writers one wins. The content is written beside the
// place, under a name of its own, and renamed. Files are their owner's alone. It
// makes no directories.
package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Prefix begins the names of files that are not complete: a writer works on them,
// or was killed and has left them to whoever cleans up the directory.
const Prefix = ".new-"

// Write puts data into the file at path. A power cut right afterwards may undo it
// or tear the file: the disk is not waited for.
func Write(path string, data []byte) error {
	return WriteFunc(path, bytesTo(data))
}

// WriteFunc is Write of what a function writes, whose error leaves what was there.
func WriteFunc(path string, write func(io.Writer) error) error {
	return replace(path, write, func(*os.File) error { return nil })
}

// WriteDurably is Write, and waits until a power cut can neither tear the file
// nor undo the change. If it returns an error the file may have been replaced.
func WriteDurably(path string, data []byte) error {
	if err := replace(path, bytesTo(data), (*os.File).Sync); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func bytesTo(data []byte) func(io.Writer) error {
	return func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	}
}

// replace writes a file beside its place and renames it once it is settled.
func replace(path string, write func(io.Writer) error, settle func(*os.File) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), Prefix) // readable by the owner only
	if err != nil {
		return err
	}
	if err = write(file); err == nil {
		err = settle(file)
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}
