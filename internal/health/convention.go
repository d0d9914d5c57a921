package health

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// stateless are Kubernetes' own kinds, by group, whose status says nothing about health or that have none: existing is
// all they do. A kind that is not listed here and has no rule is judged by convention, so a kind that a later
// Kubernetes adds costs a watch of its status, not a wrong verdict.
var stateless = map[string][]string{
	"": {"Binding", "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "PodTemplate", "ResourceQuota", "Secret", "ServiceAccount"},
	"admissionregistration.k8s.io": {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration",
		"ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"},
	"apps":                         {"ControllerRevision"},
	"certificates.k8s.io":          {"ClusterTrustBundle"},
	"coordination.k8s.io":          {"Lease", "LeaseCandidate"},
	"discovery.k8s.io":             {"EndpointSlice"},
	"events.k8s.io":                {"Event"},
	"flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
	"networking.k8s.io":            {"IngressClass", "IPAddress", "NetworkPolicy"},
	"node.k8s.io":                  {"RuntimeClass"},
	"rbac.authorization.k8s.io":    {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"},
	"resource.k8s.io":              {"DeviceClass", "ResourceClaimTemplate", "ResourceSlice"},
	"scheduling.k8s.io":            {"PriorityClass"},
	"storage.k8s.io":               {"CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttributesClass"},
}

// byConvention judges an object by kstatus. An object that follows none of its conventions, and so one without a
// status, is Healthy because it exists.
func byConvention(obj *unstructured.Unstructured) (result Result) {
	// kstatus asserts types that a status from outside need not have.
	defer func() {
		if p := recover(); p != nil {
			result = Result{Status: Unknown, Message: fmt.Sprintf("reading the status: %v", p), Source: SourceKStatus}
		}
	}()
	computed, err := status.Compute(obj)
	if err != nil {
		return Result{Status: Unknown, Message: err.Error(), Source: SourceKStatus}
	}
	result = Result{Message: computed.Message, Source: SourceKStatus}
	switch computed.Status {
	case status.CurrentStatus:
		result.Status, result.Message = Healthy, ""
	case status.InProgressStatus, status.TerminatingStatus:
		result.Status = Progressing
	case status.FailedStatus:
		result.Status = Degraded
	default:
		result.Status = Unknown
	}
	return result
}
