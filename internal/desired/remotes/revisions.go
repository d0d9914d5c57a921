package remotes

import (
	"regexp"
	"strings"

	"nave.dev/internal/gitsource"
)

var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Revisions is what a ref may mean, in the order in which Git looks; what is none may be a range of versions.
func Revisions(ref string) []gitsource.Revision {
	if commitHash.MatchString(ref) {
		return []gitsource.Revision{{Commit: ref}}
	}
	if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return []gitsource.Revision{{Branch: name}}
	}
	if name, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		return []gitsource.Revision{{Tag: name}}
	}
	versions := gitsource.Revision{SemVer: ref}
	if strings.ContainsAny(ref, "*^~ ") { // which no ref has
		return []gitsource.Revision{versions}
	}
	revisions := []gitsource.Revision{{Tag: ref}, {Branch: ref}}
	if versions.Validate() == nil {
		revisions = append(revisions, versions)
	}
	return revisions
}
