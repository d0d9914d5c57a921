package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A home directory at the start of a path, not somewhere inside one.
var homePath = regexp.MustCompile(`(?:^|[^\w.)}\]>*~-])(/(?:root|home/[\w.-]+|Users/[\w.-]+)/)`)

// ordinaryParents are directories that a document may well name together with
// the product, so that a checkout below them proves nothing.
var ordinaryParents = []string{"/", "/opt", "/srv", "/tmp", "/usr/local", "/var/lib", "/var/tmp"}

// machineFacts finds home directories, and the place of this very checkout, in
// tracked text.
func machineFacts(r *repository) (found []violation) {
	facts := []*regexp.Regexp{homePath}
	if r.top != "" && !slices.Contains(ordinaryParents, filepath.Dir(r.top)) {
		facts = append(facts, regexp.MustCompile(`(`+regexp.QuoteMeta(r.top)+`)(?:[^\w-]|$)`))
	}
	for _, p := range r.tracked {
		content, err := fs.ReadFile(r.tree, p)
		if err != nil || bytes.IndexByte(content, 0) >= 0 {
			continue // removed but not yet from the index, no regular file, or no text
		}
		for i, line := range strings.Split(string(content), "\n") {
			for _, fact := range facts {
				if match := fact.FindStringSubmatch(line); match != nil {
					found = append(found, violation{fmt.Sprintf("%s:%d", p, i+1),
						fmt.Sprintf("names %s, a place on one machine: make it relative, or compute it", match[1])})
				}
			}
		}
	}
	return found
}

// artefacts finds tracked files that were built rather than written.
func artefacts(r *repository) (found []violation) {
	const maxSize = 1 << 20
	for _, p := range r.tracked {
		content, err := fs.ReadFile(r.tree, p)
		var text string
		switch {
		case covers("bin/...", p):
			text = "lies in bin/, which is made by the build: remove it from Git"
		case err != nil:
			continue // removed but not yet from the index, or no regular file
		case bytes.HasPrefix(content, []byte("\x7fELF")):
			text = "is an executable: build it from source"
		case len(content) > maxSize:
			text = fmt.Sprintf("has %d bytes, the limit is %d: generate or fetch it", len(content), maxSize)
		default:
			continue
		}
		found = append(found, violation{p, text})
	}
	return found
}

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	linkForms  = []*regexp.Regexp{
		regexp.MustCompile(`\]\(\s*<?([^)>\s]+)>?(?:\s+["'][^)]*)?\s*\)`), // [text](target "title")
		regexp.MustCompile(`^ {0,3}\[[^\]^][^\]]*\]:\s*<?([^>\s]+)>?`),    // [name]: target
		regexp.MustCompile(`<(?:a|img)\s[^>]*(?:href|src)="([^"]+)"`),
	}
)

// links holds every relative link of a Markdown file against the tree.
func links(r *repository) (found []violation) {
	for _, doc := range r.docs {
		content, err := fs.ReadFile(r.tree, doc)
		if err != nil {
			found = append(found, violation{doc, err.Error()})
			continue
		}
		fence := ""
		for i, line := range strings.Split(string(content), "\n") {
			if fence = fenceAfter(fence, line); fence != "" {
				continue
			}
			line = inlineCode.ReplaceAllString(line, "")
			for _, form := range linkForms {
				for _, match := range form.FindAllStringSubmatch(line, -1) {
					if text := r.dangles(path.Dir(doc), match[1]); text != "" {
						found = append(found, violation{fmt.Sprintf("%s:%d", doc, i+1), text})
					}
				}
			}
		}
	}
	return found
}

// fenceAfter returns the fence of the code block that is open after line, given
// the one open before it, or the empty string.
func fenceAfter(fence, line string) string {
	line = strings.TrimSpace(line)
	if fence != "" {
		if strings.HasPrefix(line, fence) {
			return ""
		}
		return fence
	}
	for _, mark := range []string{"```", "~~~"} {
		if strings.HasPrefix(line, mark) {
			return mark
		}
	}
	return ""
}

// dangles says what is wrong with a link in a document of directory dir; the
// empty string means nothing, as for all links that leave the repository by URL.
func (r *repository) dangles(dir, link string) string {
	target, err := url.Parse(link)
	if err != nil {
		return fmt.Sprintf("link %q is no URL: %v", link, err)
	}
	if target.Scheme != "" || target.Host != "" || target.Path == "" {
		return ""
	}
	p := path.Join(dir, target.Path)
	if strings.HasPrefix(target.Path, "/") { // as code hosts read it: from the top
		p = path.Join(".", target.Path)
	}
	if _, err := fs.Stat(r.tree, p); err != nil {
		return fmt.Sprintf("link %q leads to %s, which is not in the repository", link, p)
	}
	return ""
}
