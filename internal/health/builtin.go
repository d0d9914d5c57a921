package health

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// builtins are the rules in Go. A Lua check for the same kind wins.
var builtins = map[schema.GroupKind]func(object) Result{
	{Kind: "PersistentVolume"}:                              persistentVolumeHealth,
	{Kind: "PersistentVolumeClaim"}:                         claimHealth,
	{Kind: "Pod"}:                                           podHealth,
	{Kind: "ReplicationController"}:                         replicaSetHealth,
	{Kind: "Service"}:                                       serviceHealth,
	{Group: "apiregistration.k8s.io", Kind: "APIService"}:   apiServiceHealth,
	{Group: "apps", Kind: "DaemonSet"}:                      daemonSetHealth,
	{Group: "apps", Kind: "Deployment"}:                     deploymentHealth,
	{Group: "apps", Kind: "ReplicaSet"}:                     replicaSetHealth,
	{Group: "apps", Kind: "StatefulSet"}:                    statefulSetHealth,
	{Group: "argoproj.io", Kind: "Workflow"}:                workflowHealth,
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}: autoscalerHealth,
	{Group: "batch", Kind: "Job"}:                           jobHealth,
	{Group: "extensions", Kind: "Ingress"}:                  ingressHealth,
	{Group: "networking.k8s.io", Kind: "Ingress"}:           ingressHealth,
}

func serviceHealth(o object) Result {
	if o.text("spec", "type") == "LoadBalancer" && len(o.list("status", "loadBalancer", "ingress")) == 0 {
		return progressing("waiting for the load balancer's address")
	}
	return healthy("")
}

func ingressHealth(o object) Result {
	if len(o.list("status", "loadBalancer", "ingress")) == 0 {
		return progressing("waiting for the ingress controller to publish an address")
	}
	return healthy("")
}

// claimHealth: a claim whose class binds with the first consumer is Progressing until there is one; the claim does not
// say which case it is.
func claimHealth(o object) Result {
	switch phase := o.text("status", "phase"); phase {
	case "Bound":
		return healthy("")
	case "Lost":
		return degraded("the claim lost its volume %s", o.text("spec", "volumeName"))
	case "", "Pending":
		for _, annotation := range []string{"volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"} {
			if provisioner := o.text("metadata", "annotations", annotation); provisioner != "" {
				return progressing("waiting for %s to make a volume", provisioner)
			}
		}
		return progressing("waiting for a volume, or for a pod that uses the claim")
	default:
		return Result{Status: Unknown, Message: "phase " + phase}
	}
}

// persistentVolumeHealth: Argo CD has no rule for the kind.
func persistentVolumeHealth(o object) Result {
	message := o.text("status", "message")
	switch phase := o.text("status", "phase"); phase {
	case "Available", "Bound", "Released":
		return healthy(message)
	case "Failed":
		return Result{Status: Degraded, Message: message}
	case "", "Pending":
		return progressing("waiting for the volume to become available")
	default:
		return Result{Status: Unknown, Message: "phase " + phase}
	}
}

func apiServiceHealth(o object) Result {
	available := o.condition("Available")
	switch {
	case available.Type == "":
		return progressing("waiting for the aggregator to see it")
	case available.holds():
		return healthy(available.Message)
	}
	return progressing("%s", available.explain())
}

func workflowHealth(o object) Result {
	message := o.text("status", "message")
	switch phase := o.text("status", "phase"); phase {
	case "", "Pending", "Running":
		return Result{Status: Progressing, Message: message}
	case "Succeeded":
		return healthy(message)
	case "Failed", "Error":
		return Result{Status: Degraded, Message: message}
	default:
		return Result{Status: Unknown, Message: "phase " + phase}
	}
}

// scalingFailures are the reasons for which an autoscaler is Degraded, by condition.
var scalingFailures = map[string][]string{
	"AbleToScale":   {"FailedGetScale", "FailedUpdateScale"},
	"ScalingActive": {"FailedGetResourceMetric", "InvalidSelector"},
}

// autoscalerHealth takes the first telling condition in the order of the list, as Argo CD does. The controller lists
// AbleToScale first, so an autoscaler that reaches its target but has no metrics is Healthy, and says what it lacks: it
// holds the replicas it has.
func autoscalerHealth(o object) Result {
	conditions := o.conditions()
	if len(conditions) == 0 {
		// autoscaling/v1 has conditions only in this annotation; what does not parse counts as absent.
		if err := json.Unmarshal([]byte(o.text("metadata", "annotations", "autoscaling.alpha.kubernetes.io/conditions")), &conditions); err != nil {
			conditions = nil
		}
	}
	for _, c := range conditions {
		for _, reason := range scalingFailures[c.Type] {
			if c.Reason == reason {
				return degraded("%s", c.explain())
			}
		}
		if c.holds() && (c.Type == "AbleToScale" || c.Type == "ScalingLimited") {
			for _, active := range conditions {
				if active.Type == "ScalingActive" && active.Status == "False" {
					return healthy("not scaling: " + active.explain())
				}
			}
			return healthy(c.Message)
		}
	}
	return progressing("waiting for the autoscaler's first look at its target")
}
