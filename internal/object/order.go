package object

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// WaveAnnotation puts an object into a wave: waves are applied one after the
// other, from the lowest, each after the one before it is healthy. Argo CD's
// own annotation is read as well.
const WaveAnnotation = "nave.dev/wave"

const argoWaveAnnotation = "argocd.argoproj.io/sync-wave"

// Wave returns the object's wave, 0 unless it states one; Nave's own annotation
// wins. A value that is no number is an error of the author, which rendering
// reports; here it counts as 0.
func Wave(u *unstructured.Unstructured) int {
	annotations := u.GetAnnotations()
	text, ok := annotations[WaveAnnotation]
	if !ok {
		text = annotations[argoWaveAnnotation]
	}
	wave, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0 // Atoi gives the nearest number for what is out of range
	}
	return wave
}

// ranks orders kinds within a wave: what others are created in, are checked
// by, refer to or run as comes before them.
var ranks = map[string]int{
	"Namespace":                      0,
	"CustomResourceDefinition":       1,
	"PriorityClass":                  2,
	"StorageClass":                   2,
	"IngressClass":                   2,
	"RuntimeClass":                   2,
	"ResourceQuota":                  3,
	"LimitRange":                     3,
	"NetworkPolicy":                  3,
	"ServiceAccount":                 4,
	"ClusterRole":                    5,
	"Role":                           5,
	"ClusterRoleBinding":             6,
	"RoleBinding":                    6,
	"Secret":                         7,
	"ConfigMap":                      7,
	"PersistentVolume":               8,
	"PersistentVolumeClaim":          9,
	"Service":                        10,
	"Endpoints":                      10,
	"EndpointSlice":                  10,
	"PodDisruptionBudget":            11,
	"DaemonSet":                      12,
	"Deployment":                     12,
	"StatefulSet":                    12,
	"ReplicaSet":                     12,
	"ReplicationController":          12,
	"Pod":                            12,
	"Job":                            13,
	"CronJob":                        13,
	"HorizontalPodAutoscaler":        14,
	"Ingress":                        15,
	"APIService":                     16,
	"MutatingWebhookConfiguration":   18,
	"ValidatingWebhookConfiguration": 18,
}

// otherRank is that of kinds not listed, custom resources above all: after the
// workloads that may serve their webhooks.
const otherRank = 17

// Rank returns the place of an object's kind within a wave.
func Rank(id ID) int {
	if rank, ok := ranks[id.Kind]; ok && Builtin(id.Group) {
		return rank
	}
	return otherRank
}

// Builtin reports whether a group is one of Kubernetes' own.
func Builtin(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}

// Sort puts objects into the order in which they are applied: by wave, rank of
// the kind, and identity. Objects of one identity stay in the order they have.
func Sort(objects []*unstructured.Unstructured) {
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		idA, idB := Of(a), Of(b)
		return cmp.Or(cmp.Compare(Wave(a), Wave(b)), cmp.Compare(Rank(idA), Rank(idB)), Compare(idA, idB))
	})
}
