package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/strictyaml"
)

// loader collects what is found on the way.
type loader struct {
	fleet    *Fleet
	fsys     fs.FS
	problems strictyaml.Problems

	fleets     []*fleetDocument       // of kind Fleet
	unreadable []string               // files with content that is not understood
	nameless   []*strictyaml.Document // that state no apiVersion
	homes      map[string]bool        // directories with documents of ours
}

// fleetDocument is a document of kind Fleet.
type fleetDocument struct {
	v1alpha1.Fleet
	doc      *strictyaml.Document
	problems strictyaml.Problems
}

// Load reads the documents of a fleet repository. The Fleet is never nil and has all that is good; the problems are all
// that is wrong, sorted by place. A document with a problem is not used in part: see Apps for what becomes of its app.
func Load(fsys fs.FS) (*Fleet, strictyaml.Problems) {
	l := &loader{fsys: fsys, fleet: &Fleet{
		clusters: map[string]*cluster{}, deliveries: map[string]*delivery{}, sources: map[string]*source{},
	}, homes: map[string]bool{}}
	for _, file := range l.find() {
		l.read(file)
	}
	l.warnNameless()
	l.settleFleet()
	if len(l.unreadable) > 0 {
		l.fleet.Incomplete = errUnusable(l.unreadable)
	}
	l.checkClusters()
	l.checkDeliveries()
	l.problems.Sort()
	l.fleet.Warnings.Sort()
	return l.fleet, l.problems
}

// Places where documents are looked for.
var (
	fleetFiles  = []string{"fleet.yaml", "fleet.yml"}
	directories = []string{"clusters", "deliveries"}
)

