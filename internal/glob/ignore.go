package glob

import (
	"path"
	"strings"
)

// Ignore are patterns that say which files do not count, in the language of
// .gitignore. Its zero value ignores nothing.
type Ignore struct{ rules []rule }

// rule is one line of such patterns.
type rule struct {
	matches  *Glob
	dir      string // below which it counts, "." for everywhere
	byName   bool   // it is held against the name alone
	dirsOnly bool
	counts   bool // what it matches is not ignored after all
}

// maxIgnore is how many lines count.
const maxIgnore = 1000

// Add adds patterns, a line each, that count below a directory. Of those that match a
// file the last one decides. What cannot be read matches nothing.
func (i *Ignore) Add(dir, patterns string) {
	for line := range strings.Lines(patterns) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasSuffix(line, "\\ ") {
			line = strings.TrimRight(line, " \t")
		}
		if line == "" || line[0] == '#' || len(i.rules) >= maxIgnore {
			continue
		}
		r := rule{dir: path.Clean(dir)}
		if line, r.counts = strings.CutPrefix(line, "!"); line == "" {
			continue
		}
		line, r.dirsOnly = strings.CutSuffix(line, "/")
		r.byName = !strings.Contains(line, "/")
		line = strings.TrimPrefix(line, "/")
		if rest, below := strings.CutSuffix(line, "/**"); below { // all that is in it, and not itself
			line = rest + "/**/*"
		}
		var err error
		if r.matches, err = Compile(strings.NewReplacer("{", "\\{", "}", "\\}").Replace(line), ByName); err == nil {
			i.rules = append(i.rules, r)
		}
	}
}

// Match reports whether a file or directory is ignored, or is in one that is. The
// path is slash-separated, and so are the patterns' directories.
func (i *Ignore) Match(name string, dir bool) bool {
	if len(i.rules) == 0 {
		return false
	}
	for end, c := range name {
		if c == '/' && i.match(name[:end], true) {
			return true
		}
	}
	return i.match(name, dir)
}

// match is Match of the path itself.
func (i *Ignore) match(name string, dir bool) bool {
	for at := len(i.rules) - 1; at >= 0; at-- {
		r := i.rules[at]
		below := name
		if r.dir != "." {
			var ok bool
			if below, ok = strings.CutPrefix(name, r.dir+"/"); !ok {
				continue
			}
		}
		if r.byName {
			below = path.Base(below)
		}
		if (dir || !r.dirsOnly) && r.matches.Match(below) {
			return !r.counts
		}
	}
	return false
}
