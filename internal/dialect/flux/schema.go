package flux

// What is read of Flux's kinds. A field that is any is looked at as it is, or only
// for being there.

type metadata struct {
	Name        string            `json:"name,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	Finalizers      any `json:"finalizers,omitempty"`
	GenerateName    any `json:"generateName,omitempty"`
	OwnerReferences any `json:"ownerReferences,omitempty"`
}

type kustomization struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   metadata          `json:"metadata"`
	Spec       kustomizationSpec `json:"spec"`
	Status     any               `json:"status,omitempty"`
}

type kustomizationSpec struct {
	CommonMetadata          *commonMetadata `json:"commonMetadata,omitempty"`
	DependsOn               []dependency    `json:"dependsOn,omitempty"`
	Decryption              *decryption     `json:"decryption,omitempty"`
	Interval                string          `json:"interval,omitempty"`
	RetryInterval           string          `json:"retryInterval,omitempty"`
	KubeConfig              *kubeConfig     `json:"kubeConfig,omitempty"`
	Path                    string          `json:"path,omitempty"`
	PostBuild               *postBuild      `json:"postBuild,omitempty"`
	Prune                   bool            `json:"prune"`
	DeletionPolicy          string          `json:"deletionPolicy,omitempty"`
	HealthChecks            []checked       `json:"healthChecks,omitempty"`
	NamePrefix              string          `json:"namePrefix,omitempty"`
	NameSuffix              string          `json:"nameSuffix,omitempty"`
	Patches                 []patch         `json:"patches,omitempty"`
	Images                  []image         `json:"images,omitempty"`
	ServiceAccountName      string          `json:"serviceAccountName,omitempty"`
	SourceRef               reference       `json:"sourceRef"`
	Suspend                 bool            `json:"suspend,omitempty"`
	TargetNamespace         string          `json:"targetNamespace,omitempty"`
	Timeout                 string          `json:"timeout,omitempty"`
	Force                   bool            `json:"force,omitempty"`
	Wait                    bool            `json:"wait,omitempty"`
	BuildMetadata           []string        `json:"buildMetadata,omitempty"`
	Components              []string        `json:"components,omitempty"`
	IgnoreMissingComponents bool            `json:"ignoreMissingComponents,omitempty"`
	HealthCheckExprs        []any           `json:"healthCheckExprs,omitempty"`
	Ignore                  []ignoreRule    `json:"ignore,omitempty"`

	// Of versions before v1.
	PatchesStrategicMerge []any `json:"patchesStrategicMerge,omitempty"`
	PatchesJSON6902       []any `json:"patchesJson6902,omitempty"`
	Validation            any   `json:"validation,omitempty"`
}

type commonMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type dependency struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	ReadyExpr string `json:"readyExpr,omitempty"`
}

type decryption struct {
	Provider           string     `json:"provider"`
	ServiceAccountName string     `json:"serviceAccountName,omitempty"`
	SecretRef          *localName `json:"secretRef,omitempty"`
}

type localName struct {
	Name string `json:"name"`
	Key  string `json:"key,omitempty"`
}

type kubeConfig struct {
	SecretRef    *localName `json:"secretRef,omitempty"`
	ConfigMapRef *localName `json:"configMapRef,omitempty"`
}

type postBuild struct {
	SubstituteStrategy string            `json:"substituteStrategy,omitempty"`
	Substitute         map[string]string `json:"substitute,omitempty"`
	SubstituteFrom     []variables       `json:"substituteFrom,omitempty"`
}

type variables struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"`
}

type checked struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

type patch struct {
	Patch  string    `json:"patch"`
	Target *selector `json:"target,omitempty"`
}

type selector struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Name               string `json:"name,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
}

type image struct {
	Name    string `json:"name"`
	NewName string `json:"newName,omitempty"`
	NewTag  string `json:"newTag,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

type reference struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

type ignoreRule struct {
	Paths  []string  `json:"paths"`
	Target *selector `json:"target,omitempty"`
}

type gitRepository struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   metadata          `json:"metadata"`
	Spec       gitRepositorySpec `json:"spec"`
	Status     any               `json:"status,omitempty"`
}

type gitRepositorySpec struct {
	URL                string     `json:"url"`
	SecretRef          any        `json:"secretRef,omitempty"`
	Provider           any        `json:"provider,omitempty"`
	ServiceAccountName any        `json:"serviceAccountName,omitempty"`
	Interval           any        `json:"interval,omitempty"`
	Timeout            any        `json:"timeout,omitempty"`
	Ref                gitRef     `json:"ref,omitempty"`
	Verify             *gitVerify `json:"verify,omitempty"`
	ProxySecretRef     any        `json:"proxySecretRef,omitempty"`
	Ignore             string     `json:"ignore,omitempty"`
	Suspend            bool       `json:"suspend,omitempty"`
	RecurseSubmodules  bool       `json:"recurseSubmodules,omitempty"`
	Include            []include  `json:"include,omitempty"`
	SparseCheckout     []string   `json:"sparseCheckout,omitempty"`

	// Of versions before v1.
	GitImplementation any `json:"gitImplementation,omitempty"`
	AccessFrom        any `json:"accessFrom,omitempty"`
}

type gitRef struct {
	Branch string `json:"branch,omitempty"`
	Tag    string `json:"tag,omitempty"`
	SemVer string `json:"semver,omitempty"`
	Name   string `json:"name,omitempty"`
	Commit string `json:"commit,omitempty"`
}

type gitVerify struct {
	Mode      string    `json:"mode,omitempty"`
	SecretRef localName `json:"secretRef"`
}

type include struct {
	Repository localName `json:"repository"`
	FromPath   string    `json:"fromPath,omitempty"`
	ToPath     string    `json:"toPath,omitempty"`
}

type artifactGenerator struct {
	APIVersion string                `json:"apiVersion,omitempty"`
	Kind       string                `json:"kind,omitempty"`
	Metadata   metadata              `json:"metadata"`
	Spec       artifactGeneratorSpec `json:"spec"`
	Status     any                   `json:"status,omitempty"`
}

type artifactGeneratorSpec struct {
	CommonMetadata any              `json:"commonMetadata,omitempty"`
	Sources        []aliasedSource  `json:"sources"`
	PathPattern    string           `json:"pathPattern,omitempty"`
	Artifacts      []outputArtifact `json:"artifacts"`
}

type aliasedSource struct {
	Alias     string `json:"alias"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

type outputArtifact struct {
	Name           string          `json:"name"`
	Revision       string          `json:"revision,omitempty"`
	OriginRevision string          `json:"originRevision,omitempty"`
	Copy           []copyOperation `json:"copy"`
}

type copyOperation struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Exclude  []string `json:"exclude,omitempty"`
	Strategy string   `json:"strategy,omitempty"`
}
