package controlplane

import (
	"crypto/sha256"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PoolLabel names, on a node, the pool it came from.
const PoolLabel = "lab.nave.dev/node-pool"

// madeFromAnnotation holds, on a node, a digest of what its pool said when it
// was registered. Comparing live labels and taints would not do: controllers
// and people add to them.
const madeFromAnnotation = "lab.nave.dev/made-from"

// NodePool is a number of equal nodes.
type NodePool struct {
	Name         string            `json:"name"`
	Count        int               `json:"count"`
	InstanceType string            `json:"instanceType,omitempty"`
	CPU          resource.Quantity `json:"cpu"`
	Memory       resource.Quantity `json:"memory"`
	// Pods that fit on one node; 0 means 110, the kubelet's default.
	Pods   int    `json:"pods,omitempty"`
	Region string `json:"region,omitempty"`
	// Zones over which the nodes are dealt in turn.
	Zones  []string          `json:"zones,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
}

// Of a node's capacity the kubelet and the system keep this much for themselves.
var (
	reservedCPU    = resource.MustParse("100m")
	reservedMemory = resource.MustParse("256Mi")
)

// nodes returns the pool's nodes in the cluster of that name, as a kubelet
// would register them.
func (p NodePool) nodes(cluster string) []*corev1.Node {
	nodes := make([]*corev1.Node, 0, p.Count)
	for i := range p.Count {
		name := fmt.Sprintf("%s-%s-%d", cluster, p.Name, i+1)
		labels := map[string]string{
			corev1.LabelHostname:   name,
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: "amd64",
			PoolLabel:              p.Name,
		}
		zone := ""
		if len(p.Zones) > 0 {
			zone = p.Zones[i%len(p.Zones)]
		}
		for key, value := range map[string]string{
			corev1.LabelInstanceTypeStable: p.InstanceType,
			corev1.LabelTopologyRegion:     p.Region,
			corev1.LabelTopologyZone:       zone,
		} {
			if value != "" {
				labels[key] = value
			}
		}
		for key, value := range p.Labels {
			labels[key] = value
		}
		node := &corev1.Node{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec: corev1.NodeSpec{
				ProviderID: "lab://" + cluster + "/" + name,
				Taints:     p.Taints,
			},
			Status: corev1.NodeStatus{Capacity: p.capacity(), Allocatable: p.allocatable()},
		}
		node.Annotations = map[string]string{madeFromAnnotation: fmt.Sprintf("%x", sha256.Sum256(encode(node)))}
		nodes = append(nodes, node)
	}
	return nodes
}

func (p NodePool) capacity() corev1.ResourceList {
	pods := int64(p.Pods)
	if pods == 0 {
		pods = 110
	}
	return corev1.ResourceList{
		corev1.ResourceCPU:              p.CPU,
		corev1.ResourceMemory:           p.Memory,
		corev1.ResourcePods:             *resource.NewQuantity(pods, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
	}
}

func (p NodePool) allocatable() corev1.ResourceList {
	list := p.capacity()
	for name, reserved := range map[corev1.ResourceName]resource.Quantity{
		corev1.ResourceCPU: reservedCPU, corev1.ResourceMemory: reservedMemory,
	} {
		quantity := list[name].DeepCopy()
		if quantity.Cmp(reserved) > 0 {
			quantity.Sub(reserved)
		}
		list[name] = quantity
	}
	return list
}
