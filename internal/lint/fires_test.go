package lint

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// in makes a repository of the given files, all of them tracked.
func in(t *testing.T, files map[string]string) *repository {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	sources, docs, err := walk(tree)
	if err != nil {
		t.Fatal(err)
	}
	repo := &repository{
		top: "/srv/checkouts/nave", tree: tree, docs: docs,
		tracked: slices.Sorted(maps.Keys(files)), checkout: true,
	}
	if err := repo.parse(sources); err != nil {
		t.Fatal(err)
	}
	return repo
}

// TestRulesFire shows each rule what it is against, beside what it must let
// pass: only the places in want may be reported.
func TestRulesFire(t *testing.T) {
	lines := func(n int) string { return "package a\n" + strings.Repeat("\n", n-1) }
	tests := []struct {
		rule, reason string
		files        map[string]string
		want         []string
	}{{
		rule: "layers", reason: "an engine knows the vocabulary, and neither another engine nor who calls it, in tests too",
		files: map[string]string{
			"internal/apply/a.go": `package apply
import "nave.dev/internal/object"
import "nave.dev/internal/apply/wave"
import "nave.dev/internal/health"
import "nave.dev/internal/spoke"
import "sigs.k8s.io/controller-runtime"`,
			"internal/apply/a_test.go": `package apply_test
import "nave.dev/internal/testenv"
import "nave.dev/internal/render"`,
		},
		want: []string{"internal/apply/a.go:4", "internal/apply/a.go:5", "internal/apply/a_test.go:3"},
	}, {
		rule: "layers", reason: "api and vocabulary stay small inside and outside",
		files: map[string]string{
			"api/v1alpha1/a.go": `package v1alpha1
import "strings"
import "k8s.io/apimachinery/pkg/runtime"
import "k8s.io/client-go/rest"
import "nave.dev/internal/object"`,
			"api/v1alpha1/a_test.go": "package v1alpha1\nimport \"github.com/google/go-cmp/cmp\"\n",
			"internal/object/a.go":   "package object\nimport \"k8s.io/api/core/v1\"\nimport \"nave.dev/api/v1alpha1\"\n",
		},
		want: []string{"api/v1alpha1/a.go:4", "api/v1alpha1/a.go:5", "internal/object/a.go:2"},
	}, {
		rule: "layers", reason: "hub and agent are strangers and reach engines through spoke; main may start a render worker",
		files: map[string]string{
			"cmd/nave/main.go":    "package main\nimport \"nave.dev/internal/render\"\nimport \"nave.dev/internal/apply\"\n",
			"internal/hub/a.go":   "package hub\nimport \"nave.dev/internal/spoke\"\nimport \"nave.dev/internal/agent\"\nimport \"nave.dev/internal/apply\"\n",
			"internal/agent/a.go": "package agent\nimport \"nave.dev/internal/hub\"\n",
		},
		want: []string{"cmd/nave/main.go:3", "internal/agent/a.go:2", "internal/hub/a.go:3", "internal/hub/a.go:4"},
	}, {
		rule: "layers", reason: "the product knows neither the lab nor the test environment, nor does the lab know the product",
		files: map[string]string{
			"cmd/nave-lab/main.go":     "package main\nimport \"nave.dev/internal/lab/fleetfile\"\nimport \"nave.dev/internal/testenv\"\n",
			"internal/cli/a.go":        "package cli\nimport \"nave.dev/internal/lab\"\nimport \"nave.dev/internal/testenv\"\n",
			"internal/lab/demo/a.go":   "package demo\nimport \"nave.dev/internal/lab\"\nimport \"nave.dev/internal/hub\"\n",
			"internal/testenv/a.go":    "package testenv\nimport \"nave.dev/internal/lab/controlplane\"\n",
			"kube/cmd/kube/main.go":    "package main\nimport \"nave.dev/kube/gate\"\n",
			"internal/hub/hub_test.go": "package hub\nimport \"nave.dev/internal/lab\"\n",
		},
		want: []string{"cmd/nave-lab/main.go:3", "internal/cli/a.go:2", "internal/cli/a.go:3", "internal/lab/demo/a.go:3"},
	}, {
		rule: "layers", reason: "a package without a place is reported once, where it stands",
		files: map[string]string{
			"internal/novel/a.go": "package novel\n", "internal/novel/b.go": "package novel\n",
			"internal/apply/a.go": "package apply\nimport \"nave.dev/internal/novel\"\n",
		},
		want: []string{"internal/novel"},
	}, {
		rule: "restricted-imports", reason: "the longest path that fits decides, and a path ends at a slash",
		files: map[string]string{
			"internal/health/a.go": `package health
import "github.com/argoproj/argo-cd/v3/resource_customizations"
import "github.com/argoproj/argo-cd/v3/pkg/apis"
import "github.com/argoproj/argo-cd-lookalike"
import "log/slog"`,
			"internal/hub/a.go":     "package hub\nimport \"log/slog\"\nimport \"log\"\n",
			"internal/spoke/a.go":   "package spoke\nimport \"helm.sh/helm/v4/pkg/chart\"\n",
			"internal/release/a.go": "package release\nimport \"helm.sh/helm/v4/pkg/chart\"\n",
			"kube/gate/gate.go":     "package gate\nimport \"github.com/spf13/cobra\"\n",
		},
		want: []string{"internal/health/a.go:3", "internal/health/a.go:5", "internal/hub/a.go:3", "internal/spoke/a.go:2"},
	}, {
		rule: "package-comments", reason: "one comment per package, with the usual opening; tests, directives and detached text do not count",
		files: map[string]string{
			"api/a.go":         "// Package api is here.\npackage api\n",
			"api/b.go":         "// Copyright.\n\npackage api\n",
			"api/b_test.go":    "// Testing.\npackage api_test\n",
			"cmd/nave/main.go": "// Command nave runs.\npackage main\n",
			"cmd/tool/main.go": "// Command tool-kit runs.\npackage main\n",
			"none/a.go":        "//go:generate true\npackage none\n",
			"none/a_test.go":   "// Package none is here.\npackage none\n",
			"twice/a.go":       "// Package twice is here.\npackage twice\n",
			"twice/b.go":       "// Package twice is here.\npackage twice\n",
			"wrong/a.go":       "\n// Package wronger is here.\npackage wrong\n",
			"kube/cmd/x/a.go":  "// Package main is here.\npackage main\n",
		},
		want: []string{"cmd/tool/main.go:1", "kube/cmd/x/a.go:1", "none", "twice/b.go:1", "wrong/a.go:2"},
	}, {
		rule: "exported-names", reason: "names carry their own comment; groups of values share one; methods count with their type",
		files: map[string]string{
			"a/a.go": `package a
func Bare() {}
// Says nothing.
func Other() {}
// Good is good.
func Good() {}
type T[K any] struct{ Field int }
func (*T[K]) Method() {}
type hidden int
func (hidden) Method() {}
// Letters of the alphabet.
const (
	A = 1
	B = 2
)
var (
	C = 3 // C is the third.
	D, e = 4, 5
)
type (
	// E is a type.
	E int
	F int
)
// Hidden is what G starts with.
var G int`,
			"a/a_test.go":       "package a\nfunc Helper() {}\n",
			"a/zz_generated.go": "package a\nfunc Made() {}\n",
			"a/b.pb.go":         "// Code generated by a tool. DO NOT EDIT.\n\npackage a\nfunc Also() {}\n",
		},
		want: []string{"a/a.go:2", "a/a.go:4", "a/a.go:7", "a/a.go:8", "a/a.go:18", "a/a.go:23", "a/a.go:26"},
	}, {
		rule: "sizes", reason: "the limits themselves are allowed, one line more is not; generated code does not count",
		files: map[string]string{
			"a/a.go": lines(800), "a/b.go": lines(801), "a/a_test.go": lines(1500), "a/b_test.go": lines(1501),
			"a/zz_generated.a.go": lines(5000),
			"b/a.go":              lines(800), "b/b.go": lines(800), "b/c.go": lines(800), "b/d.go": lines(600), "b/d_test.go": lines(900),
			"c/a.go": lines(800), "c/b.go": lines(800), "c/c.go": lines(800), "c/d.go": lines(601),
		},
		want: []string{"a/b.go", "a/b_test.go", "c"},
	}, {
		rule: "names", reason: "empty words are found in packages, directories and files, with or without a build suffix, but not inside other names",
		files: map[string]string{
			"internal/utils/text/a.go": "package text\n", "internal/misc/a.go": "package misc\n",
			"internal/web/http/a.go": "package http\n", "internal/x/a.go": "package errors\n",
			"internal/y/helpers_test.go": "package y_test\n", "internal/y/util_linux_test.go": "package y\n",
			"internal/y/types.go": "package y\n", "internal/database/base_layer.go": "package database\n",
		},
		want: []string{"internal/misc", "internal/utils/text", "internal/web/http", "internal/x",
			"internal/y/helpers_test.go", "internal/y/types.go", "internal/y/util_linux_test.go"},
	}, {
		rule: "uses", reason: "a mention counts, called or not, under any local name, and only where the ban holds",
		files: map[string]string{
			"internal/apply/a.go": `package apply
import ("context"; clock "time"; "fmt"; "os"; . "strings")
var root = context.Background
func f() { clock.Sleep(1); fmt.Println(context.TODO()); fmt.Fprintln(os.Stderr); os.Exit(1) }`,
			"internal/apply/a_test.go": `package apply
import ("context"; clock "time"; "os"; "testing")
func TestA(t *testing.T) {
	context.Background(); os.Exit(0)
	clock.Sleep(1)
	t.Skip()
	t.Skip("why")
	t.SkipNow()
	scanner.Skip()
}`,
			"internal/cli/a.go":     "package cli\nimport (\"fmt\"; \"os\")\nfunc f() { fmt.Println() }\nfunc g() { os.Exit(1) }\n",
			"cmd/nave/main.go":      "package main\nimport (\"context\"; \"os\"; \"fmt\")\nfunc main() { context.Background(); fmt.Print(); os.Exit(1) }\n",
			"kube/gate/gate.go":     "package gate\nimport (\"context\"; \"os\")\nfunc f() { os.Exit(1) }\nfunc g() { context.TODO() }\n",
			"kube/cmd/kube/main.go": "package main\nimport \"context\"\nfunc main() { context.Background() }\n",
		},
		want: []string{
			"internal/apply/a.go:2", "internal/apply/a.go:3", "internal/apply/a.go:4", "internal/apply/a.go:4", "internal/apply/a.go:4",
			"internal/apply/a_test.go:5", "internal/apply/a_test.go:6", "internal/apply/a_test.go:8",
			"internal/cli/a.go:4", "kube/gate/gate.go:4",
		},
	}, {
		rule: "unfinished", reason: "comments of every form count; strings, longer words and the function of that name do not",
		files: map[string]string{
			"a/a.go": `package a
//TODO: later
/* one
   FIXME(me) two */
var s = "TODO" // never context.TODO, nor nave-XXXXXX
var t = 1 // XXX`,
		},
		want: []string{"a/a.go:2", "a/a.go:4", "a/a.go:6"},
	}, {
		rule: "machine-facts", reason: "homes and this checkout are found at the start of a path, in text, and only as whole names",
		files: map[string]string{
			"Makefile":    "A = /" + "root/go\nB = x/" + "root/go\nC = $(D)/" + "home/me/go\nE = file:///" + "home/me/go\n",
			"docs/a.md":   "`/" + "Users/me/src`\n/home/\n/srv/checkouts/nave/bin\n/srv/checkouts/navel\n/srv/checkouts/nave\n",
			"picture.png": "\x00/" + "root/go",
		},
		want: []string{"Makefile:1", "Makefile:4", "docs/a.md:1", "docs/a.md:3", "docs/a.md:5"},
	}, {
		rule: "artefacts", reason: "what is built is known by its place, its first bytes or its size",
		files: map[string]string{
			"bin/nave": "#!/bin/sh\n", "cmd/bin/notes.txt": "text", "tool": "\x7fELF\x02",
			"large": strings.Repeat("x", 1<<20+1), "limit": strings.Repeat("x", 1<<20),
		},
		want: []string{"bin/nave", "large", "tool"},
	}, {
		rule: "links", reason: "links of every form count, from the document or the top; code, anchors and other sites do not",
		files: map[string]string{
			"README.md": "[a](docs/a.md#top) [b](docs) ![c](no.png \"title\") [d](https://example.org/no) [e](#here) [f](mailto:a@b)\n" +
				"`[g](no.md)` [`h`](no.md)\n```sh\n[i](no.md)\n```\n[j]: no.md\n[^k]: no.md\n<img alt=\"\" src=\"no.png\">\n",
			"docs/a.md":          "[a](../README.md) [b](/docs/a.md) [c](a%2Emd) [d](/)\n[e](/a.md)\n[f](../../other)\n[g](a.md?x) [h](:)\n",
			"docs/testdata/b.md": "[a](no.md)",
		},
		want: []string{"README.md:1", "README.md:2", "README.md:6", "README.md:8", "docs/a.md:2", "docs/a.md:3", "docs/a.md:4"},
	}}
	shown := map[string]bool{}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			i := slices.IndexFunc(rules, func(r rule) bool { return r.name == test.rule })
			if i < 0 {
				t.Fatalf("there is no rule %q", test.rule)
			}
			shown[test.rule] = true
			var got []string
			for _, v := range rules[i].check(in(t, test.files)) {
				t.Logf("%s: %s", v.at, v.text)
				got = append(got, v.at)
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s: reported places (-want +got):\n%s", test.reason, diff)
			}
		})
	}
	for _, rule := range rules {
		if !shown[rule.name] {
			t.Errorf("no test shows that rule %q fires", rule.name)
		}
	}
}

