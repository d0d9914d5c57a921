package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Delivery says what goes where: on each cluster that it selects there is an app of the Delivery's name. Removing a
// Delivery, or selecting fewer clusters, leaves its objects in place without an owner, for another app to take over.
//
// The fields marked *template* may hold ${cluster.name}, ${cluster.labels.KEY} and ${cluster.variables.NAME}. A cluster
// that lacks what is asked for does not get the Delivery, and says so; $${ stands for a plain ${.
type Delivery struct {
	// APIVersion is nave.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Delivery.
	Kind string `json:"kind"`
	// Metadata names the Delivery and its app on every cluster.
	Metadata Metadata `json:"metadata"`
	// Spec says what goes where.
	Spec DeliverySpec `json:"spec"`
}

// DeliverySpec says what goes where, and how it is kept there.
type DeliverySpec struct {
	// Clusters that get the app.
	Clusters ClusterSelection `json:"clusters"`
	// Source of the app's files.
	Source DeliverySource `json:"source"`
	// Kind says how files become objects. With auto, a directory with a Chart.yaml is a Helm chart, one with a
	// kustomization file is built by Kustomize, and any other holds plain manifests. Flux builds a directory as Flux
	// does: also without a kustomization file, with all manifests below it.
	// +default=auto
	Kind RenderKind `json:"kind,omitempty"`
	// Helm has the parameters of a chart.
	Helm *Helm `json:"helm,omitempty"`
	// Namespace of objects that state none and need one.
	// +pattern=^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$
	// +example=shop
	Namespace string `json:"namespace,omitempty"`
	// CreateNamespace makes namespaces that the app's objects are in and that no app has.
	// +default=false
	CreateNamespace bool `json:"createNamespace,omitempty"`
	// Substitute replaces ${NAME} in rendered manifests by variables, those of the cluster and those below.
	// +default=false
	Substitute bool `json:"substitute,omitempty"`
	// Variables to substitute beside the cluster's, which they override. Values: *template*.
	// +example={REGION: "${cluster.labels.region}"}
	Variables map[string]string `json:"variables,omitempty"`
	// DependsOn are Deliveries that must be healthy on a cluster before this one is applied there.
	// +example=[cert-manager]
	DependsOn []string `json:"dependsOn,omitempty"`
	// Prune deletes objects that are no longer in Git, within the safety rules: large and dangerous deletions wait for a
	// confirmation. The default is that of the Fleet's spec.defaults.
	// +default=true
	Prune *bool `json:"prune,omitempty"`
	// ConfirmPrune is the digest of a held list of deletions, as nave plan prints it: committed with the change, it
	// confirms exactly that list.
	// +pattern=^[0-9a-f]{8,64}$
	// +example=3f9a0c1de2b4a596
	ConfirmPrune string `json:"confirmPrune,omitempty"`
	// PruneFirst deletes without waiting until what is new is healthy.
	// +default=false
	PruneFirst bool `json:"pruneFirst,omitempty"`
	// Replace deletes and creates anew objects of which a field changed that cannot be changed.
	// +default=false
	Replace bool `json:"replace,omitempty"`
	// CreateOnly are objects that are created where they are missing and otherwise left as they are, whatever Git and
	// others make of them. They may come out differently at each render and for each cluster, as passwords and
	// certificates that a chart makes up do. One that existed before the app gets its marks and nothing else.
	CreateOnly []ObjectRule `json:"createOnly,omitempty"`
	// Drift says what happens when somebody else changes an object.
	Drift Drift `json:"drift,omitzero"`
	// Limits are what the app may touch. They are required for a source other than the fleet repository.
	Limits Limits `json:"limits,omitzero"`
	// Dialect is what is done with Argo CD's objects among those of the app.
	Dialect Dialect `json:"dialect,omitzero"`
	// ServiceAccount that is impersonated for writes, as NAMESPACE/NAME on each cluster.
	// +pattern=^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$
	// +example=shop/deployer
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Deadline is how long the app may take to become healthy before it counts as degraded. The default is that of the
	// Fleet's spec.defaults.
	// +default=10m
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// Suspend leaves the app as it is, everywhere: nothing is written, and what differs is still reported.
	// +default=false
	Suspend bool `json:"suspend,omitempty"`
}

