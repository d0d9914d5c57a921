package argocd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"nave.dev/internal/app"
	"nave.dev/internal/dialect/argocd/applicationset"
	"nave.dev/internal/dialect/manifest"
	"nave.dev/internal/object"
)

// Argo CD's own names.
const (
	annotationPrefix = "argocd.argoproj.io/"
	cascadeFinalizer = "resources-finalizer.argocd.argoproj.io"
	inCluster        = "in-cluster"
	inClusterServer  = "https://kubernetes.default.svc"
)

// wanted is an Application as it was found, or came of an ApplicationSet.
type wanted struct {
	application
	name      string // of the app
	parent    string
	id        object.ID // of the object that asks for it
	place     string    // for errors: object, and file if known
	wave      int
	warnings  []string
	keep      bool                        // objects stay when the app goes, whatever the finalizers say
	looked    []applicationset.Repository // repositories that its generators looked into
	malformed error
}

// reading is the reading of one Application.
type reading struct {
	*wanted
	options  app.Options // of the Delivery
	problems []error
}

// refuse notes that a field cannot be done; hint may be empty.
func (r *reading) refuse(field, hint, format string, args ...any) {
	text := field + ": " + fmt.Sprintf(format, args...)
	if hint != "" {
		text += "\nhint: " + hint
	}
	r.problems = append(r.problems, errors.New(text))
}

func (r *reading) warn(field, format string, args ...any) {
	r.warnings = append(r.warnings, field+": "+fmt.Sprintf(format, args...))
}

// newWanted reads a manifest. A malformed one is told by its name all the same.
func newWanted(content map[string]any, parent, place, home string) *wanted {
	u := unstructured.Unstructured{Object: content}
	w := &wanted{parent: parent, wave: object.Wave(&u)}
	unknown, err := manifest.Decode(content, &w.application)
	if w.Metadata.Name == "" {
		w.Metadata.Name = u.GetName()
	}
	w.id = idIn(&u, home)
	w.place = describePlace("Application", w.Metadata.Name, place)
	w.name = appName(w.Metadata.Namespace, w.Metadata.Name, home)
	w.malformed = err
	for _, field := range unknown {
		w.warnings = append(w.warnings, field+": Argo CD has no such field, and leaves it out")
	}
	return w
}

// appName is that of an Application's app: Argo CD's own namespace is not named.
func appName(namespace, name, home string) string {
	if namespace == "" || namespace == home {
		return name
	}
	return namespace + "_" + name
}

// describePlace names an object and where it is.
func describePlace(kind, name, place string) string {
	text := fmt.Sprintf("%s %q", kind, name)
	if place != "" {
		text += " in " + place
	}
	return text
}

// child reads an Application as an app of a member.
func (w *wanted) child(options app.Options) (app.Child, error) {
	r := &reading{wanted: w, options: options}
	if w.malformed != nil {
		return app.Child{}, w.malformed
	}
	child := app.Child{Name: w.name, Options: r.keeping()}
	r.origins(&child)
	if len(validation.IsDNS1123Subdomain(w.Metadata.Name)) > 0 || len(w.name) > validation.DNS1123SubdomainMaxLength {
		r.refuse("metadata.name", "lower-case letters, digits, \"-\" and \".\"", "%q cannot name an app", w.Metadata.Name)
	}
	if namespace := w.Metadata.Namespace; namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		r.refuse("metadata.namespace", "lower-case letters, digits and \"-\"", "%q is no namespace", namespace)
	}
	if w.Operation != nil {
		r.refuse("operation", "remove it; nave sync begins a sync by hand", "an operation in Git would run at each commit, and is not supported")
	}
	r.note()
	return child, errors.Join(r.problems...)
}

// note says what of the metadata is not what it may be taken for.
func (r *reading) note() {
	for _, name := range []string{"client-side-apply-migration-manager"} {
		if _, ok := r.Metadata.Annotations[annotationPrefix+name]; ok {
			r.warn("metadata.annotations["+annotationPrefix+name+"]", "what former deployers own is taken over for a list of them that the Fleet has, not for this one")
		}
	}
	for _, finalizer := range r.Metadata.Finalizers {
		known := finalizer == "foregroundDeletion" || strings.HasPrefix(finalizer, cascadeFinalizer) ||
			strings.HasPrefix(finalizer, "pre-delete-finalizer.argocd.argoproj.io") || strings.HasPrefix(finalizer, "post-delete-finalizer.argocd.argoproj.io")
		if !known {
			r.warn("metadata.finalizers", "%q means nothing here", finalizer)
		}
	}
}

// cascade reports whether the app's objects go with it, and how deletions of them
// propagate, if the finalizer says.
func (r *reading) cascade() (cascade bool, propagation string) {
	for _, finalizer := range r.Metadata.Finalizers {
		switch finalizer {
		case cascadeFinalizer, cascadeFinalizer + "/foreground":
			cascade = true
		case cascadeFinalizer + "/background":
			cascade, propagation = true, "background"
		}
	}
	return cascade && !r.keep, propagation
}

