package ledger

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"nave.dev/internal/atomicfile"
	"nave.dev/internal/object"
)

// Where files are, in the ledger's directory. All of them are the owner's alone:
// a Secret that is plain in Git is plain in a bundle.
const (
	clusterFiles = "clusters"
	bundleFiles  = "bundles"
)

// maxBundle is the most bytes that a bundle may have when it is read, so that a
// file somebody tampered with does not fill the memory.
const maxBundle = 256 << 20

func (l *Ledger) clusterPath(cluster string) string {
	return filepath.Join(l.dir, clusterFiles, filepath.Base(cluster)+".json")
}

func (l *Ledger) bundlePath(digest string) string {
	return filepath.Join(l.dir, bundleFiles, filepath.Base(digest)+".gz")
}

// sweep removes unfinished files, and bundles that no entry names.
func (l *Ledger) sweep() (problems []error) {
	err := filepath.WalkDir(l.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		digest, bundle := strings.CutSuffix(entry.Name(), ".gz")
		if strings.HasPrefix(entry.Name(), atomicfile.Prefix) || bundle && l.uses[digest] == 0 {
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		problems = append(problems, fmt.Errorf("sweeping the ledger: %w", err))
	}
	return problems
}

// readSealed returns the content of a file that begins with its digest.
func readSealed(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	digest, content, ok := bytes.Cut(data, []byte("\n"))
	if !ok || string(digest) != object.Digest(content) {
		return nil, errors.New("the file is damaged")
	}
	return content, nil
}

// writeDurably puts a file that begins with the digest of its content into its
// place in one step, which a power cut neither tears nor, once the call has
// returned, undoes.
func writeDurably(path string, content []byte) error {
	return atomicfile.WriteDurably(path, append([]byte(object.Digest(content)+"\n"), content...))
}

func readCompressed(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(in, maxBundle+1))
	if err == nil && len(data) > maxBundle {
		err = fmt.Errorf("it is larger than %d bytes", maxBundle)
	}
	return data, err
}

// compressors are used again from bundle to bundle: each has more than a megabyte
// of tables, and a bundle some kilobytes.
var compressors = sync.Pool{New: func() any {
	out, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // a constant level
	}
	return out
}}

// writeCompressed puts a bundle into its place in one step. It does not wait for
// the disk: of a bundle that a power cut tore, its digest tells.
func writeCompressed(path string, content []byte) error {
	return atomicfile.WriteFunc(path, func(file io.Writer) error {
		out := compressors.Get().(*gzip.Writer)
		defer compressors.Put(out)
		out.Reset(file)
		_, err := out.Write(content)
		return errors.Join(err, out.Close())
	})
}
