package gittree

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChanged(t *testing.T) {
	before := map[string]node{
		"base/a.yaml":       text("a"),
		"base/b.yaml":       text("b"),
		"shared/values":     text("v1"),
		"prod/values":       linkTo("../shared/values"),
		"prod/base":         linkTo("../base"),
		"prod/all":          linkTo("../linked"),
		"linked/plain":      text("x"),
		"linked/link":       linkTo("plain"),
		"script":            text("#!"),
		"a.b/x":             text("sorts between a and a/"),
		"a/x":               text("x"),
		"bad":               linkTo("/absolute"),
		"unrelated/x/y/z/1": text("1"),
	}
	cases := map[string]struct {
		reason string
		change func(nodes map[string]node)
		want   []string
	}{
		"nothing": {
			reason: "equal commits have no difference, links or not",
			change: func(map[string]node) {},
		},
		"content": {
			reason: "a file is listed, and the link to its directory with it",
			change: func(n map[string]node) { n["base/a.yaml"] = text("A") },
			want:   []string{"base/a.yaml", "prod/all", "prod/base"},
		},
		"behind a link": {
			reason: "a link to a changed file is a change where the link is",
			change: func(n map[string]node) { n["shared/values"] = text("v2") },
			want:   []string{"prod/all", "prod/values", "shared/values"},
		},
		"added and removed": {
			reason: "both are changes",
			change: func(n map[string]node) { delete(n, "unrelated/x/y/z/1"); n["a/new/deep"] = text("n") },
			want:   []string{"a/new/deep", "prod/all", "unrelated/x/y/z/1"},
		},
		"mode": {
			reason: "a script that becomes a program is a change",
			change: func(n map[string]node) { n["script"] = program("#!") },
			want:   []string{"prod/all", "script"},
		},
		"file to directory": {
			reason: "what was a file is gone, and what is below it is new",
			change: func(n map[string]node) { delete(n, "script"); n["script/main"] = text("#!") },
			want:   []string{"prod/all", "script", "script/main"},
		},
		"link target": {
			reason: "a link that says something else is a change",
			change: func(n map[string]node) { n["prod/values"] = linkTo("../base/a.yaml") },
			want:   []string{"prod/all", "prod/values"},
		},
		"link to nothing": {
			reason: "a link that can no longer be followed is a change",
			change: func(n map[string]node) { delete(n, "shared/values") },
			want:   []string{"prod/all", "prod/values", "shared/values"},
		},
	}
	r := newRepo(t)
	s := r.store()
	old := r.open(s, r.commit(before))
	for name, c := range cases {
		after := maps.Clone(before)
		c.change(after)
		now := r.open(s, r.commit(after))
		if diff := cmp.Diff(c.want, Changed(old, now)); diff != "" {
			t.Errorf("%s: %s: (-want +got)\n%s", name, c.reason, diff)
		}
		if diff := cmp.Diff(Changed(old, now), Changed(now, old)); diff != "" && !strings.Contains(name, "link") {
			t.Errorf("%s: the way back differs:\n%s", name, diff)
		}
	}
}

// TestChangedAgainstComparison compares random commits of files with a comparison of all their paths.
func TestChangedAgainstComparison(t *testing.T) {
	r := newRepo(t)
	s := r.store()
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() map[string]node {
		nodes := map[string]node{}
		for range rng.IntN(30) {
			path := fmt.Sprintf("%c/%c/%c", 'a'+rng.IntN(3), 'a'+rng.IntN(3), 'a'+rng.IntN(5))
			nodes[path] = text(fmt.Sprint(rng.IntN(3)))
		}
		nodes["always"] = text("")
		return nodes
	}
	for range 20 {
		a, b := random(), random()
		var want []string
		for path := range a {
			if a[path] != b[path] {
				want = append(want, path)
			}
		}
		for path := range b {
			if _, ok := a[path]; !ok {
				want = append(want, path)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, Changed(r.open(s, r.commit(a)), r.open(s, r.commit(b)))); diff != "" {
			t.Fatalf("%v to %v: (-want +got)\n%s", a, b, diff)
		}
	}
}

// TestChangedInWhatCannotBeListed changes an entry whose name is refused.
func TestChangedInWhatCannotBeListed(t *testing.T) {
	r := newRepo(t)
	s := r.store()
	commit := func(data string) *Tree {
		raw, _ := parseID(r.git(data, "hash-object", "-w", "--stdin"))
		dir := r.git("100644 ..\x00"+raw, "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
		root := r.git("040000 tree "+dir+"\tdir\n", "mktree")
		return r.open(s, r.git("", "commit-tree", "-m", "x", root))
	}
	if diff := cmp.Diff([]string{"dir"}, Changed(commit("1"), commit("2"))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
