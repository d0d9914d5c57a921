package build

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// The names of facts. That of a kind's scope is factScope followed by Kind.group.
const (
	FactVersion = "kubernetesVersion"
	FactAPIs    = "apiVersions"
	factScope   = "scope "
)

// Answer returns what facts say, as a value that can be compared.
func Answer(facts app.Facts, name string) string {
	switch {
	case name == FactVersion:
		return facts.KubernetesVersion
	case name == FactAPIs:
		return object.Digest([]byte(strings.Join(facts.APIVersions, "\n")))
	}
	kind := schema.ParseGroupKind(strings.TrimPrefix(name, factScope))
	namespaced, known := facts.Namespaced(kind)
	switch {
	case !known:
		return "unknown"
	case namespaced:
		return "namespaced"
	}
	return "cluster"
}

// Holds reports whether facts answer as they did when they were looked at.
func Holds(facts app.Facts, seen []Fact) bool {
	for _, fact := range seen {
		if Answer(facts, fact.Name) != fact.Value {
			return false
		}
	}
	return true
}

// look notes that the result depends on a fact, and returns its value.
func (f *finisher) look(name string) string {
	value := Answer(f.job.Facts, name)
	for _, fact := range f.facts {
		if fact.Name == name {
			return value
		}
	}
	f.facts = append(f.facts, Fact{name, value})
	return value
}

// builtin says of Kubernetes' own kinds, per group, whether they have namespaces. No server differs in them, so they
// are no facts about a cluster.
var builtin = func() map[schema.GroupKind]bool {
	scopes := map[schema.GroupKind]bool{}
	add := func(namespaced bool, group, kinds string) {
		for kind := range strings.FieldsSeq(kinds) {
			scopes[schema.GroupKind{Group: group, Kind: kind}] = namespaced
		}
	}
	add(true, "", "Binding ConfigMap Endpoints Event LimitRange PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount")
	add(false, "", "ComponentStatus Namespace Node PersistentVolume")
	add(false, "admissionregistration.k8s.io", "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration")
	add(false, "apiextensions.k8s.io", "CustomResourceDefinition")
	add(false, "apiregistration.k8s.io", "APIService")
	add(true, "apps", "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet")
	add(false, "authentication.k8s.io", "SelfSubjectReview TokenReview")
	add(true, "authorization.k8s.io", "LocalSubjectAccessReview")
	add(false, "authorization.k8s.io", "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview")
	add(true, "autoscaling", "HorizontalPodAutoscaler")
	add(true, "batch", "CronJob Job")
	add(false, "certificates.k8s.io", "CertificateSigningRequest ClusterTrustBundle")
	add(true, "certificates.k8s.io", "PodCertificateRequest")
	add(true, "coordination.k8s.io", "Lease LeaseCandidate")
	add(true, "discovery.k8s.io", "EndpointSlice")
	add(true, "events.k8s.io", "Event")
	add(false, "flowcontrol.apiserver.k8s.io", "FlowSchema PriorityLevelConfiguration")
	add(true, "networking.k8s.io", "Ingress NetworkPolicy")
	add(false, "networking.k8s.io", "IPAddress IngressClass ServiceCIDR")
	add(false, "node.k8s.io", "RuntimeClass")
	add(true, "policy", "PodDisruptionBudget")
	add(true, "rbac.authorization.k8s.io", "Role RoleBinding")
	add(false, "rbac.authorization.k8s.io", "ClusterRole ClusterRoleBinding")
	add(true, "resource.k8s.io", "ResourceClaim ResourceClaimTemplate")
	add(false, "resource.k8s.io", "DeviceClass DeviceTaintRule ResourceSlice")
	add(false, "scheduling.k8s.io", "PriorityClass")
	add(true, "scheduling.k8s.io", "Workload")
	add(true, "storage.k8s.io", "CSIStorageCapacity")
	add(false, "storage.k8s.io", "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass")
	return scopes
}()

// scope tells whether a kind has namespaces: from the CRDs of the same render, from Kubernetes itself, and then from
// the cluster.
func (f *finisher) scope(kind schema.GroupKind) (namespaced, known bool) {
	if namespaced, known = f.crds[kind]; known {
		return namespaced, known
	}
	if namespaced, known = builtin[kind]; known {
		return namespaced, known
	}
	switch f.look(factScope + kind.String()) {
	case "namespaced":
		return true, true
	case "cluster":
		return false, true
	}
	return false, false
}