// ClusterSelection says which clusters are meant: all, or those that are named together with those that the selector
// matches. A selection that says nothing is refused; it never means all.
type ClusterSelection struct {
	// All selects every cluster of the fleet.
	// +default=false
	All bool `json:"all,omitempty"`
	// Names of clusters.
	// +example=[prod-eu-1, prod-eu-2]
	Names []string `json:"names,omitempty"`
	// Selector by labels, with matchLabels and matchExpressions as Kubernetes has them.
	// +example={matchLabels: {env: prod}, matchExpressions: [{key: region, operator: In, values: [eu, us]}]}
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// DeliverySource says where an app's files are.
type DeliverySource struct {
	// Name of a source of the Fleet. Without a name it is the fleet repository itself.
	// +example=payments
	Name string `json:"name,omitempty"`
	// Path of a directory from the top of a Git repository; "." is the top itself. *Template*.
	// +example=apps/cart/overlays/${cluster.labels.env}
	Path string `json:"path,omitempty"`
	// Revision in place of the source's own; in the fleet repository, in place of the commit that this document is in.
	// *Template*.
	// +example={tag: "release-${cluster.labels.env}"}
	Revision *Revision `json:"revision,omitempty"`
	// Chart of a source of type helm, by its name, in place of a path; in a registry, the path below the source's URL.
	// *Template*.
	// +example=redis
	Chart string `json:"chart,omitempty"`
	// Version of the chart: one, or a range of which the highest is followed. A pre-release counts only if the range
	// names one; "*" is every other. *Template*.
	// +example=~18.1
	Version string `json:"version,omitempty"`
}

// RenderKind is a way to make objects of files.
type RenderKind string

// The ways to render.
const (
	RenderAuto      RenderKind = "auto"
	RenderPlain     RenderKind = "plain"
	RenderKustomize RenderKind = "kustomize"
	RenderHelm      RenderKind = "helm"
	RenderFlux      RenderKind = "flux"
)

// Helm has the parameters of a chart that is in the source, or is one of the source's.
type Helm struct {
	// ReleaseName is the app's name unless it is stated. At most 53 characters.
	// +pattern=^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$
	// +example=cart
	ReleaseName string `json:"releaseName,omitempty"`
	// ValueFiles in the source, from the chart's directory or, with a leading slash, from the top. Later ones win. A
	// pattern with *, **, ? or [a-z] stands for the files that match it, in the order of names. *Template*.
	// +example=["values-${cluster.labels.env}.yaml"]
	ValueFiles []string `json:"valueFiles,omitempty"`
	// Values that win over those of files. All texts in them: *template*.
	// +example={ingress: {host: "cart.${cluster.variables.DOMAIN}"}}
	Values map[string]any `json:"values,omitempty"`
	// SkipCRDs leaves out what is in the chart's crds directory.
	// +default=false
	SkipCRDs bool `json:"skipCRDs,omitempty"`
	// Release makes a release of Helm of the chart, which Helm installs and upgrades on each cluster and helm list shows,
	// in place of applying what the chart renders to. To change from one to the other, see adopt.
	Release *HelmRelease `json:"release,omitempty"`
}

// HelmRelease says how a release is kept on a cluster.
type HelmRelease struct {
	// Adopt takes over objects that exist: those of this app while it was rendered, and those that nobody has. Without
	// it an object that exists is an error. What another app has is never taken over.
	// +default=false
	Adopt bool `json:"adopt,omitempty"`
	// Timeout of each thing that Helm waits for: a hook, or that what it applied is ready.
	// +default=5m
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Wait waits until what was applied is ready, and takes it for a failure if it is not in time.
	// +default=true
	Wait *bool `json:"wait,omitempty"`
	// Test runs the chart's tests after each installation and upgrade; a test that fails is a failure of it.
	// +default=false
	Test bool `json:"test,omitempty"`
	// Retries of an installation or upgrade that failed. Before each, what failed is uninstalled or rolled back.
	// +default=0
	Retries int `json:"retries,omitempty"`
	// Rollback rolls a failed upgrade back once there are no retries left. Otherwise it stays as it failed.
	// +default=true
	Rollback *bool `json:"rollback,omitempty"`
	// CRDs says what is done with the chart's crds directory: create makes those that are not there, replace updates the
	// others as well, and skip does neither. None are ever deleted.
	// +default=create
	CRDs CRDPolicy `json:"crds,omitempty"`
	// History is how many revisions Helm keeps on the cluster.
	// +default=5
	History int `json:"history,omitempty"`
}

// CRDPolicy is what is done with the definitions in a chart's crds directory.
type CRDPolicy string

// What is done with definitions.
const (
	CRDsCreate  CRDPolicy = "create"
	CRDsReplace CRDPolicy = "replace"
	CRDsSkip    CRDPolicy = "skip"
)

// Drift says what happens when somebody else changes, adds to or deletes an object.
type Drift struct {
	// Mode is correct, which undoes the change at once, or report, which only shows it. The default is that of the
	// Fleet's spec.defaults.
	// +default=correct
	Mode DriftMode `json:"mode,omitempty"`
	// Ignore are fields that others may set: they are never drift.
	Ignore []FieldRule `json:"ignore,omitempty"`
}

// DriftMode is what is done about drift.
type DriftMode string

// What is done about drift.
const (
	DriftCorrect DriftMode = "correct"
	DriftReport  DriftMode = "report"
)

// FieldRule names fields of objects of a kind.
type FieldRule struct {
	// Group of the kind; without it, the core group.
	// +example=apps
	Group string `json:"group,omitempty"`
	// Kind of the objects; "*" is every kind of every group.
	// +example=Deployment
	Kind string `json:"kind"`
	// Name of the one object that is meant; without it, all are.
	// +example=web
	Name string `json:"name,omitempty"`
	// Paths of the fields.
	// +example=[spec.replicas, 'metadata.annotations["example.com/rev"]']
	Paths []string `json:"paths"`
}

// ObjectRule names objects of a kind.
type ObjectRule struct {
	// Group of the kind; without it, the core group.
	// +example=apps
	Group string `json:"group,omitempty"`
	// Kind of the objects.
	// +example=Secret
	Kind string `json:"kind"`
	// Name of the one object that is meant; without it, all are.
	// +example=web-password
	Name string `json:"name,omitempty"`
}

// Limits are what an app may touch. They keep mistakes in bounds; against attackers impersonate a service account too.
type Limits struct {
	// Namespaces that objects may be in; "*" stands for anything. Without any, all are allowed, except to a source other
	// than the fleet repository, which must name some.
	// +example=[payments, payments-*]
	Namespaces []string `json:"namespaces,omitempty"`
	// Kinds that are allowed, as KIND or KIND.GROUP, with "*" for any kind. Without any, all are allowed.
	// +example=[ConfigMap, Deployment.apps]
	Kinds []string `json:"kinds,omitempty"`
	// NamespacedOnly refuses objects of cluster-wide kinds. For a source other than the fleet repository it is true
	// unless stated.
	// +default=false
	NamespacedOnly *bool `json:"namespacedOnly,omitempty"`
	// Clusters that the Delivery may be on, by name; "*" stands for anything. Without any, all are allowed. One that is
	// selected and not allowed is refused.
	// +example=[dev-*]
	Clusters []string `json:"clusters,omitempty"`
}
