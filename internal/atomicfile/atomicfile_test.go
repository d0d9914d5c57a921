package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// names lists a directory.
func names(t *testing.T, dir string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWrite(t *testing.T) {
	broken := errors.New("the disk is full")
	tests := []struct {
		reason string
		write  func(path string) error
		want   string
		err    error
	}{
		{"bytes", func(path string) error { return Write(path, []byte("new")) }, "new", nil},
		{"bytes, durably", func(path string) error { return WriteDurably(path, []byte("new")) }, "new", nil},
		{"nothing is content too", func(path string) error { return Write(path, nil) }, "", nil},
		{"what a function writes", func(path string) error {
			return WriteFunc(path, func(out io.Writer) error {
				_, err := io.WriteString(out, "new")
				return err
			})
		}, "new", nil},
		{"a function that breaks off changes nothing", func(path string) error {
			return WriteFunc(path, func(out io.Writer) error {
				_, err := io.WriteString(out, "ne")
				return errors.Join(err, broken)
			})
		}, "old", broken},
	}
	for _, test := range tests {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := test.write(path); !errors.Is(err, test.err) {
			t.Errorf("%s: error %v, want %v", test.reason, err, test.err)
		}
		if have := content(t, path); have != test.want {
			t.Errorf("%s: the file has %q, want %q", test.reason, have, test.want)
		}
		if diff := cmp.Diff([]string{"file"}, names(t, dir)); diff != "" {
			t.Errorf("%s: the directory: %s", test.reason, diff)
		}
		if info, err := os.Stat(path); test.err == nil && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("%s: mode %v, error %v; want the owner alone", test.reason, info.Mode(), err)
		}
	}
}

// What cannot be renamed into its place leaves nothing behind.
func TestWriteInTheWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.MkdirAll(filepath.Join(path, "a directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, write := range []func(string, []byte) error{Write, WriteDurably} {
		if err := write(path, []byte("new")); err == nil {
			t.Error("a directory was replaced")
		}
	}
	if diff := cmp.Diff([]string{"file"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := Write(filepath.Join(dir, "none", "file"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v without a directory", err)
	}
}

// While a file is written, it is beside its place, under a name that tells.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	err := WriteFunc(filepath.Join(dir, "file"), func(io.Writer) error {
		there := names(t, dir)
		if len(there) != 1 || !strings.HasPrefix(there[0], Prefix) {
			t.Errorf("while it is written there is %q", there)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Of several writers at once one wins, whole, and readers never see half.
func TestWriteAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	text := func(writer int) string { return strings.Repeat(fmt.Sprint(writer), 100_000) }
	if err := Write(path, []byte(text(0))); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for range 20 {
				if err := Write(path, []byte(text(writer))); err != nil {
					t.Error(err)
				}
				if have := content(t, path); have != text(int(have[0]-'0')) {
					t.Error("a reader saw a torn file")
				}
			}
		})
	}
	writers.Wait()
}
