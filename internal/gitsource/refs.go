package gitsource

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// refs are the branches and tags of a remote, as they were at the end of the last fetch that succeeded. They are kept
// in a file that is replaced only then, and names are resolved by it alone: the refs of the repository itself may be
// those of a fetch that was cut off.
type refs struct {
	listing string            // the digest of what the remote listed
	head    string            // the ref of the default branch; empty if there is none
	commits map[string]string // by ref, those of annotated tags being what they are tags of
}

// The file is a line "listing DIGEST", perhaps "head REF", then "HASH REF" for each ref.
func (r *refs) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "listing %s\n", r.listing)
	if r.head != "" {
		fmt.Fprintf(&b, "head %s\n", r.head)
	}
	names := make([]string, 0, len(r.commits))
	for name := range r.commits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s %s\n", r.commits[name], name)
	}
	return b.Bytes()
}

func decodeRefs(data []byte) (*refs, error) {
	r := &refs{commits: map[string]string{}}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case !ok || value == "":
			return nil, fmt.Errorf("line %q is not a ref", line)
		case key == "listing":
			r.listing = value
		case key == "head":
			r.head = value
		case isHash(key):
			r.commits[value] = key
		default:
			return nil, fmt.Errorf("line %q is not a ref", line)
		}
	}
	if r.listing == "" {
		return nil, fmt.Errorf("there is no listing")
	}
	return r, nil
}

// parseRefs reads what git ls-remote and git show-ref --dereference print: a hash and a ref a line, an annotated tag
// followed by what it is a tag of under its name and "^{}".
func parseRefs(out []byte) (map[string]string, error) {
	commits := map[string]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !isHash(fields[0]) {
			return nil, fmt.Errorf("git listed %q, which is not a ref", line)
		}
		name := strings.TrimSuffix(fields[1], "^{}")
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			commits[name] = fields[0]
		}
	}
	return commits, nil
}

// digest identifies a listing, so that an equal one needs no fetch.
func digest(listing []byte) string {
	sum := sha256.Sum256(listing)
	return hex.EncodeToString(sum[:])
}

// isHash reports whether s is a full hash, of SHA-1 or SHA-256.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
