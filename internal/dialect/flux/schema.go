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
	CommonMetadata          *commonMetadata   `json:"commonMetadata,omitempty"`
	DependsOn               []dependency      `json:"dependsOn,omitempty"`
	Decryption              *decryption       `json:"decryption,omitempty"`
	Interval                string            `json:"interval,omitempty"`
	RetryInterval           string            `json:"retryInterval,omitempty"`
	KubeConfig              *kubeConfig       `json:"kubeConfig,omitempty"`
	Path                    string            `json:"path,omitempty"`
	PostBuild               *postBuild        `json:"postBuild,omitempty"`
	Prune                   bool              `json:"prune"`
	DeletionPolicy          string            `json:"deletionPolicy,omitempty"`
	HealthChecks            []checked         `json:"healthChecks,omitempty"`
	NamePrefix              string            `json:"namePrefix,omitempty"`
	NameSuffix              string            `json:"nameSuffix,omitempty"`
	Patches                 []patch           `json:"patches,omitempty"`
	Images                  []image           `json:"images,omitempty"`
	ServiceAccountName      string            `json:"serviceAccountName,omitempty"`
	SourceRef               reference         `json:"sourceRef"`
	Suspend                 bool              `json:"suspend,omitempty"`
	TargetNamespace         string            `json:"targetNamespace,omitempty"`
	Timeout                 string            `json:"timeout,omitempty"`
	Force                   bool              `json:"force,omitempty"`
	Wait                    bool              `json:"wait,omitempty"`
	BuildMetadata           []string          `json:"buildMetadata,omitempty"`
	Components              []string          `json:"components,omitempty"`
	IgnoreMissingComponents bool              `json:"ignoreMissingComponents,omitempty"`
	HealthCheckExprs        []healthCheckExpr `json:"healthCheckExprs,omitempty"`
	Ignore                  []ignoreRule      `json:"ignore,omitempty"`

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
	SubstituteFrom     []fromObject      `json:"substituteFrom,omitempty"`
}

