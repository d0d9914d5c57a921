package kustomization

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"

	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// walker goes through every kustomization that a build would load, before the build, and checks each reference.
// Kustomize itself fetches what looks remote and says little about where a bad reference stands.
type walker struct {
	tree     tree.Tree
	problems manifest.Problems
	visited  map[visit]bool
	stack    []string // directories on the way to the one at hand
	// manifests are the files that resources name, to find out where a failed build went wrong.
	manifests []string
	overflown bool // maxVisits was reported
	// customSchema says that a kustomization sets Kustomize's process-wide OpenAPI schema.
	customSchema bool
	remotes      remotes
	// editor has what is added to the first kustomization; nil if nothing is.
	editor *editor
	// made is the first kustomization, where there is no file of it.
	made *yaml.Node
	// flux lets the first kustomization be without resources.
	flux bool
}

// visit is a directory in one of its two roles: as a base, or as one whose objects configure plug-ins.
type visit struct {
	dir     string
	configs bool
}

const (
	// maxDepth is how deep bases may stand in bases.
	maxDepth = 50
	// maxVisits is how many directories one build may consist of. Links that lead in a circle make a few into
	// countless ones.
	maxVisits = 5000
)

const (
	hintRemote = "copy it into the repository; what a render may read is pinned by the commit"
	hintTree   = "a render reads only the commit that it is of; move the file into the repository"
)

// find returns the path of the kustomization file in a directory, or "" if there is none.
func find(t tree.Tree, dir string) (string, error) {
	found := ""
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		kind, err := t.Stat(path.Join(dir, name))
		if err != nil {
			return "", err
		}
		if kind != tree.File {
			continue
		}
		if found != "" {
			return "", manifest.Problem{File: path.Join(dir, name), Message: fmt.Sprintf("there is %s as well", found), Hint: "keep one of them"}
		}
		found = path.Join(dir, name)
	}
	return found, nil
}

func (w *walker) fail(file string, node *yaml.Node, hint, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if w.editor != nil && w.editor.added[node] {
		message = "with the app's options " + message
	}
	w.problems = append(w.problems, manifest.Problem{File: file, Line: node.Line, Message: message, Hint: hint})
}

// directory walks the kustomization in a directory; at is the reference that led there.
func (w *walker) directory(dir string, configs bool, file string, at *yaml.Node) {
	if slices.Contains(w.stack, dir) {
		w.fail(file, at, "", "leads in a circle: %s", strings.Join(append(w.stack, dir), " -> "))
		return
	}
	if len(w.stack) == maxDepth {
		w.fail(file, at, "", "bases stand more than %d deep in bases", maxDepth)
		return
	}
	if w.visited[visit{dir, configs}] {
		return
	}
	if len(w.visited) >= maxVisits {
		if !w.overflown {
			w.fail(file, at, "look for links that lead in a circle", "the build consists of more than %d directories", maxVisits)
		}
		w.overflown = true
		return
	}
	w.visited[visit{dir, configs}] = true
	if w.made != nil && len(w.stack) == 0 {
		w.enter(dir, made(dir), configs, w.made)
		return
	}
	name, err := find(w.tree, dir)
	if err == nil && name == "" {
		w.fail(file, at, "", "%q has no kustomization file", dir)
		return
	}
	if err != nil {
		w.failWith(file, at, err)
		return
	}
	data, err := w.tree.ReadFile(name)
	if err != nil {
		w.failWith(name, &yaml.Node{}, err)
		return
	}
	root, problem := parse(name, data)
	edited := w.editor != nil && len(w.stack) == 0
	if problem != nil && edited && problem.Message == isEmpty {
		root, problem = &yaml.Node{Kind: yaml.MappingNode}, nil // options may be all that there is
	}
	if problem != nil {
		w.problems = append(w.problems, *problem)
		return
	}
	w.enter(dir, name, configs, root)
}

