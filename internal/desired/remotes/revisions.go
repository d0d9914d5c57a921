package remotes

import (
	"regexp"
	"strings"

	"nave.dev/internal/gitsource"
)

var commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// Prefixed is the ref of a version, or of a range of versions, that is held against the tags with a prefix: a text that
// no ref of Git has, which Revisions reads. A ref that is no version and no range is itself, whatever the prefix.
func Prefixed(prefix, ref string) string {
	if prefix == "" || ref == "" || commitHash.MatchString(ref) || (gitsource.Revision{SemVer: ref}).Validate() != nil {
		return ref
	}
	return prefix + versionsOpen + ref + versionsClose
}

// Git has no ref with "@{".
const versionsOpen, versionsClose = "@{", "}"

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
	if prefix, rest, ok := strings.Cut(ref, versionsOpen); ok && strings.HasSuffix(rest, versionsClose) {
		ref = strings.TrimSuffix(rest, versionsClose)
		versions = gitsource.Revision{SemVer: ref, TagPrefix: prefix}
	}
	if strings.ContainsAny(ref, "*^~ ") { // which no ref has
		return []gitsource.Revision{versions}
	}
	revisions := []gitsource.Revision{{Tag: versions.TagPrefix + ref}, {Branch: versions.TagPrefix + ref}}
	if versions.Validate() == nil {
		revisions = append(revisions, versions)
	}
	return revisions
}
