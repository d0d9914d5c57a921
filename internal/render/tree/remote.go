package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// RemoteDir is the directory of a tree below which it shows other repositories, each by the name that Remotes gives
// it. What a repository itself has there is not seen.
const RemoteDir = ".nave-remote"

// Remotes shows other repositories beside a source's own. It may be asked often, and must answer the same each time.
type Remotes interface {
	// Remote names the commit that a reference to another repository means: one element of a path, which stays the same
	// while only the commit moves. A ref with the form of a v1alpha1.ChartVersion, which no ref of Git has, means a chart
	// of a chart repository. The error says why it may not be used; a line "hint: …" in it says what to do.
	Remote(repository, ref string) (name string, err error)
	// Files returns the files that a name stands for. It may be asked for any name.
	Files(name string) (fs.FS, Hashes, error)
}

var errNoRemotes = errors.New("it is not in the repository\nhint: copy it into the repository; what a render may read is pinned by the commit")

// Remote implements Tree.
func (s Source) Remote(repository, ref string) (string, error) {
	if s.Remotes == nil {
		return "", errNoRemotes
	}
	name, err := s.Remotes.Remote(repository, ref)
	if err != nil {
		return "", err
	}
	return path.Join(RemoteDir, name), nil
}

// RemoteRoot returns the directory in which another repository's path has its root, or "" for a path of the tree's own
// repository.
func RemoteRoot(name string) string {
	rest, ok := strings.CutPrefix(name, RemoteDir+"/")
	if !ok {
		return ""
	}
	element, _, _ := strings.Cut(rest, "/")
	return path.Join(RemoteDir, element)
}

// Within reports whether a clean path is in the repository with a root, as RemoteRoot has it: not above it, and for the
// tree's own not where others are shown.
func Within(root, name string) bool {
	if root == "" {
		return !path.IsAbs(name) && name != ".." && !strings.HasPrefix(name, "../") && name != RemoteDir && !strings.HasPrefix(name, RemoteDir+"/")
	}
	return name == root || strings.HasPrefix(name, root+"/")
}

// at returns the source and the path in it that a path of the tree means.
func (s Source) at(name string) (Source, string, error) {
	root := RemoteRoot(name)
	if root == "" || s.Remotes == nil {
		return s, name, nil
	}
	files, hashes, err := s.Remotes.Files(path.Base(root))
	if err != nil {
		return Source{}, "", fmt.Errorf("opening %q: %v", root, err) // whatever it wraps, nothing is absent
	}
	below := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
	if below == "" {
		below = "."
	}
	return Source{Files: files, Hashes: hashes}, below, nil
}

// remoteDigest is the digest of the answer to what a reference means. A refusal for another reason is another answer.
func remoteDigest(dir string, err error) string {
	if err != nil {
		return refused(err)
	}
	return dir
}

// reference is a reference as the path of a Read, and back. Neither part holds a line break.
func reference(repository, ref string) string { return repository + "\n" + ref }

func splitReference(text string) (repository, ref string) {
	repository, ref, _ = strings.Cut(text, "\n")
	return repository, ref
}
