// Package lookup answers what a dialect asks while it reads objects, and notes the
// answers: what was read is good as long as they are the same. It decides nothing.
package lookup

import (
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/gitsource/submodule"
	"nave.dev/internal/object"
)

// Repository is one at a revision, as objects name them.
type Repository struct{ URL, Revision string }

// Answers are what was asked, and what the answers were.
type Answers struct {
	Opened  map[Repository]app.Source
	Parents map[string]string // of apps, by name
	Owned   map[Repository]bool
	Found   map[Place]string // digests of objects, empty for none
}

// Place is where an object may be.
type Place struct {
	Cluster string
	ID      object.ID
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
	// Source is the Delivery's own.
	Source app.Source
	// Look returns an object of an app of a cluster, or nil; nil finds nothing.
	Look func(Place) *unstructured.Unstructured

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

// Own reports whether a repository at a revision is the Delivery's own source. What
// cannot be resolved is none.
func (b *Book) Own(url, revision string) bool {
	at := Repository{url, revision}
	if b.answers.Owned == nil {
		b.answers.Owned = map[Repository]bool{}
	}
	b.answers.Owned[at] = b.own(at)
	return b.answers.Owned[at]
}

func (b *Book) own(at Repository) bool {
	source, err := b.Resolve(at)
	return err == nil && source.Repository == b.Source.Repository && source.Commit == b.Source.Commit && source.Chart == ""
}

// Find returns an object that an app of a cluster has, or nil.
func (b *Book) Find(cluster string, id object.ID) *unstructured.Unstructured {
	at := Place{cluster, id}
	if b.answers.Found == nil {
		b.answers.Found = map[Place]string{}
	}
	found, digest := b.find(at)
	b.answers.Found[at] = digest
	return found
}

func (b *Book) find(at Place) (*unstructured.Unstructured, string) {
	if b.Look == nil {
		return nil, ""
	}
	found := b.Look(at)
	if found == nil {
		return nil, ""
	}
	data, err := object.Canonical(found)
	if err != nil {
		return nil, "" // rendering has refused it
	}
	return found, object.Digest(data)
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
	for at, was := range before.Owned {
		if b.own(at) != was {
			return false
		}
	}
	for at, was := range before.Found {
		if _, now := b.find(at); now != was {
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
