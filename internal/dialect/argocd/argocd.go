// Package argocd reads Argo CD's Applications, AppProjects and ApplicationSets
// as apps of Nave. It is a function of values: given the objects that the apps of
// a Delivery came to, the members of the fleet and files for generators, it tells
// which further apps they ask for. It fetches, renders and applies nothing, and
// names sources as the objects do. What Argo CD has and Nave has not is an error
// that names the field, and what makes no difference here is left without a word.
package argocd

import (
	"io/fs"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Group is the API group of the kinds that are read.
const Group = "argoproj.io"

// Namespace is the usual one of Argo CD.
const Namespace = "argocd"

// Interprets reports whether an object is of a kind that is read here: it is then
// not applied. Other kinds of the group, such as Rollout, are ordinary objects.
func Interprets(id object.ID) bool { return app.AsksForApps(id) }

// MayAsk reports whether objects of an app in a project could be among those that
// Read takes into account. They could not if the project keeps the app out of Argo
// CD's namespace, where the objects are, unless one of all the projects, which are
// the given objects, has Applications in other namespaces.
func MayAsk(project app.Limits, projects []Object) bool {
	elsewhere := func(o Object) bool {
		namespaces, found, err := unstructured.NestedSlice(o.Manifest.Object, "spec", "sourceNamespaces")
		return err != nil || found && len(namespaces) > 0
	}
	places := app.Limits{Namespaces: project.Namespaces, DeniedNamespaces: project.DeniedNamespaces}
	_, may := places.Permits(object.ID{Group: Group, Kind: "AppProject", Namespace: Namespace}, true, true)
	return may || slices.ContainsFunc(projects, elsewhere)
}

// Request asks which apps the objects of a Delivery ask for.
type Request struct {
	// Delivery is the name of the Delivery, and of its own app.
	Delivery string
	// Path is that of the Delivery's source. An Application of the Delivery's name
	// with this path is the Delivery itself, seen from inside.
	Path string
	// Cluster is the member whose objects these are, in the context of a cluster.
	// Empty is the context of the fleet, in which they are read once for all members.
	Cluster string
	// Members of the fleet, all of them, so that a destination that the Delivery does
	// not select is told from one that nobody knows.
	Members []Member
	// Options are the Delivery's own, which an app may only narrow.
	Options app.Options
	// Namespace is that of Argo CD, the usual one if empty. Applications there have their
	// plain name, others are NAMESPACE_NAME; objects without a namespace are there.
	Namespace string
	// Objects of the kinds that Interprets knows, in any order; others are ignored.
	// AppProjects of other Deliveries count where the Delivery has none of the name.
	Objects []Object
	// Files are for the git generator; nil refuses it.
	Files Files
	// Parent returns the app whose objects asked for an app before, or nothing if that
	// is not known; nil never knows. It is asked only where two ask for one.
	Parent func(app string) string `json:"-"`
}

// Member is a cluster of the fleet.
type Member struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	Aliases     []string // names, and URLs of API servers
	Selected    bool     // by the Delivery
}

// Object is one that an app came to.
type Object struct {
	Manifest *unstructured.Unstructured
	App      string // by name
	Place    string // file and perhaps line, if known, for errors
	Foreign  bool   // of another Delivery
}

// Files are the files of repositories.
type Files interface {
	// Open returns the files of a repository at a revision, both as a generator names
	// them. An error, such as that they are not there yet, leaves the apps of the
	// generator's ApplicationSet open.
	Open(repository, revision string) (fs.FS, error)
}

// Result is what the objects of a Delivery ask for. Its values have lists in common
// and must not be changed.
type Result struct {
	// Children by cluster and name. Those of them whose objects were not among the
	// request's are to be rendered, and asked about again with all objects.
	Children []app.Child
	// Gates of the Delivery's own app, by cluster.
	Gates map[string][]app.Gate
	// Failed are apps that are asked for and cannot be told.
	Failed []Failure
	// Incomplete says why there may be more apps, if so. Then none may be taken for
	// removed.
	Incomplete error
	// Warnings say what is read otherwise than Argo CD might.
	Warnings []Warning
}

// Failure is an app that is asked for and cannot be told.
type Failure struct {
	Name    string
	Cluster string // empty: on which one is not known either, and it may be any
	Parent  string // the app whose object asks for it
	Err     error  // with the object's place, and a hint where a person can act
}

// Warning is about one object.
type Warning struct {
	App   string // that the object is of, or asks for if it is an Application
	Place string // may be empty
	Text  string
}
