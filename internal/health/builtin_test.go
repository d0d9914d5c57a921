package health

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func parse(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	return readObject(t, []byte(text))
}

// TestBuiltins states the verdict on Kubernetes' own kinds. Messages are compared in full: they are what a person reads
// first.
func TestBuiltins(t *testing.T) {
	tests := []struct{ reason, object, want string }{
		{"a complete rollout", `{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 2}, spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 2, availableReplicas: 2}}`, "Healthy: "},
		{"scaled to nothing", `{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {replicas: 0}, status: {observedGeneration: 1}}`, "Healthy: "},
		{"no status yet", `{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 1}, spec: {replicas: 1}}`, "Progressing: waiting for the controller to see the latest change"},
		{"an older generation seen", `{apiVersion: apps/v1, kind: Deployment, metadata: {generation: 3}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}`, "Progressing: waiting for the controller to see the latest change"},
		{"paused", `{apiVersion: apps/v1, kind: Deployment, spec: {paused: true}}`, "Suspended: the Deployment is paused"},
		{"new pods are missing", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 3}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}`, "Progressing: 1 of 3 replicas are updated"},
		{"one replica is the default", `{apiVersion: apps/v1, kind: Deployment, spec: {}, status: {observedGeneration: 1}}`, "Progressing: 0 of 1 replicas are updated"},
		{"old pods remain", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 3}}`, "Progressing: 2 old replicas still have to end"},
		{"new pods are not ready", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}, status: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 1}}`, "Progressing: 1 of 2 updated replicas are available"},
		{"pods are refused", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}, status: {observedGeneration: 1, conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "pods \"a\" is forbidden: exceeded quota"}]}}`, `Progressing: 0 of 2 replicas are updated: pods "a" is forbidden: exceeded quota`},
		{"a rollout out of time", `{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}, status: {observedGeneration: 1, replicas: 3, updatedReplicas: 1, availableReplicas: 2, conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}}`, "Degraded: progress deadline exceeded with 1 of 2 replicas updated and 2 available"},

		{"a complete stateful set", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 2, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}}, status: {observedGeneration: 1, readyReplicas: 2, updatedReplicas: 2, currentRevision: a, updateRevision: a}}`, "Healthy: "},
		{"a stateful set that nobody saw", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {generation: 1}, spec: {replicas: 0}}`, "Progressing: waiting for the controller to see the latest change"},
		{"pods not ready", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3}, status: {observedGeneration: 1, readyReplicas: 1}}`, "Progressing: 1 of 3 pods are ready"},
		{"a rolling update", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}}, status: {observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1}}`, "Progressing: 1 of 3 pods are updated"},
		{"a partition that is done", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}}, status: {observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, "Healthy: "},
		{"an update that a person makes", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 1, updateStrategy: {type: OnDelete}}, status: {observedGeneration: 1, readyReplicas: 1, updatedReplicas: 0, currentRevision: a, updateRevision: b}}`, "Healthy: "},
		{"a new revision without a stated strategy", `{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 2}, status: {observedGeneration: 1, readyReplicas: 2, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, "Progressing: 1 of 2 pods are updated"},

		{"a complete daemon set", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}}`, "Healthy: "},
		{"a daemon set without nodes", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 1}, status: {observedGeneration: 1, desiredNumberScheduled: 0}}`, "Healthy: "},
		{"a daemon set that nobody saw", `{apiVersion: apps/v1, kind: DaemonSet, metadata: {generation: 1}}`, "Progressing: waiting for the controller to see the latest change"},
		{"old daemons", `{apiVersion: apps/v1, kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 2}}`, "Progressing: 1 of 2 pods are updated"},
		{"daemons not ready", `{apiVersion: apps/v1, kind: DaemonSet, status: {observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}}`, "Progressing: 1 of 2 pods are available"},
		{"daemons that a person updates", `{apiVersion: apps/v1, kind: DaemonSet, spec: {updateStrategy: {type: OnDelete}}, status: {observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 0}}`, "Healthy: "},

		{"a complete replica set", `{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: 1}, status: {observedGeneration: 1, availableReplicas: 1}}`, "Healthy: "},
		{"a replica set that cannot make pods", `{apiVersion: apps/v1, kind: ReplicaSet, spec: {replicas: 1}, status: {observedGeneration: 1, conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate}]}}`, "Degraded: FailedCreate"},
		{"replicas not ready", `{apiVersion: v1, kind: ReplicationController, spec: {replicas: 2}, status: {observedGeneration: 1, availableReplicas: 1}}`, "Progressing: 1 of 2 replicas are available"},

		{"a job that failed", `{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: FailureTarget, status: "True"}, {type: Failed, status: "True", reason: BackoffLimitExceeded, message: too many}]}}`, "Degraded: too many"},
		{"a job that is done", `{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Suspended, status: "False"}, {type: Complete, status: "True"}]}}`, "Healthy: "},
		{"a job that waits", `{apiVersion: batch/v1, kind: Job, spec: {suspend: true}, status: {conditions: [{type: Suspended, status: "True"}]}}`, "Suspended: the Job is suspended"},
		{"a job that runs", `{apiVersion: batch/v1, kind: Job, spec: {parallelism: 2}, status: {active: 2, failed: 1}}`, "Progressing: 0 of 2 completions, 2 pods active, 1 failed"},
		{"a job that nobody saw", `{apiVersion: batch/v1, kind: Job, spec: {}}`, "Progressing: waiting for the controller to see the latest change"},

		{"a pod at work", `{apiVersion: v1, kind: Pod, spec: {restartPolicy: Always}, status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`, "Healthy: "},
		{"a pod that starts", `{apiVersion: v1, kind: Pod, spec: {restartPolicy: Always}, status: {phase: Running, conditions: [{type: Ready, status: "False", message: "containers with unready status: [a]"}]}}`, "Progressing: containers with unready status: [a]"},
		{"a crash loop", `{apiVersion: v1, kind: Pod, spec: {restartPolicy: Always}, status: {phase: Running, containerStatuses: [{name: a, state: {waiting: {reason: CrashLoopBackOff, message: back-off 40s}}}]}}`, `Degraded: container "a": CrashLoopBackOff: back-off 40s`},
		{"an image that is not there", `{apiVersion: v1, kind: Pod, spec: {}, status: {phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ImagePullBackOff}}}, {name: b, state: {waiting: {reason: ErrImagePull}}}]}}`, `Degraded: container "a": ImagePullBackOff; container "b": ErrImagePull`},
		{"an init container in a crash loop", `{apiVersion: v1, kind: Pod, spec: {}, status: {phase: Pending, initContainerStatuses: [{name: i, state: {waiting: {reason: CrashLoopBackOff}}}]}}`, `Degraded: container "i": CrashLoopBackOff`},
		{"a pod whose container is made", `{apiVersion: v1, kind: Pod, spec: {}, status: {phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ContainerCreating}}}]}}`, "Progressing: the pod is not running yet"},
		{"a hook whose image is not there may still run", `{apiVersion: v1, kind: Pod, spec: {restartPolicy: Never}, status: {phase: Pending, containerStatuses: [{name: a, state: {waiting: {reason: ImagePullBackOff}}}]}}`, "Progressing: the pod is not running yet"},
		{"a pod without a node", `{apiVersion: v1, kind: Pod, status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available"}]}}`, "Progressing: 0/3 nodes are available"},
		{"a pod that runs to its end", `{apiVersion: v1, kind: Pod, spec: {restartPolicy: OnFailure}, status: {phase: Running}}`, "Progressing: the pod runs to its end"},
		{"a pod that was killed for memory", `{apiVersion: v1, kind: Pod, status: {phase: Running, conditions: [{type: Ready, status: "False"}], containerStatuses: [{name: a, lastState: {terminated: {reason: OOMKilled, exitCode: 137}}}]}}`, `Degraded: container "a" is not ready after a restart: OOMKilled`},
		{"a pod that ended well", `{apiVersion: v1, kind: Pod, status: {phase: Succeeded}}`, "Healthy: "},
		{"a pod that was evicted", `{apiVersion: v1, kind: Pod, status: {phase: Failed, message: the node was low on memory}}`, "Degraded: the node was low on memory"},
		{"a pod that ended badly", `{apiVersion: v1, kind: Pod, spec: {restartPolicy: Never}, status: {phase: Failed, containerStatuses: [{name: a, state: {terminated: {exitCode: 0}}}, {name: b, state: {terminated: {exitCode: 3}}}]}}`, `Degraded: container "b" failed: exit code 3`},
		{"a pod that nobody saw", `{apiVersion: v1, kind: Pod}`, "Progressing: the pod is not running yet"},
		{"a pod on a lost node", `{apiVersion: v1, kind: Pod, status: {phase: Unknown, message: node lost}}`, `Unknown: phase "Unknown": node lost`},

		{"a plain service", `{apiVersion: v1, kind: Service, spec: {type: ClusterIP}}`, "Healthy: "},
		{"a load balancer on its way", `{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}, status: {loadBalancer: {}}}`, "Progressing: waiting for the load balancer's address"},
		{"a load balancer", `{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}`, "Healthy: "},
		{"an ingress on its way", `{apiVersion: networking.k8s.io/v1, kind: Ingress}`, "Progressing: waiting for the ingress controller to publish an address"},
		{"an ingress", `{apiVersion: networking.k8s.io/v1, kind: Ingress, status: {loadBalancer: {ingress: [{hostname: a.example}]}}}`, "Healthy: "},

		{"a bound claim", `{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Bound}}`, "Healthy: "},
		{"a claim that lost its volume", `{apiVersion: v1, kind: PersistentVolumeClaim, spec: {volumeName: pv-1}, status: {phase: Lost}}`, "Degraded: the claim lost its volume pv-1"},
		{"a claim that waits", `{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Pending}}`, "Progressing: waiting for a volume, or for a pod that uses the claim"},
		{"a claim that is served", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {annotations: {volume.kubernetes.io/storage-provisioner: disk.example}}, status: {phase: Pending}}`, "Progressing: waiting for disk.example to make a volume"},
		{"a volume that failed", `{apiVersion: v1, kind: PersistentVolume, status: {phase: Failed, message: no recycler}}`, "Degraded: no recycler"},
		{"a free volume", `{apiVersion: v1, kind: PersistentVolume, status: {phase: Available}}`, "Healthy: "},

		{"an autoscaler at work", `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {conditions: [{type: AbleToScale, status: "True", message: recommended size matches}, {type: ScalingActive, status: "True"}]}}`, "Healthy: recommended size matches"},
		{"an autoscaler without metrics holds what it has", `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {conditions: [{type: AbleToScale, status: "True"}, {type: ScalingActive, status: "False", reason: FailedGetResourceMetric, message: no metrics}]}}`, "Healthy: not scaling: no metrics"},
		{"an autoscaler without a target", `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {conditions: [{type: AbleToScale, status: "False", reason: FailedGetScale, message: not found}]}}`, "Degraded: not found"},
		{"an autoscaler whose first word is about metrics", `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {conditions: [{type: ScalingActive, status: "False", reason: InvalidSelector}]}}`, "Degraded: InvalidSelector"},
		{"an autoscaler that nobody saw", `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler}`, "Progressing: waiting for the autoscaler's first look at its target"},
		{"an autoscaler of the first version", `{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {annotations: {autoscaling.alpha.kubernetes.io/conditions: '[{"type":"AbleToScale","status":"True","message":"ready"}]'}}}`, "Healthy: ready"},
		{"conditions that do not parse", `{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {annotations: {autoscaling.alpha.kubernetes.io/conditions: '[{"type":"AbleToScale","status":"True"},'}}}`, "Progressing: waiting for the autoscaler's first look at its target"},

		{"an API that is served", `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, status: {conditions: [{type: Available, status: "True", message: all checks passed}]}}`, "Healthy: all checks passed"},
		{"an API that is not served", `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, status: {conditions: [{type: Available, status: "False", reason: MissingEndpoints, message: no endpoints}]}}`, "Progressing: no endpoints"},
		{"an API that nobody saw", `{apiVersion: apiregistration.k8s.io/v1, kind: APIService}`, "Progressing: waiting for the aggregator to see it"},

		{"a workflow that runs", `{apiVersion: argoproj.io/v1alpha1, kind: Workflow, status: {phase: Running}}`, "Progressing: "},
		{"a workflow in error", `{apiVersion: argoproj.io/v1alpha1, kind: Workflow, status: {phase: Error, message: no pod}}`, "Degraded: no pod"},
		{"a workflow that is done", `{apiVersion: argoproj.io/v1alpha1, kind: Workflow, status: {phase: Succeeded}}`, "Healthy: "},
		{"a workflow in a phase to come", `{apiVersion: argoproj.io/v1alpha1, kind: Workflow, status: {phase: Dreaming}}`, "Unknown: phase Dreaming"},
	}
	c := newChecker(t, Options{})
	for _, test := range tests {
		got := c.Check(t.Context(), parse(t, test.object))
		if text := string(got.Status) + ": " + got.Message; text != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", test.reason, text, test.want)
		}
		if got.Source != SourceBuiltin {
			t.Errorf("%s: decided by %s, want %s", test.reason, got.Source, SourceBuiltin)
		}
	}
}

// TestArgoCDKinds covers Kubernetes kinds whose verdict comes from Argo CD's scripts.
func TestArgoCDKinds(t *testing.T) {
	tests := []struct {
		reason, object string
		want           Status
	}{
		{"a cron job between runs", `{apiVersion: batch/v1, kind: CronJob, spec: {}, status: {lastScheduleTime: "2024-05-01T10:00:00Z", lastSuccessfulTime: "2024-05-01T10:01:00Z"}}`, Healthy},
		{"a cron job whose last run failed", `{apiVersion: batch/v1, kind: CronJob, spec: {}, status: {lastScheduleTime: "2024-05-01T10:00:00Z", lastSuccessfulTime: "2024-05-01T09:01:00Z"}}`, Degraded},
		{"a suspended cron job counts as Healthy in Argo CD", `{apiVersion: batch/v1, kind: CronJob, spec: {suspend: true}}`, Healthy},
		{"a budget", `{apiVersion: policy/v1, kind: PodDisruptionBudget, status: {conditions: [{type: DisruptionAllowed, status: "True", reason: SufficientPods}]}}`, Healthy},
		{"a definition in use", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, status: {conditions: [{type: Established, status: "True", message: ok}]}}`, Healthy},
		{"a definition that nobody saw", `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}}`, Progressing},
		{"a rollout that waits for a person", `{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {generation: 1}, spec: {paused: false, strategy: {canary: {}}}, status: {observedGeneration: "1", phase: Paused, message: CanaryPauseStep}}`, Suspended},
	}
	c := newChecker(t, Options{})
	for _, test := range tests {
		got := c.Check(t.Context(), parse(t, test.object))
		if got.Status != test.want || got.Source != SourceLua || got.Rule == "" {
			t.Errorf("%s: got %+v, want %s from a script", test.reason, got, test.want)
		}
	}
}

