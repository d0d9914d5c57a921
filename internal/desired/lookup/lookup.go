// Package lookup answers what a dialect asks while it reads objects, and notes the
// answers: what was read is good as long as they are the same. It decides nothing.
package lookup

import (
	"io/fs"

	"nave.dev/internal/app"
	"nave.dev/internal/gitsource/submodule"
)

// Repository is one at a revision, as objects name them.
type Repository struct{ URL, Revision string }

// Answers are what was asked, and what the answers were.
type Answers struct {
	Opened  map[Repository]app.Source
	Parents map[string]string // of apps, by name
}

// Book answers by its functions. It is not safe for concurrent use.
type Book struct {
	// Resolve returns the source of the fleet that a repository stands for now.
	Resolve func(Repository) (app.Source, error)
	// Files returns those of a source.
	Files func(app.Source) (fs.FS, error)
	// Asked returns the app whose objects asked for one before; empty if that is not
	// known.
	Asked func(name string) string

	answers Answers
	failed  bool
}

// Open returns the files of a repository at a revision, with those of its submodules: each is another repository, at the
// revision that is the commit of it, and part of the answers once something of it is read.
func (b *Book) Open(url, revision string) (fs.FS, error) {
	files, err := b.open(url, revision)
	if err != nil {
		return nil, err
	}
	return submodule.Show(files, []string{url}, func(urls []string, commit string) (fs.FS, error) {
		return b.open(urls[0], commit) // relative to one, it is one
	}), nil
}

func (b *Book) open(url, revision string) (fs.FS, error) {
	at := Repository{url, revision}
	source, err := b.Resolve(at)
	if err != nil {
		b.failed = true
		return nil, err
	}
	if b.answers.Opened == nil {
		b.answers.Opened = map[Repository]app.Source{}
	}
	b.answers.Opened[at] = source
	files, err := b.Files(source)
	b.failed = b.failed || err != nil
	return files, err
}

// Parent returns the app whose objects asked for one before; empty if that is not
// known.
func (b *Book) Parent(name string) string {
	if b.answers.Parents == nil {
		b.answers.Parents = map[string]string{}
	}
	b.answers.Parents[name] = b.Asked(name)
	return b.answers.Parents[name]
}

// Answers returns what was asked so far. They are not whole if a repository could
// not be opened, which may be otherwise the next time.
func (b *Book) Answers() (answers Answers, whole bool) { return b.answers, !b.failed }

// Same reports whether the answers would be the same now. The files of a source at
// the commit changing are never known to be.
func (b *Book) Same(before Answers, changing string) bool {
	for at, was := range before.Opened {
		if now, err := b.Resolve(at); err != nil || now != was || now.Commit == changing {
			return false
		}
	}
	for name, was := range before.Parents {
		if b.Asked(name) != was {
			return false
		}
	}
	return true
}