// origins reads the sources.
func (r *reading) origins(child *app.Child) {
	spec := r.Spec
	if spec.SourceHydrator != nil {
		r.refuse("spec.sourceHydrator", "use spec.source with the repository that has the manifests", "Nave writes to no repository")
	}
	sources, at := spec.Sources, "spec.sources[%d]"
	if len(sources) == 0 && spec.Source != nil {
		sources, at = []source{*spec.Source}, "spec.source"
		if spec.Source.Ref != "" {
			r.warn("spec.source.ref", "it counts only in spec.sources")
			sources[0].Ref = ""
		}
	} else if spec.Source != nil && len(sources) > 0 {
		r.warn("spec.source", "spec.sources is there too, and only that counts")
	}
	if len(sources) == 0 && spec.SourceHydrator == nil {
		r.refuse("spec.source", "", "an Application needs a source, or sources")
	}
	refs := map[string]string{}
	for i, s := range sources {
		if s.Ref == "" {
			continue
		}
		field := fmt.Sprintf("spec.sources[%d].ref", i)
		switch {
		case refs[s.Ref] != "":
			r.refuse(field, "", "%q is the name of another source too", s.Ref)
		case !validRef(s.Ref):
			r.refuse(field, "letters, digits, \"-\" and \"_\"", "%q cannot be named in a path", s.Ref)
		case s.Chart != "":
			r.refuse(field, "", "a chart lends no files, only a repository does")
		}
		refs[s.Ref] = s.Ref
	}
	for i, s := range sources {
		field := at
		if strings.Contains(at, "%d") {
			field = fmt.Sprintf(at, i)
		}
		origin := r.origin(s, field, refs)
		if s.Ref != "" {
			if child.Refs == nil {
				child.Refs = map[string]app.Origin{}
			}
			child.Refs[s.Ref] = app.Origin{Repository: s.RepoURL, Revision: s.TargetRevision, TagPrefix: s.TagPrefix}
			if s.Path == "" && s.Chart == "" {
				continue
			}
		}
		child.Origins = append(child.Origins, origin)
	}
	if len(child.Origins) == 0 && len(child.Refs) > 0 {
		r.refuse("spec.sources", "give one of them a path or a chart", "no source has manifests, all of them only lend files")
	}
}

func validRef(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// origin reads one source.
func (r *reading) origin(s source, at string, refs map[string]string) app.Origin {
	origin := app.Origin{
		Repository: s.RepoURL, Revision: s.TargetRevision, TagPrefix: s.TagPrefix, Chart: s.Chart, Path: s.Path,
		Render: app.Render{Namespace: r.Spec.Destination.Namespace},
	}
	if len(refs) > 0 {
		origin.Render.Refs = refs
	}
	switch {
	case s.RepoURL == "":
		r.refuse(at+".repoURL", "", "a source needs a repository")
	case s.Chart != "" && s.Path != "":
		r.refuse(at, "", "a source has a path or a chart, not both")
	case s.Chart != "" && s.TargetRevision == "":
		r.refuse(at+".targetRevision", "name a version or a range of versions, \"*\" for the newest", "a chart needs a version")
	case s.Chart == "" && s.Path == "" && s.Ref == "":
		if !strings.HasPrefix(s.RepoURL, "oci://") {
			r.refuse(at+".path", "\".\" is the top of the repository", "a source needs a path or a chart")
		}
		origin.Path = "."
	}
	if strings.HasPrefix(s.Path, "/") || slices.Contains(strings.Split(s.Path, "/"), "..") {
		r.refuse(at+".path", "", "%q leads out of the repository", s.Path)
	}
	if s.Plugin != nil {
		r.refuse(at+".plugin", "render beforehand, or with Kustomize, Helm or Jsonnet", "plugins are not run")
	}
	kinds := 0
	for _, is := range []bool{s.Helm != nil, s.Kustomize != nil, s.Directory != nil} {
		if is {
			kinds++
		}
	}
	if kinds > 1 {
		r.refuse(at, "", "only one of helm, kustomize and directory can be meant")
	}
	// Even where the files decide, a directory is read as Argo CD does.
	origin.Render.Directory = &app.Directory{}
	origin.Render.Helm.ReleaseName = r.Metadata.Name // without the namespace: a release has no "_" in its name
	switch {
	case s.Chart != "" || s.Helm != nil:
		origin.Render.Kind = app.Helm
		if s.Helm != nil {
			r.helm(*s.Helm, at+".helm", refs, &origin.Render.Helm)
		}
	case s.Kustomize != nil:
		origin.Render.Kind = app.Kustomize
		origin.Render.Kustomize = r.kustomize(*s.Kustomize, at+".kustomize")
	case s.Directory != nil:
		origin.Render.Kind = app.Plain
		origin.Render.Directory = directory(*s.Directory)
	}
	if namesVariables(origin.Render) {
		origin.Environment = map[string]string{
			"ARGOCD_APP_NAME":                   r.name,
			"ARGOCD_APP_NAMESPACE":              r.Spec.Destination.Namespace,
			"ARGOCD_APP_PROJECT_NAME":           r.project(),
			"ARGOCD_APP_SOURCE_REPO_URL":        s.RepoURL,
			"ARGOCD_APP_SOURCE_PATH":            s.Path,
			"ARGOCD_APP_SOURCE_TARGET_REVISION": s.TargetRevision,
		}
	}
	return origin
}

// project is that of the Application.
func (w *wanted) project() string {
	if w.Spec.Project == "" {
		return "default"
	}
	return w.Spec.Project
}
