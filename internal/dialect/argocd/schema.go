package argocd

import "nave.dev/internal/app"

// What is read of Argo CD's kinds. A field that is any is looked at as it is, or
// only for being there.

type metadata struct {
	Name        string            `json:"name,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Finalizers  []string          `json:"finalizers,omitempty" patchStrategy:"merge"`

	GenerateName    any `json:"generateName,omitempty"`
	OwnerReferences any `json:"ownerReferences,omitempty"`
}

type application struct {
	APIVersion string          `json:"apiVersion,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	Metadata   metadata        `json:"metadata"`
	Spec       applicationSpec `json:"spec"`
	Operation  any             `json:"operation,omitempty"`
	Status     any             `json:"status,omitempty"`
}

type applicationSpec struct {
	Source               *source            `json:"source,omitempty"`
	Sources              []source           `json:"sources,omitempty"`
	SourceHydrator       any                `json:"sourceHydrator,omitempty"`
	Destination          destination        `json:"destination"`
	Project              string             `json:"project"`
	SyncPolicy           *syncPolicy        `json:"syncPolicy,omitempty"`
	IgnoreDifferences    []ignoreDifference `json:"ignoreDifferences,omitempty"`
	Info                 any                `json:"info,omitempty"`
	RevisionHistoryLimit any                `json:"revisionHistoryLimit,omitempty"`
}

type destination struct {
	Server    string `json:"server,omitempty"`
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
}

type source struct {
	RepoURL        string           `json:"repoURL"`
	Path           string           `json:"path,omitempty"`
	TargetRevision string           `json:"targetRevision,omitempty"`
	TagPrefix      string           `json:"tagPrefix,omitempty"`
	Chart          string           `json:"chart,omitempty"`
	Ref            string           `json:"ref,omitempty"`
	Name           string           `json:"name,omitempty"`
	Helm           *helmSource      `json:"helm,omitempty"`
	Kustomize      *kustomizeSource `json:"kustomize,omitempty"`
	Directory      *directorySource `json:"directory,omitempty"`
	Plugin         any              `json:"plugin,omitempty"`
}

type helmSource struct {
	ValueFiles              []string            `json:"valueFiles,omitempty"`
	Parameters              []helmParameter     `json:"parameters,omitempty"`
	FileParameters          []app.FileParameter `json:"fileParameters,omitempty"`
	ReleaseName             string              `json:"releaseName,omitempty"`
	Values                  string              `json:"values,omitempty" patchStrategy:"replace"`
	ValuesObject            map[string]any      `json:"valuesObject,omitempty"`
	Version                 string              `json:"version,omitempty"`
	PassCredentials         bool                `json:"passCredentials,omitempty"`
	IgnoreMissingValueFiles bool                `json:"ignoreMissingValueFiles,omitempty"`
	SkipCRDs                bool                `json:"skipCrds,omitempty"`
	SkipTests               bool                `json:"skipTests,omitempty"`
	SkipSchemaValidation    bool                `json:"skipSchemaValidation,omitempty"`
	Namespace               string              `json:"namespace,omitempty"`
	KubeVersion             string              `json:"kubeVersion,omitempty"`
	APIVersions             []string            `json:"apiVersions,omitempty"`
}

type helmParameter struct {
	Name        string `json:"name,omitempty"`
	Value       string `json:"value,omitempty"`
	ForceString bool   `json:"forceString,omitempty"`
}

type kustomizeSource struct {
	NamePrefix                string               `json:"namePrefix,omitempty"`
	NameSuffix                string               `json:"nameSuffix,omitempty"`
	Namespace                 string               `json:"namespace,omitempty"`
	Images                    []string             `json:"images,omitempty"`
	Replicas                  []kustomizeReplica   `json:"replicas,omitempty"`
	CommonLabels              map[string]string    `json:"commonLabels,omitempty"`
	ForceCommonLabels         bool                 `json:"forceCommonLabels,omitempty"`
	LabelWithoutSelector      bool                 `json:"labelWithoutSelector,omitempty"`
	LabelIncludeTemplates     bool                 `json:"labelIncludeTemplates,omitempty"`
	CommonAnnotations         map[string]string    `json:"commonAnnotations,omitempty"`
	ForceCommonAnnotations    bool                 `json:"forceCommonAnnotations,omitempty"`
	CommonAnnotationsEnvsubst bool                 `json:"commonAnnotationsEnvsubst,omitempty"`
	Patches                   []app.KustomizePatch `json:"patches,omitempty"`
	Components                []string             `json:"components,omitempty"`
	IgnoreMissingComponents   bool                 `json:"ignoreMissingComponents,omitempty"`
	Version                   string               `json:"version,omitempty"`
	KubeVersion               string               `json:"kubeVersion,omitempty"`
	APIVersions               []string             `json:"apiVersions,omitempty"`
}

