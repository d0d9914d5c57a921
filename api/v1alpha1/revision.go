package v1alpha1

import (
	"errors"
	"fmt"
	"strings"
)

// Revision is a state of a repository. Exactly one field is set.
// +exactlyOne
type Revision struct {
	// Branch whose head is followed.
	// +example=main
	Branch string `json:"branch,omitempty"`
	// Tag with exactly this name.
	// +example=v1.4.2
	Tag string `json:"tag,omitempty"`
	// Semver is a range, of which the highest tag is followed.
	// +example=~1.4
	Semver string `json:"semver,omitempty"`
	// Commit is a full hash.
	// +example=0123456789abcdef0123456789abcdef01234567
	Commit string `json:"commit,omitempty"`
}

// part is one of the ways to name a revision.
type part struct {
	name  string
	value *string
}

func (r *Revision) parts() []part {
	return []part{{"branch", &r.Branch}, {"tag", &r.Tag}, {"semver", &r.Semver}, {"commit", &r.Commit}}
}

// set returns the parts that are set.
func (r *Revision) set() (set []part) {
	for _, p := range r.parts() {
		if *p.value != "" {
			set = append(set, p)
		}
	}
	return set
}

// String returns the revision as one word, such as "branch:main" or "semver:~1.4", and "" for the zero value.
func (r Revision) String() string {
	for _, p := range r.set() {
		return p.name + ":" + *p.value
	}
	return ""
}

// ParseRevision reads what String wrote. Any part that a Revision has is accepted, whatever its value.
func ParseRevision(text string) (Revision, error) {
	var r Revision
	if text == "" {
		return r, nil
	}
	name, value, _ := strings.Cut(text, ":")
	for _, p := range r.parts() {
		if p.name == name && value != "" {
			*p.value = value
			return r, nil
		}
	}
	return Revision{}, fmt.Errorf("%q is no revision: want branch, tag, semver or commit, a colon and a value", text)
}

// Fill returns the revision with its template filled in, or why this cannot be done or makes no valid revision.
func (r Revision) Fill(context Context) (Revision, error) {
	for _, p := range r.set() {
		text, err := fillNonEmpty(*p.value, context)
		if err != nil {
			return Revision{}, err
		}
		*p.value = text
		if message := wrongRevision(p.name, text); message != "" {
			return Revision{}, errors.New(message)
		}
	}
	return r, nil
}

// wrongRevision says why text cannot be the value of the named part, or "".
func wrongRevision(name, text string) string {
	switch name {
	case "commit":
		if len(text) != 40 && len(text) != 64 || strings.Trim(text, "0123456789abcdef") != "" {
			return fmt.Sprintf("%q is no full commit hash", text)
		}
	case "branch", "tag":
		// As git check-ref-format has it.
		bad := strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`~^:?*[\`, r) })
		for element := range strings.SplitSeq(text, "/") {
			bad = bad || element == "" || element[0] == '.' || strings.HasSuffix(element, ".lock")
		}
		if bad || text[0] == '-' || text == "@" || strings.HasSuffix(text, ".") || strings.Contains(text, "..") || strings.Contains(text, "@{") {
			return fmt.Sprintf("%q is not the name of a %s", text, name)
		}
	}
	return ""
}
