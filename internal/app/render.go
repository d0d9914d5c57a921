package app

import "reflect"

// Kind is a way to render.
type Kind string

// The ways to render. Auto is Helm where there is a Chart.yaml, Kustomize where
// there is a kustomization file, and otherwise plain manifests.
const (
	Auto      Kind = ""
	Plain     Kind = "plain"
	Kustomize Kind = "kustomize"
	Helm      Kind = "helm"
	// Flux is Kustomize, also where there is no kustomization file: then one that lists
	// the manifests of the directory, and of those below it, is made up.
	Flux Kind = "flux"
)

// Render says how an app's files become objects.
type Render struct {
	Kind Kind `json:"kind,omitempty"`
	// Namespace is that of objects which state none and need one.
	Namespace string `json:"namespace,omitempty"`
	// Variables are what Substitute replaces, by name; empty without it.
	Variables map[string]string `json:"variables,omitempty"`
	// Substitute replaces ${NAME} in rendered manifests by Variables.
	Substitute bool `json:"substitute,omitempty"`
	// UnsetIsEmpty takes a variable that is not set for empty text, with a warning, in
	// place of an error.
	UnsetIsEmpty bool `json:"unsetIsEmpty,omitempty"`
	// Defer says that there are other variables, which the cluster alone knows: an object
	// that uses one is left as it is, and object.Deferred.
	Defer bool `json:"defer,omitempty"`
	// CommonMetadata is set on every object, after Substitute.
	CommonMetadata Metadata `json:"commonMetadata,omitzero"`
	// Ignore are patterns, as those of .gitignore, of files that do not count where the
	// kind Flux makes up a kustomization, beside the ones that Flux never counts and those
	// in files named .sourceignore.
	Ignore string      `json:"ignore,omitempty"`
	Helm   HelmOptions `json:"helm,omitzero"`
	// Release makes a release of a chart in place of objects, run where the cluster
	// is; nil does not. Of Helm only ReleaseName, Namespace, SkipCRDs, and what is said
	// of values and their files, count then.
	Release *Release `json:"release,omitempty"`
	// Directory reads a directory of plain manifests, and with Auto tells which way to
	// render it is, as Argo CD does: a kustomization file comes before a Chart.yaml.
	// Whatever the way, it refuses files that Argo CD changes an Application's options
	// by. nil does as Nave does.
	Directory *Directory        `json:"directory,omitempty"`
	Kustomize *KustomizeOptions `json:"kustomize,omitempty"` // nil changes nothing
	// Refs are other trees from which "$NAME/…" in a path of a value file or a file
	// parameter reads, each by the name under which the render's Remotes show it; an
	// empty one is the app's own.
	Refs map[string]string `json:"refs,omitempty"`
	// CreateOnly are objects that may come out differently at each render.
	CreateOnly ObjectRules `json:"createOnly,omitempty"`
	// Cluster is the one that the render is for, if there are such objects: they
	// are never those of another cluster. Otherwise it is empty, and clusters
	// share renders.
	Cluster string `json:"cluster,omitempty"`
}

// HelmOptions are the parameters of a chart.
type HelmOptions struct {
	ReleaseName string         `json:"releaseName,omitempty"`
	ValueFiles  []string       `json:"valueFiles,omitempty"` // relative to the chart, or absolute from the source's root
	Values      map[string]any `json:"values,omitempty"`
	SkipCRDs    bool           `json:"skipCRDs,omitempty"`

	// Parameters win over Values; among them the later one wins.
	Parameters     []Parameter     `json:"parameters,omitempty"`
	FileParameters []FileParameter `json:"fileParameters,omitempty"`
	// IgnoreMissingValueFiles passes over value files that are not there.
	IgnoreMissingValueFiles bool     `json:"ignoreMissingValueFiles,omitempty"`
	SkipSchemaValidation    bool     `json:"skipSchemaValidation,omitempty"`
	SkipTests               bool     `json:"skipTests,omitempty"`
	Namespace               string   `json:"namespace,omitempty"`   // of the release, in place of that of Render
	KubeVersion             string   `json:"kubeVersion,omitempty"` // in place of the cluster's
	APIVersions             []string `json:"apiVersions,omitempty"` // in place of the cluster's
}

