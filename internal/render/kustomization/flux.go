package kustomization

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/konfig"

	"nave.dev/internal/app"
	"nave.dev/internal/glob"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// neverCounts are the files that Flux leaves out of what it fetches, as its
// source-controller 1.9 has them.
const neverCounts = ".git/\n.gitignore\n.gitmodules\n.gitattributes\n" +
	"*.jpg\n*.jpeg\n*.gif\n*.png\n*.wmv\n*.flv\n*.tar.gz\n*.zip\n" +
	".github/\n.circleci/\n.travis.yml\n.gitlab-ci.yml\nappveyor.yml\n.drone.yml\ncloudbuild.yaml\ncodeship-services.yml\ncodeship-steps.yml\n" +
	"**/.goreleaser.yml\n**/.sops.yaml\n**/.flux.yaml\n"

// sourceIgnore names files with patterns of others that do not count.
const sourceIgnore = ".sourceignore"

// AsFlux returns the objects of a directory as Flux builds it: the kustomization in it
// or else one that lists its manifests, with options added; nil adds none. Patterns
// say which manifests do not count.
func AsFlux(t tree.Tree, dir string, options *app.KustomizeOptions, patterns string, limits manifest.Limits) (objects []manifest.Object, warnings []string, err error) {
	w := &walker{tree: t, visited: map[visit]bool{}, remotes: newRemotes(), flux: true}
	e := &editor{tree: t, options: options}
	if options != nil {
		w.editor = e
	}
	is, err := Is(t, dir)
	if err != nil {
		return nil, nil, err
	}
	if is {
		objects, err = build(dir, w)
		return objects, e.warnings, err
	}
	l := &lister{tree: t, top: dir}
	l.ignore.Add(".", neverCounts)
	l.ignore.Add(".", patterns)
	for at := range ancestors(dir) {
		if err := l.patterns(at); err != nil {
			return nil, nil, err
		}
	}
	if err := l.list(dir); err != nil {
		return nil, nil, err
	}
	if len(l.found) == 0 {
		return nil, []string{dir + ": there are no manifests in it"}, nil
	}
	if (options == nil || options.OnlyNamespace()) && !l.bases {
		if objects, plain, err := l.decode(limits); plain && (err != nil || options == nil || inNamespace(objects, options.Namespace)) {
			return objects, nil, err
		}
	}
	w.made = l.document()
	w.remotes.edited = made(dir)
	objects, err = build(dir, w)
	return objects, e.warnings, err
}

// ancestors yields the directories above one, from the top of the tree on.
func ancestors(dir string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if dir == "." || !yield(".") {
			return
		}
		for end, c := range dir {
			if c == '/' && !yield(dir[:end]) {
				return
			}
		}
	}
}

// lister finds the manifests below a directory.
type lister struct {
	tree   tree.Tree
	top    string
	ignore glob.Ignore
	found  []string // relative to top
	bases  bool     // among what was found are directories with kustomizations of their own
}

// patterns takes in those of a directory.
func (l *lister) patterns(dir string) error {
	data, err := l.tree.ReadFile(path.Join(dir, sourceIgnore))
	if err == nil {
		l.ignore.Add(dir, string(data))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return manifest.Problem{File: path.Join(dir, sourceIgnore), Message: err.Error()}
	}
	return nil
}

// list finds manifests. Links are none: what Flux fetches has no links.
func (l *lister) list(dir string) error {
	if err := l.patterns(dir); err != nil {
		return err
	}
	entries, err := l.tree.List(dir)
	if err != nil {
		return manifest.Problem{File: dir, Message: err.Error()}
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		below := strings.TrimPrefix(name, l.top+"/")
		switch extension := path.Ext(name); {
		case entry.Link || l.ignore.Match(name, entry.Dir):
		case entry.Dir:
			if is, err := Is(l.tree, name); err != nil {
				return err
			} else if is {
				l.found, l.bases = append(l.found, below), true
			} else if err := l.list(name); err != nil {
				return err
			}
		case extension == ".yaml" || extension == ".yml":
			l.found = append(l.found, below)
		}
	}
	return nil
}

// localConfig marks objects that Kustomize reads and does not return.
const localConfig = "config.kubernetes.io/local-config"

// decode reads the manifests that were found, unless reading them does not come to the
// same as building a kustomization of them.
func (l *lister) decode(limits manifest.Limits) (objects []manifest.Object, plain bool, err error) {
	decoder := &manifest.Decoder{Limits: limits}
	var problems manifest.Problems
	for _, name := range l.found {
		file := path.Join(l.top, name)
		data, err := l.tree.ReadFile(file)
		if err != nil {
			return nil, true, manifest.Problem{File: file, Message: err.Error()}
		}
		if bytes.Contains(data, []byte(localConfig)) {
			return nil, false, nil
		}
		found, bad := decoder.Decode(file, data)
		objects, problems = append(objects, found...), append(problems, bad...)
	}
	return objects, true, problems.Err()
}

// namespaced are kinds of whose objects Kustomize's namespace says nothing but where they
// are, as no other field of theirs names one.
var namespaced = map[metav1.GroupKind]bool{
	{Kind: "ConfigMap"}: true, {Kind: "Secret"}: true, {Kind: "Service"}: true, {Kind: "ServiceAccount"}: true, {Kind: "PersistentVolumeClaim"}: true,
	{Group: "apps", Kind: "Deployment"}: true, {Group: "apps", Kind: "StatefulSet"}: true, {Group: "apps", Kind: "DaemonSet"}: true,
	{Group: "batch", Kind: "Job"}: true, {Group: "batch", Kind: "CronJob"}: true, {Group: "networking.k8s.io", Kind: "Ingress"}: true,
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}: true, {Group: "policy", Kind: "PodDisruptionBudget"}: true,
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: true, {Group: "rbac.authorization.k8s.io", Kind: "Role"}: true,
}

// inNamespace puts objects into a namespace as Kustomize does, if all are of kinds of
// which that is known. Two that are one there are for Kustomize to refuse.
func inNamespace(objects []manifest.Object, namespace string) bool {
	seen := map[string]bool{}
	for _, o := range objects {
		kind := o.GroupVersionKind()
		name := kind.GroupKind().String() + " " + o.GetName()
		if !namespaced[metav1.GroupKind{Group: kind.Group, Kind: kind.Kind}] || o.GetName() == "" || seen[name] {
			return false
		}
		seen[name] = true
	}
	for _, o := range objects {
		o.SetNamespace(namespace)
	}
	return true
}

// document is the kustomization of what was found.
func (l *lister) document() *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, name := range l.found {
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: "./" + name})
	}
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "resources"}, list}}
}

// made returns the name of a kustomization file that is made up.
func made(dir string) string { return path.Join(dir, konfig.DefaultKustomizationFileName()) }
