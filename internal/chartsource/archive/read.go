// Package archive reads compressed tar files into a Tree, a read-only file system: artifacts with files, whose root is that
// of the archive, and Helm charts, packed with one directory at the top, which is the root then. Archives come from
// strangers, so that whatever is no plain file or directory, leads outside, is there twice or is too large is refused
// before it is used. The package writes to no disk and knows nothing of what the files mean.
package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// Limits bound what an archive may hold; the zero value stands for the limits of Helm itself.
type Limits struct {
	Bytes int64 // of all files together, uncompressed; 0 means 100 MiB
	File  int64 // of one file; 0 means 5 MiB
	Files int   // how many there may be; 0 means 10,000
}

const (
	defaultBytes = 100 << 20
	defaultFile  = 5 << 20
	defaultFiles = 10_000
	deepest      = 40      // directories in each other
	perFile      = 4 << 10 // what headers and padding of one file may take beside its content, in bytes
)

// Files reads an archive as it is. The error says what is wrong with it, and names the file.
func Files(data []byte, limits Limits) (*Tree, error) {
	r, err := read(data, limits)
	if err != nil {
		return nil, err
	}
	if len(r.files) == 0 {
		return nil, errors.New("it holds no files")
	}
	return New(r.files)
}

// Chart reads the archive of a chart. The error says what is wrong with it, and names the file.
func Chart(data []byte, limits Limits) (*Tree, error) {
	r, err := read(data, limits)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(r.files))
	top, _, _ := strings.Cut(r.first, "/") // the directory that everything is in
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		at, below, inside := strings.Cut(name, "/")
		switch {
		case !inside:
			return nil, fmt.Errorf("%q is not in the chart's directory", name)
		case at != top:
			return nil, fmt.Errorf("%q is not in the directory %q, as the rest is", name, top)
		}
		files[below] = r.files[name]
	}
	if _, ok := files["Chart.yaml"]; !ok {
		return nil, errors.New("it has no Chart.yaml")
	}
	return New(files)
}

// reader is one archive while it is read.
type reader struct {
	limits Limits
	first  string // file
	files  map[string][]byte
	size   int64
	seen   int // entries, directories among them
}

// read takes an archive apart.
func read(data []byte, limits Limits) (*reader, error) {
	if limits.Bytes <= 0 {
		limits.Bytes = defaultBytes
	}
	if limits.File <= 0 {
		limits.File = defaultFile
	}
	if limits.Files <= 0 {
		limits.Files = defaultFiles
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is not compressed by gzip: %w", err)
	}
	r := &reader{limits: limits, files: map[string][]byte{}}
	// Headers count as well: a tar file can be all headers.
	bounded := &io.LimitedReader{R: unpacked, N: limits.Bytes + int64(limits.Files)*perFile}
	if err := r.read(tar.NewReader(bounded)); err != nil {
		if bounded.N <= 0 {
			err = r.tooLarge()
		}
		return nil, err
	}
	return r, nil
}

func (r *reader) tooLarge() error {
	return fmt.Errorf("it holds more than %d bytes", r.limits.Bytes)
}

func (r *reader) read(archive *tar.Reader) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading it: %w", err)
		}
		if r.seen++; r.seen > r.limits.Files {
			return fmt.Errorf("it holds more than %d files", r.limits.Files)
		}
		if err := r.entry(archive, header); err != nil {
			return err
		}
	}
}

// entry takes in one entry.
func (r *reader) entry(archive io.Reader, header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := place(header.Name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
	case tar.TypeSymlink, tar.TypeLink:
		return fmt.Errorf("%q is a link, and archives may not hold any", header.Name)
	default:
		return fmt.Errorf("%q is neither a file nor a directory", header.Name)
	}
	switch _, twice := r.files[name]; {
	case name == ".":
		return fmt.Errorf("%q is not a path inside a directory", header.Name)
	case twice:
		return fmt.Errorf("%q is there twice", header.Name)
	case header.Size > r.limits.File:
		return fmt.Errorf("%q has more than %d bytes", header.Name, r.limits.File)
	}
	if r.size += header.Size; r.size > r.limits.Bytes {
		return r.tooLarge()
	}
	content, err := io.ReadAll(archive)
	if err != nil {
		return fmt.Errorf("reading %q: %w", header.Name, err)
	}
	r.files[name], r.first = content, cmp.Or(r.first, name)
	return nil
}

// place returns the path of an entry from the top of the archive, which is ".".
func place(entry string) (string, error) {
	name := strings.ReplaceAll(entry, `\`, "/") // as archives made on Windows have it
	name = cmp.Or(strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/"), ".")
	switch {
	case !fs.ValidPath(name), entry == "":
		return "", fmt.Errorf("%q is not a path inside a directory", entry)
	case strings.Count(name, "/") > deepest:
		return "", fmt.Errorf("%.100q… is more than %d directories deep", entry, deepest)
	}
	return name, nil
}
