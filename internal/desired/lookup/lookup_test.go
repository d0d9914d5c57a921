package lookup

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
)

func TestBook(t *testing.T) {
	const worktree = "worktree"
	commit, parent := "one", "root"
	var away error
	book := func() *Book {
		return &Book{
			Resolve: func(r Repository) (app.Source, error) { return app.Source{Repository: r.URL, Commit: commit}, away },
			Files:   func(app.Source) (fs.FS, error) { return fstest.MapFS{}, nil },
			Asked:   func(string) string { return parent },
		}
	}
	b := book()
	if _, err := b.Open("git", "main"); err != nil || b.Parent("web") != "root" {
		t.Fatal(err)
	}
	answers, whole := b.Answers()
	if !whole || !book().Same(answers, worktree) {
		t.Errorf("%v are whole: %t, and not the same", answers, whole)
	}
	for reason, change := range map[string]func(){
		"another commit":                func() { commit = "two" },
		"a commit that may hold others": func() { commit = worktree },
		"another parent":                func() { parent = "more" },
		"a repository that is away":     func() { away = errors.New("away") },
	} {
		commit, parent, away = "one", "root", nil
		change()
		if commit == worktree {
			answers.Opened = map[Repository]app.Source{{"git", "main"}: {Repository: "git", Commit: worktree}}
		}
		if book().Same(answers, worktree) {
			t.Errorf("%s: the answers are taken for the same", reason)
		}
		answers, _ = b.Answers()
	}
	away = errors.New("away")
	b = book()
	if _, err := b.Open("git", "main"); !errors.Is(err, away) {
		t.Error(err)
	}
	if _, whole := b.Answers(); whole {
		t.Error("without a repository the answers are whole")
	}
	if !book().Same(Answers{}, worktree) {
		t.Error("where nothing was asked something is another")
	}
}
