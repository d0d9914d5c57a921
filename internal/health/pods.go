package health

import (
	"fmt"
	"strings"
)

// podHealth differs from Argo CD in three things: it looks at init containers too, it names the container and the
// reason, and a pod without a phase is Progressing, not Unknown.
func podHealth(o object) Result {
	containers := append(o.objects("status", "initContainerStatuses"), o.objects("status", "containerStatuses")...)
	policy := o.text("spec", "restartPolicy")
	forever := policy == "" || policy == "Always"
	// A pod that runs to its end may be a hook. Calling it failed while the kubelet still retries would let the
	// deployment go on without it and the hook run later, so only its phase counts.
	if forever {
		if stuck := stuckContainers(containers); stuck != "" {
			return degraded("%s", stuck)
		}
	}
	message := o.text("status", "message")
	switch phase := o.text("status", "phase"); phase {
	case "", "Pending":
		if scheduled := o.condition("PodScheduled"); message == "" && scheduled.Status == "False" {
			message = scheduled.explain()
		}
		if message == "" {
			message = "the pod is not running yet"
		}
		return Result{Status: Progressing, Message: message}
	case "Succeeded":
		return healthy(message)
	case "Failed":
		if message == "" {
			message = failedContainer(containers)
		}
		return Result{Status: Degraded, Message: message}
	case "Running":
		if !forever {
			return progressing("the pod runs to its end")
		}
		ready := o.condition("Ready")
		if ready.holds() {
			return healthy(message)
		}
		for _, c := range o.objects("status", "containerStatuses") {
			if last := c.object("lastState", "terminated"); last != nil {
				return degraded("container %q is not ready after a restart: %s", c.text("name"), ended(last))
			}
		}
		if message == "" {
			message = ready.explain()
		}
		return Result{Status: Progressing, Message: message}
	default:
		return Result{Status: Unknown, Message: fmt.Sprintf("phase %q: %s", phase, message)}
	}
}

// stuckContainers names the containers that wait for a reason that does not go away by itself.
func stuckContainers(containers []object) string {
	var stuck []string
	for _, c := range containers {
		waiting := c.object("state", "waiting")
		reason := waiting.text("reason")
		if !strings.HasPrefix(reason, "Err") && !strings.HasSuffix(reason, "Error") && !strings.HasSuffix(reason, "BackOff") {
			continue
		}
		text := fmt.Sprintf("container %q: %s", c.text("name"), reason)
		if message := waiting.text("message"); message != "" {
			text += ": " + message
		}
		stuck = append(stuck, text)
	}
	return strings.Join(stuck, "; ")
}

// failedContainer says how the first container that failed ended.
func failedContainer(containers []object) string {
	for _, c := range containers {
		end := c.object("state", "terminated")
		if end == nil || end.number(0, "exitCode") == 0 && end.text("message") == "" {
			continue
		}
		return fmt.Sprintf("container %q failed: %s", c.text("name"), ended(end))
	}
	return "the pod failed"
}

// ended describes a terminated container state.
func ended(state object) string {
	if message := state.text("message"); message != "" {
		return message
	}
	reason := state.text("reason")
	if reason == "OOMKilled" {
		return "OOMKilled"
	}
	return strings.TrimSpace(fmt.Sprintf("%s exit code %d", reason, state.number(0, "exitCode")))
}