// Parameter is a value by its path, as helm --set has it; Text never reads it as
// another type than text, as --set-string.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Text  bool   `json:"text,omitempty"`
}

// FileParameter is a value that is the content of a file, as helm --set-file.
type FileParameter struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// Directory says which files of a directory of plain manifests count, and how
// Jsonnet among them is evaluated.
type Directory struct {
	Recurse bool    `json:"recurse,omitempty"`
	Include string  `json:"include,omitempty"` // a glob, "{a,b}" for several
	Exclude string  `json:"exclude,omitempty"`
	Jsonnet Jsonnet `json:"jsonnet,omitzero"`
}

// Jsonnet are the arguments of Jsonnet programs.
type Jsonnet struct {
	ExternalVariables []JsonnetVariable `json:"externalVariables,omitempty"`
	TopLevelArguments []JsonnetVariable `json:"topLevelArguments,omitempty"`
	Libraries         []string          `json:"libraries,omitempty"` // directories, from the top of the repository
}

// JsonnetVariable is a text, or code, by its name.
type JsonnetVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Code  bool   `json:"code,omitempty"`
}

// KustomizeOptions are added to a kustomization before it is built, as the
// commands of "kustomize edit" do.
type KustomizeOptions struct {
	NamePrefix            string            `json:"namePrefix,omitempty"`
	NameSuffix            string            `json:"nameSuffix,omitempty"`
	Namespace             string            `json:"namespace,omitempty"`
	Images                []string          `json:"images,omitempty"` // [NAME=]IMAGE[:TAG|@DIGEST]
	Replicas              []Replicas        `json:"replicas,omitempty"`
	CommonLabels          map[string]string `json:"commonLabels,omitempty"`
	ForceLabels           bool              `json:"forceLabels,omitempty"`           // replaces those of the kustomization
	LabelWithoutSelector  bool              `json:"labelWithoutSelector,omitempty"`  // leaves selectors alone
	LabelIncludeTemplates bool              `json:"labelIncludeTemplates,omitempty"` // those of pods, though not selectors
	CommonAnnotations     map[string]string `json:"commonAnnotations,omitempty"`
	// EnvironmentInAnnotations lets CommonAnnotations name variables of the build
	// environment, until these are filled in; rendering knows nothing of it.
	EnvironmentInAnnotations bool             `json:"-"`
	ForceAnnotations         bool             `json:"forceAnnotations,omitempty"`
	Patches                  []KustomizePatch `json:"patches,omitempty"`
	Components               []string         `json:"components,omitempty"`
	IgnoreMissingComponents  bool             `json:"ignoreMissingComponents,omitempty"`
	BuildMetadata            []string         `json:"buildMetadata,omitempty"` // options of Kustomize, such as originAnnotations
}

// OnlyNamespace reports whether nothing but a namespace is added. nil adds nothing.
func (o *KustomizeOptions) OnlyNamespace() bool {
	return o != nil && o.Namespace != "" && reflect.DeepEqual(*o, KustomizeOptions{Namespace: o.Namespace, IgnoreMissingComponents: o.IgnoreMissingComponents})
}

// Replicas sets the replicas of the workloads of a name.
type Replicas struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// KustomizePatch is an entry of a kustomization's patches.
type KustomizePatch struct {
	Path    string          `json:"path,omitempty"`
	Patch   string          `json:"patch,omitempty"`
	Target  *Selector       `json:"target,omitempty"`
	Options map[string]bool `json:"options,omitempty"`
}

// Selector names objects as Kustomize does: all that it says must fit. Group to
// Namespace are regular expressions that fit the whole text.
type Selector struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Name               string `json:"name,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
}