// enter walks what a kustomization file says, with the options that are added to the
// first one.
func (w *walker) enter(dir, name string, configs bool, root *yaml.Node) {
	if w.editor != nil && len(w.stack) == 0 {
		var err error
		w.editor.dir, w.editor.file = dir, name
		if root, err = w.editor.edit(root); err != nil {
			w.failWith(name, &yaml.Node{}, err)
			return
		}
		w.remotes.edited = name
	}
	if w.flux && len(w.stack) == 0 && w.withoutResources(root) {
		root = expand(root)
		list := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "originAnnotations"}}}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "buildMetadata"}, list)
		w.remotes.edited = name
	}
	w.stack = append(w.stack, dir)
	w.remotes.visit(name, root)
	w.kustomization(scope{dir: dir, file: name, configs: configs}, root)
	w.stack = w.stack[:len(w.stack)-1]
}

// withoutResources reports whether a kustomization lists none, and says nothing of
// what Flux then sets so that Kustomize builds it all the same.
func (w *walker) withoutResources(root *yaml.Node) bool {
	without := true
	fields(root, func(key string, value *yaml.Node) {
		switch key {
		case "resources", "bases":
			each(value, func(*yaml.Node) { without = false })
		case "buildmetadata":
			without = false
		}
	})
	return without
}

// failWith reports an error that may be a problem already.
func (w *walker) failWith(file string, at *yaml.Node, err error) {
	var problem manifest.Problem
	if errors.As(err, &problem) {
		w.problems = append(w.problems, problem)
		return
	}
	w.fail(file, at, "", "%v", err)
}

// scope is where a reference stands.
type scope struct {
	dir, file string
	configs   bool // what is referred to configures plug-ins
}

// kustomization checks the references of one file.
func (w *walker) kustomization(s scope, root *yaml.Node) {
	fields(root, func(key string, value *yaml.Node) {
		switch key {
		case "resources", "bases", "components":
			each(value, func(n *yaml.Node) { w.base(s, n) })
		case "crds", "configurations":
			each(value, func(n *yaml.Node) { w.file(scope{dir: s.dir, file: s.file}, n) })
		case "generators", "transformers", "validators":
			each(value, func(n *yaml.Node) { w.plugin(s, n) })
		case "patchesstrategicmerge":
			each(value, func(n *yaml.Node) { w.fileOrInline(s, n) })
		case "patches", "patchesjson6902", "replacements":
			each(value, func(item *yaml.Node) {
				fields(item, func(key string, value *yaml.Node) {
					switch {
					case key == "path":
						w.file(s, value)
					case key == "patch" && s.configs:
						w.config(s, []byte(value.Value), value.Line)
					}
				})
			})
		case "openapi":
			w.customSchema = true
			fields(value, func(key string, value *yaml.Node) {
				if key == "path" {
					w.file(scope{dir: s.dir, file: s.file}, value)
				}
			})
		case "configmapgenerator", "secretgenerator":
			each(value, func(item *yaml.Node) { w.generator(s, item, key == "secretgenerator") })
		case "helmcharts", "helmchartinflationgenerator":
			w.fail(s.file, value, "deliver the chart as an app of its own, with kind helm", "Kustomize inflates Helm charts by running the helm command, which a render may not")
		}
	})
}

// local resolves a reference to a path of the tree; what leads elsewhere is reported.
func (w *walker) local(s scope, ref *yaml.Node) (string, tree.Kind, bool) {
	switch {
	case ref.Kind != yaml.ScalarNode || ref.Value == "":
		w.fail(s.file, ref, "", "want the path of a file or directory")
	case isRemote(ref.Value):
		w.fail(s.file, ref, hintRemote, "refers to %q, which is not in the repository", shown(ref.Value))
	case path.IsAbs(ref.Value):
		w.fail(s.file, ref, hintTree, "refers to %q by an absolute path", ref.Value)
	default:
		name := path.Join(s.dir, ref.Value)
		if !tree.Within(tree.RemoteRoot(s.dir), name) {
			w.fail(s.file, ref, hintTree, "refers to %q, which is outside of the repository", ref.Value)
			break
		}
		kind, err := w.tree.Stat(name)
		if err != nil {
			w.fail(s.file, ref, "", "refers to %q: %v", ref.Value, err)
			break
		}
		if kind == tree.Absent {
			w.fail(s.file, ref, "", "refers to %q, and there is no %q", ref.Value, name)
			break
		}
		w.remotes.approve(name)
		return name, kind, true
	}
	return "", "", false
}

