package gittree

import "bytes"

// IsLFSPointer reports whether the contents of a file are a Git LFS pointer: the file itself is kept elsewhere, and
// the repository only says its hash and size. The form is that of the Git LFS specification, version 1.
func IsLFSPointer(data []byte) bool {
	const maxPointer = 1024 // bytes, by the specification
	rest, ok := bytes.CutPrefix(data, []byte("version https://git-lfs.github.com/spec/v1\n"))
	if !ok || len(data) >= maxPointer {
		return false
	}
	var oid, size bool
	for line := range bytes.Lines(rest) {
		oid = oid || bytes.HasPrefix(line, []byte("oid sha256:"))
		size = size || bytes.HasPrefix(line, []byte("size "))
	}
	return oid && size
}
