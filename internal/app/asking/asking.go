// Package asking is the vocabulary between the objects that apps came to and the
// further apps that these ask for: what a dialect is given, and what it answers. It
// reads nothing itself.
package asking

import (
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Request asks which apps the objects of a Delivery ask for.
type Request struct {
	// Delivery is the name of the Delivery, and of its own app.
	Delivery string
	// Path is that of the Delivery's source. An object that asks for an app of the
	// Delivery's name, or source, with this path is the Delivery itself, seen from inside.
	Path string
	// Cluster is the member whose objects these are, in the context of a cluster.
	// Empty is the context of the fleet, in which they are read once for all members.
	Cluster string
	// Members of the fleet, all of them, so that a destination that the Delivery does
	// not select is told from one that nobody knows.
	Members []Member
	// Options are the Delivery's own, which an app may only narrow.
	Options app.Options
	// Namespace is that of the dialect's own objects, the usual one if empty. Those there
	// ask for apps of their plain name, others for NAMESPACE_NAME; objects without a
	// namespace are there.
	Namespace string
	// Objects that ask for apps, in any order; those that are not the dialect's are
	// ignored.
	Objects []Object
	// Others are apps of the Delivery that other dialects ask for: their objects count as
	// well, and what these ask for may only narrow their options.
	Others map[string]app.Options
	// Files are what generators look into; nil refuses these.
	Files Files `json:"-"`
	// Own reports whether a repository at a revision, both as objects name them, is the
	// Delivery's own source; nil knows of none.
	Own func(repository, revision string) bool `json:"-"`
	// Find returns an object by its identity that an app of a cluster has, or nil. One that
	// is found by nobody now may be found when more apps are rendered. nil finds nothing.
	Find func(cluster string, id object.ID) *unstructured.Unstructured `json:"-"`
	// Parent returns the app whose objects asked for an app before, or nothing if that
	// is not known; nil never knows. It is asked only where two ask for one.
	Parent func(app string) string `json:"-"`
}

// Narrowed returns the options that what an app asks for may only narrow.
func (r *Request) Narrowed(parent string) app.Options {
	o := r.Options
	if of, ok := r.Others[parent]; ok {
		o.Limits, o.Project, o.ServiceAccount = of.Limits, of.Project, of.ServiceAccount
		o.Suspend, o.DependsOn, o.After = of.Suspend, of.DependsOn, of.After
	}
	return o
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
	// generator open.
	Open(repository, revision string) (fs.FS, error)
}

// Result is what the objects of a Delivery ask for. Its values have lists in common
// and must not be changed.
type Result struct {
	// Children by cluster and name. Those of them whose objects were not among the
	// request's are to be rendered, and asked about again with all objects.
	Children []app.Child
	// Selves are the names that objects give the Delivery's own app, beside its own, by
	// cluster and in order.
	Selves map[string][]string
	// Gates of the Delivery's own app, by cluster.
	Gates map[string][]app.Gate
	// Failed are apps that are asked for and cannot be told.
	Failed []Failure
	// Incomplete says why there may be more apps, if so. Then none may be taken for
	// removed.
	Incomplete error
	// Warnings say what is read otherwise than the dialect's own program might.
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
	App   string // that the object is of, or asks for
	Place string // may be empty
	Text  string
}
