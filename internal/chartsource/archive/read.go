// Package archive reads the packed form of a Helm chart, a compressed tar file with one directory at its top, into a
// Chart: a read-only file system whose root is that directory. Archives come from strangers, so that whatever is no
// plain file or directory, leads outside, is there twice or is too large is refused before it is used. The package
// writes to no disk and knows nothing of what the files mean.
package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// Read reads an archive. The error says what is wrong with it, and names the file.
func Read(data []byte, limits Limits) (*Chart, error) {
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
		return nil, fmt.Errorf("it is not compressed as charts are: %w", err)
	}
	r := reader{limits: limits, files: map[string][]byte{}}
	// Headers count as well: a tar file can be all headers.
	bounded := &io.LimitedReader{R: unpacked, N: limits.Bytes + int64(limits.Files)*perFile}
	if err := r.read(tar.NewReader(bounded)); err != nil {
		if bounded.N <= 0 {
			err = r.tooLarge()
		}
		return nil, err
	}
	if _, ok := r.files["Chart.yaml"]; !ok {
		return nil, errors.New("it has no Chart.yaml")
	}
	return build(r.files)
}

// reader is one archive while it is read.
type reader struct {
	limits Limits
	top    string // the directory that everything is in
	files  map[string][]byte
	size   int64
	seen   int // entries, directories among them
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
	name, err := r.name(header.Name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
	case tar.TypeSymlink, tar.TypeLink:
		return fmt.Errorf("%q is a link, and charts may not hold any", header.Name)
	default:
		return fmt.Errorf("%q is neither a file nor a directory", header.Name)
	}
	switch _, twice := r.files[name]; {
	case name == ".":
		return fmt.Errorf("%q is not in the chart's directory", header.Name)
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
	r.files[name] = content
	return nil
}

// name returns the path of an entry from the chart's directory, which is ".".
func (r *reader) name(entry string) (string, error) {
	name := strings.ReplaceAll(entry, `\`, "/") // as archives made on Windows have it
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("%q is not a path inside a directory", entry)
	}
	top, below, _ := strings.Cut(name, "/")
	if r.top == "" {
		r.top = top
	}
	switch {
	case top != r.top:
		return "", fmt.Errorf("%q is not in the directory %q, as the rest is", entry, r.top)
	case below == "":
		return ".", nil
	case strings.Count(below, "/") > deepest:
		return "", fmt.Errorf("%.100q… is more than %d directories deep", entry, deepest)
	}
	return below, nil
}