func TestConventions(t *testing.T) {
	tests := []struct {
		reason, object string
		want           Result
	}{
		{"no status at all", `{apiVersion: example.org/v1, kind: Thing}`, Result{Status: Healthy, Source: SourceKStatus}},
		{"ready", `{apiVersion: example.org/v1, kind: Thing, metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [{type: Ready, status: "True"}]}}`, Result{Status: Healthy, Source: SourceKStatus}},
		{"not ready", `{apiVersion: example.org/v1, kind: Thing, status: {conditions: [{type: Ready, status: "False", message: no disk}]}}`, Result{Status: Progressing, Message: "no disk", Source: SourceKStatus}},
		{"an older generation seen", `{apiVersion: example.org/v1, kind: Thing, metadata: {generation: 3}, status: {observedGeneration: 2}}`, Result{Status: Progressing, Message: "Thing generation is 3, but latest observed generation is 2", Source: SourceKStatus}},
		{"stalled", `{apiVersion: example.org/v1, kind: Thing, status: {conditions: [{type: Stalled, status: "True", message: give up}]}}`, Result{Status: Degraded, Message: "give up", Source: SourceKStatus}},
		{"a kind without health", `{apiVersion: v1, kind: ConfigMap, metadata: {generation: 3}, status: {observedGeneration: 2}}`, Result{Status: Healthy, Source: SourceNone}},
	}
	c := newChecker(t, Options{})
	for _, test := range tests {
		if got := c.Check(t.Context(), parse(t, test.object)); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.reason, got, test.want)
		}
	}
	broken := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.org/v1", "kind": "Thing", "status": map[string]any{"conditions": "none"}}}
	if got := c.Check(t.Context(), broken); got.Status != Unknown || got.Message == "" {
		t.Errorf("a status of the wrong type: got %+v, want Unknown with a message", got)
	}
}