// TestTables shows that each row of the tables fires, and that rows name
// packages which the layers know: a row with a typing error would say nothing.
func TestTables(t *testing.T) {
	known := func(row, pattern string) {
		if layer, _ := place(strings.TrimSuffix(pattern, "/...")); layer == nil {
			t.Errorf("%s names %s, which is in no layer", row, pattern)
		}
	}
	for _, layer := range layers {
		for _, name := range layer.imports {
			if strings.Contains(name, "/") {
				known("layer "+layer.name, name)
			} else if !slices.ContainsFunc(layers, sameName(name)) {
				t.Errorf("layer %s names layer %s, which does not exist", layer.name, name)
			}
		}
	}
	for _, name := range testLayers {
		if !slices.ContainsFunc(layers, sameName(name)) {
			t.Errorf("testLayers names layer %s, which does not exist", name)
		}
	}
	for _, row := range restrictions {
		for _, user := range row.users {
			known("restriction "+row.path, user)
		}
		if (len(row.users) == 0) == (row.instead == "") {
			t.Errorf("restriction %s: either say who may import it, or what to do instead", row.path)
		}
		found := restrictedImports(in(t, map[string]string{"internal/nobody/a.go": "package nobody\nimport \"" + row.path + "/v9/x\"\n"}))
		if len(found) != 1 {
			t.Errorf("restriction %s: anybody may import below it", row.path)
		}
	}
	for _, b := range bans {
		for _, function := range b.functions {
			source := "package nobody\nimport \"" + b.path + "\"\nvar _ = " + path.Base(b.path) + "." + function + "\n"
			found := bannedUses(in(t, map[string]string{"internal/nobody/a.go": source, "internal/nobody/a_test.go": source}))
			if len(found) != 1 {
				t.Errorf("%s.%s: want it banned either from tests or from the rest, have %v", b.path, function, found)
			}
		}
	}
}

func sameName(name string) func(layer) bool { return func(l layer) bool { return l.name == name } }

func TestExcuse(t *testing.T) {
	exceptions := []exception{
		{rule: "uses", where: "internal/a/...", reason: "covers a tree"},
		{rule: "uses", where: "internal/b/b.go", reason: "covers a file"},
		{rule: "uses", where: "internal/c/...", reason: "covers nothing"},
		{rule: "sizes", where: "internal/d/...", reason: "is about another rule"},
	}
	found := []violation{{at: "internal/a/x/a.go:3"}, {at: "internal/b/b.go:7"}, {at: "internal/b/c.go:7"}, {at: "internal/d"}}
	var got []string
	for _, v := range excuse(rule{name: "uses"}, found, exceptions) {
		got = append(got, v.at)
	}
	if diff := cmp.Diff([]string{"internal/b/c.go:7", "internal/d", "internal/c/..."}, got); diff != "" {
		t.Errorf("places left (-want +got):\n%s", diff)
	}
}