// base checks a reference to a file or a directory with a kustomization, or to a Git repository.
func (w *walker) base(s scope, ref *yaml.Node) {
	if ref.Kind == yaml.ScalarNode && isRemote(ref.Value) && !s.configs {
		w.repository(s, ref)
		return
	}
	name, kind, ok := w.local(s, ref)
	switch {
	case !ok:
	case kind == tree.Directory:
		w.directory(name, s.configs, s.file, ref)
	case s.configs:
		w.configFile(s, name, ref)
	default:
		w.manifests = append(w.manifests, name)
	}
}

// file checks a reference to a file.
func (w *walker) file(s scope, ref *yaml.Node) {
	name, kind, ok := w.local(s, ref)
	switch {
	case !ok:
	case kind == tree.Directory:
		w.fail(s.file, ref, "", "refers to %q, which is a directory", ref.Value)
	case s.configs:
		w.configFile(s, name, ref)
	}
}

// fileOrInline checks an entry that is a path, or YAML in place.
func (w *walker) fileOrInline(s scope, ref *yaml.Node) {
	if !inline(ref.Value) {
		w.file(s, ref)
	} else if s.configs {
		w.config(s, []byte(ref.Value), ref.Line)
	}
}

// plugin checks an entry of generators, transformers or validators: a file, a directory, or YAML in place. The
// configuration of a built-in plug-in can refer to files itself.
func (w *walker) plugin(s scope, ref *yaml.Node) {
	s.configs = true
	if inline(ref.Value) {
		w.config(s, []byte(ref.Value), ref.Line)
		return
	}
	w.base(s, ref)
}

func (w *walker) configFile(s scope, name string, ref *yaml.Node) {
	data, err := w.tree.ReadFile(name)
	if err != nil {
		w.fail(s.file, ref, "", "refers to %q: %v", ref.Value, err)
		return
	}
	s.file = name
	w.config(s, data, 0)
}

// config checks what configures plug-ins: only those built into Kustomize, and no reference that would be fetched.
// line is what to add to the lines of YAML that stands in place.
func (w *walker) config(s scope, data []byte, line int) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.problems = append(w.problems, manifest.Problem{File: s.file, Line: line, Message: "is not valid YAML: " + err.Error()})
			return
		}
		if err := followed(&doc); err != nil {
			w.problems = append(w.problems, manifest.Problem{File: s.file, Line: line, Message: err.Error()})
			return
		}
		for _, root := range doc.Content {
			w.configNode(s, root, line)
			fields(root, func(key string, value *yaml.Node) {
				if key == "apiversion" && value.Value != konfig.BuiltinPluginApiVersion {
					w.fail(s.file, &yaml.Node{Line: line + value.Line}, "use a patch, or a transformer that is built into Kustomize",
						"%q is a plug-in that Kustomize would run as a program, which a render may not", value.Value)
				}
				if key == "kind" && strings.Contains(value.Value, "HelmChart") {
					w.fail(s.file, &yaml.Node{Line: line + value.Line}, "deliver the chart as an app of its own, with kind helm",
						"Kustomize inflates Helm charts by running the helm command, which a render may not")
				}
			})
		}
	}
}

// configNode refuses remote references wherever the configuration of a plug-in, or a patch of it, can have one.
func (w *walker) configNode(s scope, node *yaml.Node, line int) {
	switch node.Kind {
	case yaml.MappingNode:
		fields(node, func(key string, value *yaml.Node) {
			switch key {
			case "path", "paths", "files", "envs", "env", "resources", "replacements", "value":
				each(value, func(n *yaml.Node) {
					if n.Kind != yaml.ScalarNode {
						return
					}
					name := strings.TrimPrefix(n.Value, keyOf(n.Value))
					if isRemote(name) {
						w.fail(s.file, &yaml.Node{Line: line + n.Line}, hintRemote, "refers to %q, which is not in the repository", shown(n.Value))
					}
					if tree.RemoteRoot(s.dir) != "" {
						return // what another repository brings may read nothing of this one
					}
					for _, dir := range w.stack { // which one it starts from depends on how it is used
						w.remotes.approve(path.Join(dir, name))
					}
				})
			}
			w.configNode(s, value, line)
		})
	case yaml.SequenceNode, yaml.DocumentNode:
		for _, item := range node.Content {
			w.configNode(s, item, line)
		}
	}
}