func TestOwnDeadline(t *testing.T) {
	tests := []struct {
		reason, object string
		want           time.Duration
	}{
		{"a rollout under way", `{apiVersion: apps/v1, kind: Deployment, spec: {progressDeadlineSeconds: 1800}, status: {observedGeneration: 1, conditions: [{type: Progressing, status: "True", reason: ReplicaSetUpdated}]}}`, 30 * time.Minute},
		{"the API server's default", `{apiVersion: apps/v1, kind: Deployment, spec: {}, status: {observedGeneration: 1}}`, 10 * time.Minute},
		{"a complete rollout whose pods fail later: the controller no longer looks", `{apiVersion: apps/v1, kind: Deployment, spec: {progressDeadlineSeconds: 1800}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, conditions: [{type: Progressing, status: "True", reason: NewReplicaSetAvailable}]}}`, 0},
		{"switched off", `{apiVersion: apps/v1, kind: Deployment, spec: {progressDeadlineSeconds: 2147483647}, status: {observedGeneration: 1}}`, 0},
	}
	c := newChecker(t, Options{})
	for _, test := range tests {
		got := c.Check(t.Context(), parse(t, test.object))
		if got.Status != Progressing || got.OwnDeadline != test.want {
			t.Errorf("%s: got %s with %s, want Progressing with %s", test.reason, got.Status, got.OwnDeadline, test.want)
		}
	}
}
