package kustomization

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseReference(t *testing.T) {
	hub := "https://github.com/example/base"
	for text, want := range map[string]reference{
		hub:                                                {repository: hub, path: "."},
		hub + "?ref=v1.2":                                  {repository: hub, path: ".", ref: "v1.2"},
		hub + "//deploy/prod?ref=v1.2":                     {repository: hub, path: "deploy/prod", ref: "v1.2"},
		hub + "/deploy/prod?version=v1.2":                  {repository: hub, path: "deploy/prod", ref: "v1.2"},
		hub + "?version=v1&ref=v2":                         {repository: hub, path: ".", ref: "v2"},
		hub + ".git/deploy?ref=feature/x":                  {repository: hub + ".git", path: "deploy", ref: "feature/x"},
		hub + ".git":                                       {repository: hub + ".git", path: "."},
		"github.com/example/base/deploy":                   {repository: hub, path: "deploy"},
		"GitHub.com/example/base//deploy/":                 {repository: hub, path: "deploy"},
		"git::" + hub + "//deploy":                         {repository: hub, path: "deploy"},
		hub + "?timeout=2m&submodules=false":               {repository: hub, path: "."},
		"https://github.com/example/base.github.io/deploy": {repository: "https://github.com/example/base.github.io", path: "deploy"},
		hub + "//deploy/app.yaml":                          {repository: hub, path: "deploy/app.yaml"}, // perhaps a directory
		"git@github.com:example/base/deploy":               {repository: "git@github.com:example/base", path: "deploy"},
		"ssh://git@github.com/example/base//deploy":        {repository: "git@github.com:example/base", path: "deploy"},
		"git@git.example.com:team/base.git//deploy?ref=v1": {repository: "git@git.example.com:team/base.git", path: "deploy", ref: "v1"},
		"ssh://git@git.example.com:2222/team/base//deploy": {repository: "ssh://git@git.example.com:2222/team/base", path: "deploy"},
		"https://git.example.com/group/sub/base//deploy":   {repository: "https://git.example.com/group/sub/base", path: "deploy"},
		"https://dev.azure.com/org/project/_git/base/a/b":  {repository: "https://dev.azure.com/org/project/_git/base", path: "a/b"},
		"https://token@git.example.com/team/base/deploy":   {repository: "https://git.example.com/team/base", path: "deploy"},
		"ssh://git:secret@git.example.com/team/base//a":    {repository: "ssh://git@git.example.com/team/base", path: "a"},
		hub + "?ref=--upload-pack=x":                       {repository: hub, path: ".", ref: "--upload-pack=x"}, // looked up among refs, never an argument
		"file:///srv/git/base":                             {repository: "file:///srv/git/base", path: "."},
		"file:///srv/git/base.git//deploy?ref=main":        {repository: "file:///srv/git/base.git", path: "deploy", ref: "main"},
	} {
		got, err := parseReference(text)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(reference{})); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for text, want := range map[string]error{
		"https://example.com/install.yaml":                            errFileURL,
		"https://raw.githubusercontent.com/example/base/main/a.yml":   errFileURL,
		"https://github.com/example/base/releases/download/v1/a.yaml": errFileURL,
		"https://github.com/example":                                  errNoReference,
		"gh:example/base":                                             errNoReference,
		"ftp://example.com/a/b":                                       errNoReference,
		hub + "//../../etc":                                           errOutside,
		hub + "?ref=%zz":                                              errQuery,
		hub + "?ref=a%0Ab":                                            errNoReference,
		hub + "?ref=" + strings.Repeat("a", maxReference):             errLong,
	} {
		if _, err := parseReference(text); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", text, err, want)
		}
	}
}

// Whatever a reference says, the path stays within the repository and neither part can be taken for the other.
func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"https://github.com/a/b//c/../..?ref=v1", "git@h:a/b.git/../..", "file:///a//..", "github.com/a/b?ref=%0a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReference(text)
		if err != nil {
			return
		}
		if r.repository == "" || r.path == ".." || strings.HasPrefix(r.path, "../") || strings.HasPrefix(r.path, "/") {
			t.Errorf("%q leads to %+v", text, r)
		}
		if strings.ContainsAny(r.repository+r.ref, "\n\r") {
			t.Errorf("%q has a line break: %+v", text, r)
		}
	})
}
