package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Cluster is a member of the fleet. Its labels decide which Deliveries select it; the label nave.dev/cluster, its name,
// is always there. Removing the document leaves everything on the cluster as it is.
type Cluster struct {
	// APIVersion is nave.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Cluster.
	Kind string `json:"kind"`
	// Metadata names the cluster and has its labels.
	Metadata Metadata `json:"metadata"`
	// Spec may be left out.
	Spec ClusterSpec `json:"spec,omitzero"`
}

// ClusterSpec says what is particular about a cluster.
type ClusterSpec struct {
	// Variables that Deliveries may use in paths, revisions and Helm values as ${cluster.variables.NAME}, and that are
	// substituted in manifests as ${NAME} where a Delivery asks for it. Names are those of environment variables.
	// +example={DOMAIN: eu.shop.example.com}
	Variables map[string]string `json:"variables,omitempty"`
	// Aliases are other names of the cluster: those by which other tools know it, and the URL of its API server.
	// +example=[https://10.0.0.1:6443]
	Aliases []string `json:"aliases,omitempty"`
	// Identity is the lowest number of an agent's certificate that is accepted for the cluster. Each enrolment has a
	// higher one than that before, so that raising this revokes an agent; `nave clusters` shows the numbers.
	// +default=0
	Identity int `json:"identity,omitempty"`
	// Suspend leaves the cluster as it is: nothing is written to it, and what differs is still reported.
	// +default=false
	Suspend bool `json:"suspend,omitempty"`
	// Dialect is what is done on the cluster with Argo CD's objects where a Delivery does not say.
	Dialect Dialect `json:"dialect,omitzero"`
	// Expires ends the membership of an ephemeral cluster at a time, in the form of RFC 3339. From then on nothing is
	// written to it, and nothing that was applied to it is deleted; its agent, if it has one, leaves.
	// +example=2030-01-31T18:00:00Z
	Expires *metav1.Time `json:"expires,omitempty"`
	// KubernetesVersion is assumed for rendering as long as the cluster itself has not said which it has.
	// +pattern=^v1\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$
	// +example=v1.36.3
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
}

// Expired reports whether the cluster's time is over.
func (s ClusterSpec) Expired(now time.Time) bool {
	return s.Expires != nil && !s.Expires.IsZero() && !now.Before(s.Expires.Time)
}
