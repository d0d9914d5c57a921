package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"

	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// loaded is a chart with the places of its files.
type loaded struct {
	*chart.Chart
	dir   string
	files []*archive.BufferedFile
	// origins says for a directory of the chart that comes from elsewhere in the tree, such as charts/common/, which
	// directory of the tree it is.
	origins map[string]string
	// refused are dependencies that cannot be had, which matters only if they turn out to be enabled.
	refused map[requirement]manifest.Problem
	drawn   int // charts from elsewhere
}

// load reads a chart's directory, as Helm would from a disk, and the dependencies that stand elsewhere, in the
// repository (repository: file://…) or in a chart repository, as if they were in charts/.
func load(t tree.Tree, dir string) (*loaded, error) {
	l := &loaded{dir: dir, origins: map[string]string{"": dir}, refused: map[requirement]manifest.Problem{}}
	if err := l.gather(t, dir, ""); err != nil {
		return nil, err
	}
	for i := 0; i < len(l.files); i++ { // grows while dependencies are added
		if err := l.draw(t, l.files[i]); err != nil {
			return nil, err
		}
	}
	for _, f := range l.files {
		if path.Base(f.Name) == "values.yaml" && chartFile.MatchString(strings.TrimSuffix(f.Name, "values.yaml")+"Chart.yaml") {
			if _, err := loadValues(l.place(f.Name), f.Data); err != nil {
				return nil, err
			}
		}
	}
	c, err := loader.LoadFiles(cloneFiles(l.files))
	if err != nil {
		return nil, l.problem(err)
	}
	l.Chart = c
	return l, nil
}

// cloneFiles copies the list, because the loader renames the files of subcharts.
func cloneFiles(files []*archive.BufferedFile) []*archive.BufferedFile {
	clones := make([]*archive.BufferedFile, len(files))
	for i, f := range files {
		clone := *f
		clones[i] = &clone
	}
	return clones
}

// gather adds the files below a directory under a prefix, without those that its .helmignore excludes.
func (l *loaded) gather(t tree.Tree, dir, prefix string) error {
	rules := ignore.Empty()
	data, err := t.ReadFile(path.Join(dir, ignore.HelmIgnore))
	if err == nil {
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return manifest.Problem{File: path.Join(dir, ignore.HelmIgnore), Message: err.Error()}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading %q: %w", path.Join(dir, ignore.HelmIgnore), err)
	}
	rules.AddDefaults()
	return l.gatherBelow(t, place{dir: dir, prefix: prefix, rules: rules})
}

// place is a directory of a chart while it is gathered.
type place struct {
	dir, prefix string // of the whole chart: in the tree, and in the chart that draws it in
	below       string // the directory at hand, relative to dir
	rules       *ignore.Rules
	links       int // that led here
}

// maxLinks is how many links to directories may lead through each other. More lead in a circle.
const maxLinks = 3

func (l *loaded) gatherBelow(t tree.Tree, at place) error {
	entries, err := t.List(path.Join(at.dir, at.below))
	if err != nil {
		return fmt.Errorf("listing %q: %w", path.Join(at.dir, at.below), err)
	}
	for _, entry := range entries {
		name := path.Join(at.below, entry.Name)
		file := path.Join(at.dir, name)
		if at.rules.Ignore(name, info{entry}) {
			continue
		}
		if entry.Dir {
			next := at
			next.below = name
			if entry.Link {
				if next.links++; next.links > maxLinks {
					return manifest.Problem{File: file, Message: "links to directories lead through each other, or in a circle"}
				}
			}
			if err := l.gatherBelow(t, next); err != nil {
				return err
			}
			continue
		}
		data, err := t.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading %q: %w", file, err)
		}
		l.files = append(l.files, &archive.BufferedFile{Name: at.prefix + name, Data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))})
	}
	return nil
}

// place returns the path in the tree of a file of the chart.
func (l *loaded) place(name string) string {
	for prefix := name; ; {
		if dir, ok := l.origins[prefix]; ok {
			return path.Join(dir, strings.TrimPrefix(name, prefix))
		}
		cut := strings.LastIndexByte(strings.TrimSuffix(prefix, "/"), '/')
		prefix = prefix[:cut+1]
	}
}

// info shows an entry of the tree to the rules of .helmignore.
type info struct{ entry tree.Entry }

func (i info) Name() string     { return i.entry.Name }
func (info) Size() int64        { return 0 }
func (info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool      { return i.entry.Dir }
func (info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.entry.Dir {
		return fs.ModeDir
	}
	return 0
}