// find returns the files that may hold documents.
func (l *loader) find() (files []string) {
	for _, root := range slices.Concat(fleetFiles, directories) {
		err := fs.WalkDir(l.fsys, root, func(name string, entry fs.DirEntry, err error) error {
			switch ext := path.Ext(name); {
			case name == root && errors.Is(err, fs.ErrNotExist):
				return fs.SkipAll
			case err != nil:
				l.unread(name, "cannot be read: %v", err)
				if entry != nil && entry.IsDir() {
					return fs.SkipDir
				}
			case entry.Name() == ".git": // of one that is checked out
				l.unread(path.Dir(name), "is a submodule, which is not followed here")
				if entry.IsDir() {
					return fs.SkipDir
				}
			case strings.HasPrefix(entry.Name(), "."):
				if entry.IsDir() {
					return fs.SkipDir
				}
			case entry.Type()&fs.ModeIrregular != 0:
				l.unread(name, "is a submodule, which is not followed here")
			case entry.IsDir():
				if slices.Contains(fleetFiles, root) {
					l.unread(name, "is a directory")
					return fs.SkipDir
				}
			case entry.Type()&fs.ModeSymlink != 0 && l.leadsToDirectory(name):
				l.unread(name, "is a symbolic link to a directory, which is not followed here")
			case slices.Contains(directories, root) && name == root:
				l.unread(name, "is not a directory")
			case ext == ".yaml" || ext == ".yml":
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			l.unread(root, "cannot be read: %v", err)
		}
	}
	return files
}

func (l *loader) leadsToDirectory(name string) bool {
	info, err := fs.Stat(l.fsys, name)
	return err == nil && info.IsDir()
}

// unread reports a file whose content is not known.
func (l *loader) unread(file, format string, args ...any) {
	l.unreadable = append(l.unreadable, file)
	l.problems = append(l.problems, strictyaml.Problem{File: file, Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)})
}

// read takes in all documents of a file.
func (l *loader) read(file string) {
	data, err := fs.ReadFile(l.fsys, file)
	if err != nil {
		l.unread(file, "cannot be read: %v", err)
		return
	}
	docs, problems := strictyaml.Split(file, data)
	if len(problems) > 0 {
		l.unreadable = append(l.unreadable, file)
		l.problems = append(l.problems, problems...)
	}
	for _, doc := range docs {
		l.take(doc)
	}
}

var kinds = []string{v1alpha1.FleetKind, v1alpha1.ClusterKind, v1alpha1.DeliveryKind}

// take takes in one document, if it is one of nave.dev or was meant to be.
func (l *loader) take(doc *strictyaml.Document) {
	apiVersion, _ := doc.Text("apiVersion")
	kind, _ := doc.Text("kind")
	group, _, _ := strings.Cut(apiVersion, "/")
	ours := slices.Contains(kinds, kind)
	if group == v1alpha1.Group {
		l.homes[path.Dir(doc.File)] = true
	}
	switch {
	case apiVersion == v1alpha1.APIVersion && ours:
		l.decode(doc, kind)
	case apiVersion == v1alpha1.APIVersion:
		hint := "known kinds: " + strings.Join(kinds, ", ")
		if near := strictyaml.Nearest(kind, kinds); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		l.refuse(doc, "kind", hint, "%s has no kind %q", v1alpha1.APIVersion, kind)
	case group == v1alpha1.Group:
		l.refuse(doc, "apiVersion", "write apiVersion: "+v1alpha1.APIVersion, "%q is not known", apiVersion)
	case ours && apiVersion == "":
		l.refuse(doc, "apiVersion", "write apiVersion: "+v1alpha1.APIVersion, "is missing from a document of kind %s", kind)
	case ours && strictyaml.Nearest(group, []string{v1alpha1.Group}) != "":
		l.refuse(doc, "apiVersion", "did you mean "+v1alpha1.APIVersion+"?", "%q is not known", apiVersion)
	case apiVersion == "":
		l.nameless = append(l.nameless, doc)
	}
}

// kustomizations are the files that may state no apiVersion and have a meaning all the same.
var kustomizations = []string{"kustomization.yaml", "kustomization.yml"}

// warnNameless warns of documents without apiVersion that may have been meant as ours: their kind is nearly one of
// ours, or they stand beside documents of ours.
func (l *loader) warnNameless() {
	for _, doc := range l.nameless {
		kind, _ := doc.Text("kind")
		near := strictyaml.Nearest(kind, kinds)
		if near == "" && (!l.homes[path.Dir(doc.File)] || slices.Contains(kustomizations, path.Base(doc.File))) {
			continue
		}
		hint := "write apiVersion: " + v1alpha1.APIVersion
		if near != "" {
			hint += fmt.Sprintf(", and kind: %s if that is meant", near)
		} else {
			hint += " and a kind, or keep what is of other tools in another directory"
		}
		l.fleet.Warnings = append(l.fleet.Warnings, doc.Problem("", "states no apiVersion, and is not read").WithHint("%s", hint))
	}
}

// refuse reports a document that cannot be used, nor its name relied on.
func (l *loader) refuse(doc *strictyaml.Document, field, hint, format string, args ...any) {
	l.unreadable = append(l.unreadable, doc.File)
	l.problems = append(l.problems, doc.Problem(field, format, args...).WithHint("%s", hint))
}

// decode takes in a document of a known kind.
func (l *loader) decode(doc *strictyaml.Document, kind string) {
	switch kind {
	case v1alpha1.FleetKind:
		d := &fleetDocument{doc: doc}
		d.problems = l.check(doc, &d.Fleet)
		l.fleets = append(l.fleets, d)
	case v1alpha1.ClusterKind:
		c := &cluster{doc: doc}
		c.problems = l.check(doc, &c.Cluster)
		l.addCluster(c)
	case v1alpha1.DeliveryKind:
		d := &delivery{doc: doc}
		d.problems = l.check(doc, &d.Delivery)
		d.anywhere = touches(d.problems, "spec.clusters")
		l.addDelivery(d)
	}
}

// check decodes and validates a document by itself.
func (l *loader) check(doc *strictyaml.Document, into interface{ Validate() []v1alpha1.Finding }) strictyaml.Problems {
	problems := doc.Decode(into)
	var found strictyaml.Problems
	for _, f := range into.Validate() {
		found = append(found, problem(doc, f))
	}
	problems = problems.With(found)
	l.problems = append(l.problems, problems...)
	return problems
}

func (l *loader) addCluster(c *cluster) {
	name := c.Metadata.Name
	if touches(c.problems, "metadata.name") {
		l.unreadable = append(l.unreadable, c.doc.File)
		return
	}
	if first, taken := l.fleet.clusters[name]; taken {
		first.problems = append(first.problems, l.twice(c.doc, first.doc, v1alpha1.ClusterKind, name))
		return
	}
	l.fleet.clusters[name] = c
}

func (l *loader) addDelivery(d *delivery) {
	name := d.Metadata.Name
	if touches(d.problems, "metadata.name") {
		l.unreadable = append(l.unreadable, d.doc.File)
		return
	}
	if first, taken := l.fleet.deliveries[name]; taken {
		first.problems = append(first.problems, l.twice(d.doc, first.doc, v1alpha1.DeliveryKind, name))
		first.anywhere = true // it may be on the clusters of either
		return
	}
	l.fleet.deliveries[name] = d
}

// twice reports that a name is taken, and returns the problem, since there is no telling which of the two is meant.
func (l *loader) twice(doc, first *strictyaml.Document, kind, name string) strictyaml.Problem {
	p := doc.Problem("metadata.name", "%s %q is at %s already", kind, name, place(first, "metadata.name")).
		WithHint("neither of the two is used: remove or rename one")
	l.problems = append(l.problems, p)
	return p
}

// settleFleet finds the one Fleet and what of it can be used.
func (l *loader) settleFleet() {
	if len(l.fleets) == 0 {
		if len(l.unreadable) == 0 { // or else it may be in one of those
			l.problems = append(l.problems, strictyaml.Problem{
				File: fleetFiles[0], Line: 1, Column: 1, Message: "there is no document of kind Fleet",
				Hint: "write one in " + fleetFiles[0] + ": it names the fleet",
			})
		}
		l.unreadable = append(l.unreadable, fleetFiles[0])
		return
	}
	f := l.fleets[0]
	for _, other := range l.fleets[1:] {
		p := other.doc.Problem("", "there is a Fleet at %s already", place(f.doc, "")).
			WithHint("a repository has one fleet: remove one of them")
		f.problems = append(f.problems, p)
		l.problems = append(l.problems, p)
	}
	f.Default()
	broken := map[int]bool{}
	usable := true
	for _, p := range f.problems {
		if i, inSource := sourceOf(p.Field, len(f.Spec.Sources)); inSource {
			broken[i] = true
		} else {
			usable = false
		}
	}
	for i, s := range f.Spec.Sources {
		if at := fmt.Sprintf("spec.sources[%d].verify", i); !l.signersExist(f.doc, at, s.Verify) {
			broken[i] = true
		}
		if s.Name == "" {
			continue
		}
		if known := l.fleet.sources[s.Name]; known != nil {
			known.broken = true
			continue
		}
		l.fleet.sources[s.Name] = &source{Source: s, broken: broken[i]}
	}
	usable = l.signersExist(f.doc, "spec.verify", f.Spec.Verify) && usable
	if !usable {
		l.unreadable = append(l.unreadable, f.doc.File)
		return
	}
	for _, s := range f.Spec.Sources {
		if known := l.fleet.sources[s.Name]; known != nil && !known.broken {
			l.fleet.Sources = append(l.fleet.Sources, s)
		}
	}
	l.fleet.usable = true
	l.fleet.Name = f.Metadata.Name
	l.fleet.Verify = f.Spec.Verify
	l.fleet.URLs = f.Spec.URLs
	l.fleet.Access = f.Spec.Access
	l.fleet.defaultDialect = f.Spec.Defaults.Dialect
	l.fleet.Interval = f.Spec.Defaults.Interval.Duration
	for _, d := range l.fleet.deliveries {
		d.Default(f.Spec.Defaults)
	}
}

// sourceOf returns the place in the list of sources of the one that a field belongs to.
func sourceOf(field string, sources int) (int, bool) {
	for i := range sources {
		if below(field, fmt.Sprintf("spec.sources[%d]", i)) {
			return i, true
		}
	}
	return 0, false
}

// signersExist reports whether the files of those who may sign are in the repository, if any is wanted.
func (l *loader) signersExist(doc *strictyaml.Document, at string, v *v1alpha1.Verification) bool {
	if v == nil {
		return true
	}
	all := true
	for field, file := range map[string]string{".allowedSignersFile": v.AllowedSignersFile, ".keyringFile": v.KeyringFile, ".cosignKeysFile": v.CosignKeysFile} {
		if file == "" || !fs.ValidPath(file) {
			continue // what is no path has been reported
		}
		if info, err := fs.Stat(l.fsys, file); err == nil && info.Mode().IsRegular() {
			continue
		}
		all = false
		l.problems = append(l.problems, doc.Problem(at+field, "there is no file %q in this repository", file).
			WithHint("nothing can be verified without the keys of those who may sign"))
	}
	return all
}
