package argocd_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/argocd"
	"nave.dev/internal/dialect/dialecttest"
)

// TestStories plays the stories, in which repositories are in repos/NAME/, with the URL NAME.
func TestStories(t *testing.T) {
	dialecttest.Stories{
		Request: asking.Request{Delivery: "root", Path: "argocd", Files: repositories{}},
		Take: func(t *testing.T, request *asking.Request, name []string, data []byte) {
			if name[0] != "repos" || len(name) < 3 {
				t.Fatalf("a story has no file %q", name)
			}
			repos := repositories{}
			if had, ok := request.Files.(repositories); ok {
				maps.Copy(repos, had) // the request of all stories stays as it is
			}
			files := fstest.MapFS{name[2]: &fstest.MapFile{Data: data}}
			maps.Copy(files, repos[name[1]])
			repos[name[1]] = files
			request.Files = repos
		},
		Read:  argocd.Dialect{}.Read,
		Child: printChild,
	}.Play(t)
}

// repositories are those of a story.
type repositories map[string]fstest.MapFS

func (r repositories) Open(repository, _ string) (fs.FS, error) {
	if files, ok := r[repository]; ok {
		return files, nil
	}
	return nil, errors.New("it is not there yet")
}

func printChild(to io.Writer, child app.Child) {
	for _, origin := range child.Origins {
		printOrigin(to, "from", origin)
	}
	for _, name := range slices.Sorted(maps.Keys(child.Refs)) {
		printOrigin(to, "with $"+name, child.Refs[name])
	}
}

func printOrigin(to io.Writer, word string, origin app.Origin) {
	at := origin.Path
	if origin.Chart != "" {
		at = "chart " + origin.Chart
	}
	_, _ = fmt.Fprintf(to, "  %s %s at %q: %s\n", word, origin.Repository, origin.TagPrefix+origin.Revision, at)
	if rendered := dialecttest.JSON(origin.Render); rendered != "{}" {
		_, _ = fmt.Fprintf(to, "    %s\n", rendered)
	}
	if origin.Environment != nil {
		_, _ = fmt.Fprintf(to, "    environment %s\n", dialecttest.JSON(origin.Environment))
		_, _ = fmt.Fprintf(to, "    filled %s\n", dialecttest.JSON(argocd.Fill(origin, "0123456789abcdef")))
	}
}
