package health

import (
	"fmt"
	"math"
	"time"
)

// The rules of this file and of builtin.go and pods.go give the verdicts that Argo CD's rules in Go give
// (https://argo-cd.readthedocs.io/en/stable/operator-manual/health/), with messages of their own. Where they differ, the
// rule says so.

func progressing(format string, args ...any) Result {
	return Result{Status: Progressing, Message: fmt.Sprintf(format, args...)}
}

func degraded(format string, args ...any) Result {
	return Result{Status: Degraded, Message: fmt.Sprintf(format, args...)}
}

func healthy(message string) Result { return Result{Status: Healthy, Message: message} }

// unobserved reports whether the controller has yet to see the object as it is now, or at all.
func unobserved(o object) bool {
	observed := o.number(0, "status", "observedGeneration")
	return observed == 0 || observed < o.number(0, "metadata", "generation")
}

const waitingForController = "waiting for the controller to see the latest change"

func deploymentHealth(o object) Result {
	if o.truth("spec", "paused") {
		return Result{Status: Suspended, Message: "the Deployment is paused"}
	}
	if unobserved(o) {
		return progressing(waitingForController)
	}
	rollout := o.condition("Progressing")
	want := o.number(1, "spec", "replicas")
	total, updated := o.number(0, "status", "replicas"), o.number(0, "status", "updatedReplicas")
	available := o.number(0, "status", "availableReplicas")
	var result Result
	switch {
	case rollout.Reason == "ProgressDeadlineExceeded":
		result = degraded("progress deadline exceeded with %d of %d replicas updated and %d available", updated, want, available)
	case updated < want:
		result = progressing("%d of %d replicas are updated", updated, want)
	case total > updated:
		result = progressing("%d old replicas still have to end", total-updated)
	case available < updated:
		result = progressing("%d of %d updated replicas are available", available, updated)
	default:
		return healthy("")
	}
	// Quota, admission and the like: the reason that no pod shows, as there is none.
	if failure := o.condition("ReplicaFailure"); failure.holds() {
		result.Message += ": " + failure.explain()
	}
	// Once a rollout is complete the controller stops watching the deadline: pods that fail later do not trip it.
	if result.Status == Progressing && rollout.Reason != "NewReplicaSetAvailable" {
		if seconds := o.number(600, "spec", "progressDeadlineSeconds"); seconds > 0 && seconds < math.MaxInt32 {
			result.OwnDeadline = time.Duration(seconds) * time.Second
		}
	}
	return result
}

func statefulSetHealth(o object) Result {
	if unobserved(o) {
		return progressing(waitingForController)
	}
	want := o.number(1, "spec", "replicas")
	ready, updated := o.number(0, "status", "readyReplicas"), o.number(0, "status", "updatedReplicas")
	if ready < want {
		return progressing("%d of %d pods are ready", ready, want)
	}
	strategy := o.object("spec", "updateStrategy")
	if strategy.text("type") == "OnDelete" {
		return healthy("")
	}
	if strategy.object("rollingUpdate") != nil {
		if goal := want - strategy.number(0, "rollingUpdate", "partition"); updated < goal {
			return progressing("%d of %d pods are updated", updated, goal)
		}
		return healthy("")
	}
	if current, next := o.text("status", "currentRevision"), o.text("status", "updateRevision"); current != next {
		return progressing("%d of %d pods are updated", updated, want)
	}
	return healthy("")
}

func daemonSetHealth(o object) Result {
	if unobserved(o) {
		return progressing(waitingForController)
	}
	if o.text("spec", "updateStrategy", "type") == "OnDelete" {
		return healthy("")
	}
	want := o.number(0, "status", "desiredNumberScheduled")
	if updated := o.number(0, "status", "updatedNumberScheduled"); updated < want {
		return progressing("%d of %d pods are updated", updated, want)
	}
	if available := o.number(0, "status", "numberAvailable"); available < want {
		return progressing("%d of %d pods are available", available, want)
	}
	return healthy("")
}

// replicaSetHealth also serves for ReplicationController, of which Argo CD knows nothing.
func replicaSetHealth(o object) Result {
	if unobserved(o) {
		return progressing(waitingForController)
	}
	if failure := o.condition("ReplicaFailure"); failure.holds() {
		return degraded("%s", failure.explain())
	}
	want := o.number(1, "spec", "replicas")
	if available := o.number(0, "status", "availableReplicas"); available < want {
		return progressing("%d of %d replicas are available", available, want)
	}
	return healthy("")
}

func jobHealth(o object) Result {
	for _, c := range o.conditions() {
		switch {
		case c.Type == "Failed" && c.holds():
			return degraded("%s", c.explain())
		case c.Type == "Complete" && c.holds():
			return healthy(c.Message)
		}
	}
	// Argo CD looks at the condition alone, which appears a moment after the field.
	if o.truth("spec", "suspend") {
		return Result{Status: Suspended, Message: "the Job is suspended"}
	}
	if o.object("status") == nil {
		return progressing(waitingForController)
	}
	return progressing("%d of %d completions, %d pods active, %d failed", o.number(0, "status", "succeeded"),
		o.number(o.number(1, "spec", "parallelism"), "spec", "completions"), o.number(0, "status", "active"), o.number(0, "status", "failed"))
}