type kustomizeReplica struct {
	Name  string `json:"name"`
	Count any    `json:"count"`
}

type directorySource struct {
	Recurse bool          `json:"recurse,omitempty"`
	Include string        `json:"include,omitempty"`
	Exclude string        `json:"exclude,omitempty"`
	Jsonnet jsonnetSource `json:"jsonnet,omitempty"`
}

type jsonnetSource struct {
	ExtVars []app.JsonnetVariable `json:"extVars,omitempty"`
	TLAs    []app.JsonnetVariable `json:"tlas,omitempty"`
	Libs    []string              `json:"libs,omitempty"`
}

type syncPolicy struct {
	Automated                *automatedPolicy   `json:"automated,omitempty"`
	SyncOptions              []string           `json:"syncOptions,omitempty"`
	Retry                    *retryPolicy       `json:"retry,omitempty"`
	ManagedNamespaceMetadata *namespaceMetadata `json:"managedNamespaceMetadata,omitempty"`
}

type automatedPolicy struct {
	Prune      bool  `json:"prune,omitempty"`
	SelfHeal   bool  `json:"selfHeal,omitempty"`
	AllowEmpty bool  `json:"allowEmpty,omitempty"`
	Enabled    *bool `json:"enabled,omitempty"`
}

type retryPolicy struct {
	Limit   int64    `json:"limit,omitempty"`
	Backoff *backoff `json:"backoff,omitempty"`
	Refresh bool     `json:"refresh,omitempty"`
}

type backoff struct {
	Duration    string `json:"duration,omitempty"`
	Factor      *int64 `json:"factor,omitempty"`
	MaxDuration string `json:"maxDuration,omitempty"`
}

type namespaceMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ignoreDifference struct {
	Group                 string   `json:"group,omitempty"`
	Kind                  string   `json:"kind"`
	Name                  string   `json:"name,omitempty"`
	Namespace             string   `json:"namespace,omitempty"`
	JSONPointers          []string `json:"jsonPointers,omitempty"`
	JQPathExpressions     []string `json:"jqPathExpressions,omitempty"`
	ManagedFieldsManagers []string `json:"managedFieldsManagers,omitempty"`
}

type appProject struct {
	APIVersion string      `json:"apiVersion,omitempty"`
	Kind       string      `json:"kind,omitempty"`
	Metadata   metadata    `json:"metadata"`
	Spec       projectSpec `json:"spec"`
	Status     any         `json:"status,omitempty"`
}

type projectSpec struct {
	Description                     string           `json:"description,omitempty"`
	SourceRepos                     []string         `json:"sourceRepos,omitempty"`
	SourceNamespaces                []string         `json:"sourceNamespaces,omitempty"`
	Destinations                    []destination    `json:"destinations,omitempty"`
	DestinationServiceAccounts      []serviceAccount `json:"destinationServiceAccounts,omitempty"`
	ClusterResourceWhitelist        []resourceRule   `json:"clusterResourceWhitelist,omitempty"`
	ClusterResourceBlacklist        []resourceRule   `json:"clusterResourceBlacklist,omitempty"`
	NamespaceResourceWhitelist      []resourceRule   `json:"namespaceResourceWhitelist,omitempty"`
	NamespaceResourceBlacklist      []resourceRule   `json:"namespaceResourceBlacklist,omitempty"`
	SyncWindows                     []syncWindow     `json:"syncWindows,omitempty"`
	Roles                           []any            `json:"roles,omitempty"`
	OrphanedResources               any              `json:"orphanedResources,omitempty"`
	SignatureKeys                   []signatureKey   `json:"signatureKeys,omitempty"`
	SourceIntegrity                 any              `json:"sourceIntegrity,omitempty"`
	PermitOnlyProjectScopedClusters bool             `json:"permitOnlyProjectScopedClusters,omitempty"`
}

type signatureKey struct {
	KeyID string `json:"keyID"`
}

type serviceAccount struct {
	Server                string `json:"server"`
	Namespace             string `json:"namespace,omitempty"`
	DefaultServiceAccount string `json:"defaultServiceAccount"`
}

type resourceRule struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"`
}

type syncWindow struct {
	Kind         string   `json:"kind,omitempty"`
	Schedule     string   `json:"schedule,omitempty"`
	Duration     string   `json:"duration,omitempty"`
	Applications []string `json:"applications,omitempty"`
	Namespaces   []string `json:"namespaces,omitempty"`
	Clusters     []string `json:"clusters,omitempty"`
	ManualSync   bool     `json:"manualSync,omitempty"`
	TimeZone     string   `json:"timeZone,omitempty"`
	AndOperator  bool     `json:"andOperator,omitempty"`
	Description  string   `json:"description,omitempty"`
	SyncOverrun  bool     `json:"syncOverrun,omitempty"`
}