// fromObject is an object whose entries are variables.
type fromObject struct {
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

// healthCheckExpr says by expressions how objects of a kind, or of a group, are.
type healthCheckExpr struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind,omitempty"`
	InProgress string `json:"inProgress,omitempty"`
	Failed     string `json:"failed,omitempty"`
	Current    string `json:"current"`
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
	RecurseSubmodules  any        `json:"recurseSubmodules,omitempty"` // they are always read
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

type helmRelease struct {
	APIVersion string          `json:"apiVersion,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	Metadata   metadata        `json:"metadata"`
	Spec       helmReleaseSpec `json:"spec"`
	Status     any             `json:"status,omitempty"`
}

type helmReleaseSpec struct {
	Chart              *chartTemplate    `json:"chart,omitempty"`
	ChartRef           *reference        `json:"chartRef,omitempty"`
	Interval           string            `json:"interval,omitempty"`
	KubeConfig         *kubeConfig       `json:"kubeConfig,omitempty"`
	Suspend            bool              `json:"suspend,omitempty"`
	ReleaseName        string            `json:"releaseName,omitempty"`
	TargetNamespace    string            `json:"targetNamespace,omitempty"`
	StorageNamespace   string            `json:"storageNamespace,omitempty"`
	DependsOn          []dependency      `json:"dependsOn,omitempty"`
	Timeout            string            `json:"timeout,omitempty"`
	MaxHistory         *int64            `json:"maxHistory,omitempty"`
	ServiceAccountName string            `json:"serviceAccountName,omitempty"`
	PersistentClient   any               `json:"persistentClient,omitempty"`
	DriftDetection     *driftDetection   `json:"driftDetection,omitempty"`
	Install            action            `json:"install,omitempty"`
	Upgrade            action            `json:"upgrade,omitempty"`
	Test               releaseTest       `json:"test,omitempty"`
	Rollback           action            `json:"rollback,omitempty"`
	Uninstall          action            `json:"uninstall,omitempty"`
	ValuesFrom         []valuesFrom      `json:"valuesFrom,omitempty"`
	Values             map[string]any    `json:"values,omitempty"`
	CommonMetadata     *commonMetadata   `json:"commonMetadata,omitempty"`
	PostRenderers      []postRenderer    `json:"postRenderers,omitempty"`
	PostRenderStrategy string            `json:"postRenderStrategy,omitempty"`
	WaitStrategy       *named            `json:"waitStrategy,omitempty"`
	HealthCheckExprs   []healthCheckExpr `json:"healthCheckExprs,omitempty"`
}

type chartTemplate struct {
	Metadata any           `json:"metadata,omitempty"`
	Spec     helmChartSpec `json:"spec"`
}

type helmChartSpec struct {
	Chart                    string    `json:"chart"`
	Version                  string    `json:"version,omitempty"`
	SourceRef                reference `json:"sourceRef"`
	Interval                 any       `json:"interval,omitempty"`
	ReconcileStrategy        string    `json:"reconcileStrategy,omitempty"`
	ValuesFiles              []string  `json:"valuesFiles,omitempty"`
	IgnoreMissingValuesFiles bool      `json:"ignoreMissingValuesFiles,omitempty"`
	Verify                   *named    `json:"verify,omitempty"`
	Suspend                  bool      `json:"suspend,omitempty"`
}

// named is something by a name, or a provider.
type named struct {
	Name          string `json:"name,omitempty"`
	Provider      string `json:"provider,omitempty"`
	RetryInterval string `json:"retryInterval,omitempty"`

	SecretRef         any `json:"secretRef,omitempty"`
	MatchOIDCIdentity any `json:"matchOIDCIdentity,omitempty"`
}

// action is install, upgrade, rollback or uninstall; each has some of the fields.
type action struct {
	Timeout                  string      `json:"timeout,omitempty"`
	Strategy                 *named      `json:"strategy,omitempty"`
	Remediation              remediation `json:"remediation,omitempty"`
	DisableTakeOwnership     bool        `json:"disableTakeOwnership,omitempty"`
	DisableWait              bool        `json:"disableWait,omitempty"`
	DisableWaitForJobs       bool        `json:"disableWaitForJobs,omitempty"`
	DisableHooks             bool        `json:"disableHooks,omitempty"`
	DisableOpenAPIValidation bool        `json:"disableOpenAPIValidation,omitempty"`
	DisableSchemaValidation  bool        `json:"disableSchemaValidation,omitempty"`
	Replace                  bool        `json:"replace,omitempty"`
	SkipCRDs                 bool        `json:"skipCRDs,omitempty"`
	CRDs                     string      `json:"crds,omitempty"`
	CreateNamespace          bool        `json:"createNamespace,omitempty"`
	ServerSideApply          any         `json:"serverSideApply,omitempty"`
	Force                    bool        `json:"force,omitempty"`
	Recreate                 bool        `json:"recreate,omitempty"`
	PreserveValues           bool        `json:"preserveValues,omitempty"`
	CleanupOnFail            bool        `json:"cleanupOnFail,omitempty"`
	ChartNameChangeStrategy  string      `json:"chartNameChangeStrategy,omitempty"`
	KeepHistory              bool        `json:"keepHistory,omitempty"`
	DeletionPropagation      string      `json:"deletionPropagation,omitempty"`
}

type remediation struct {
	Retries              int64  `json:"retries,omitempty"`
	IgnoreTestFailures   *bool  `json:"ignoreTestFailures,omitempty"`
	RemediateLastFailure *bool  `json:"remediateLastFailure,omitempty"`
	Strategy             string `json:"strategy,omitempty"`
}

type releaseTest struct {
	Enable         bool         `json:"enable,omitempty"`
	Timeout        string       `json:"timeout,omitempty"`
	IgnoreFailures bool         `json:"ignoreFailures,omitempty"`
	Filters        []testFilter `json:"filters,omitempty"`
}

type testFilter struct {
	Name    string `json:"name"`
	Exclude bool   `json:"exclude,omitempty"`
}

type driftDetection struct {
	Mode   string       `json:"mode,omitempty"`
	Ignore []ignoreRule `json:"ignore,omitempty"`
}

type valuesFrom struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	ValuesKey  string `json:"valuesKey,omitempty"`
	TargetPath string `json:"targetPath,omitempty"`
	Optional   bool   `json:"optional,omitempty"`
	Literal    bool   `json:"literal,omitempty"`
}

type postRenderer struct {
	Kustomize *postKustomize `json:"kustomize,omitempty"`
}

type postKustomize struct {
	Patches []patch `json:"patches,omitempty"`
	Images  []image `json:"images,omitempty"`

	// Of versions before v2.
	PatchesStrategicMerge []any `json:"patchesStrategicMerge,omitempty"`
	PatchesJSON6902       []any `json:"patchesJson6902,omitempty"`
}

// chartSource is a HelmRepository, HelmChart or OCIRepository.
type chartSource struct {
	APIVersion string          `json:"apiVersion,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	Metadata   metadata        `json:"metadata"`
	Spec       chartSourceSpec `json:"spec"`
	Status     any             `json:"status,omitempty"`
}

type chartSourceSpec struct {
	URL           string        `json:"url,omitempty"`
	Type          string        `json:"type,omitempty"`
	Ref           ociRef        `json:"ref,omitempty"`
	LayerSelector layerSelector `json:"layerSelector,omitempty"`
	Ignore        string        `json:"ignore,omitempty"`

	// Of a HelmChart.
	Chart                    string    `json:"chart,omitempty"`
	Version                  string    `json:"version,omitempty"`
	SourceRef                reference `json:"sourceRef,omitempty"`
	ReconcileStrategy        string    `json:"reconcileStrategy,omitempty"`
	ValuesFiles              []string  `json:"valuesFiles,omitempty"`
	IgnoreMissingValuesFiles bool      `json:"ignoreMissingValuesFiles,omitempty"`

	Verify  *named `json:"verify,omitempty"`
	Suspend bool   `json:"suspend,omitempty"`

	Interval           any `json:"interval,omitempty"`
	Timeout            any `json:"timeout,omitempty"`
	SecretRef          any `json:"secretRef,omitempty"`
	CertSecretRef      any `json:"certSecretRef,omitempty"`
	ProxySecretRef     any `json:"proxySecretRef,omitempty"`
	PassCredentials    any `json:"passCredentials,omitempty"`
	Insecure           any `json:"insecure,omitempty"`
	Provider           any `json:"provider,omitempty"`
	ServiceAccountName any `json:"serviceAccountName,omitempty"`
	AccessFrom         any `json:"accessFrom,omitempty"`
}

type ociRef struct {
	Digest       string `json:"digest,omitempty"`
	SemVer       string `json:"semver,omitempty"`
	SemverFilter string `json:"semverFilter,omitempty"`
	Tag          string `json:"tag,omitempty"`
}

type layerSelector struct {
	MediaType string `json:"mediaType,omitempty"`
	Operation string `json:"operation,omitempty"`
}
