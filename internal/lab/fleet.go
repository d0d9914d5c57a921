package lab

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"nave.dev/examples"
	"nave.dev/internal/lab/controlplane"
	"nave.dev/internal/lab/process"
	"nave.dev/internal/program"
	"nave.dev/internal/strictyaml"
)

// What a fleet file begins with.
const (
	FleetAPIVersion = "lab.nave.dev/v1alpha1"
	FleetKind       = "LabFleet"
)

// Fleet lists the clusters of a lab.
type Fleet struct {
	metav1.TypeMeta `json:",inline"`
	// Pods says how long pods take to start, in every cluster.
	Pods     controlplane.PodTiming `json:"pods,omitempty"`
	Clusters []Cluster              `json:"clusters"`
}

// Cluster is one cluster of a lab as its fleet file describes it.
type Cluster struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// TTL is how long the cluster exists before the lab removes it by itself;
	// 0 means for ever.
	TTL metav1.Duration `json:"ttl,omitempty"`
	// Etcd is "shared", which is also the default, or "dedicated": an etcd
	// process of the cluster's own, so that it can be snapshotted, restored and
	// stalled alone.
	Etcd string `json:"etcd,omitempty"`
	// NodePools are its nodes; without any the cluster has three general ones.
	NodePools []controlplane.NodePool `json:"nodePools,omitempty"`
}

const dedicated = "dedicated"

// Limits of a fleet file: a machine that could run more than these is not what
// a lab is for, and a typing error should not start a thousand nodes.
const (
	maxClusters = 200
	maxNodes    = 1000 // per cluster
)

// ReadFleet reads a fleet file. The name "auto" is that of the sample fleet
// which fits the memory that this machine has free; the small one if it does
// not say.
func ReadFleet(name string) (Fleet, error) {
	if name == "auto" {
		name = autoFleet()
		data, err := examples.Files.ReadFile(name)
		if err != nil {
			return Fleet{}, err
		}
		return ParseFleet(name, data)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Fleet{}, fmt.Errorf("reading the fleet file: %w", err)
	}
	return ParseFleet(name, data)
}

// Memory that the 24 clusters of the large sample need, with room to work in.
const largeFleetMemory = 12 << 30

func autoFleet() string {
	if free, err := process.MemoryAvailable(); err == nil && free >= largeFleetMemory {
		return "ecommerce/lab.yaml"
	}
	return "ecommerce/lab-small.yaml"
}

// Numbered returns a fleet of n equal clusters, lab-1 and so on.
func Numbered(n int) (Fleet, error) {
	if n < 1 || n > maxClusters {
		return Fleet{}, fmt.Errorf("%d clusters: want 1 to %d", n, maxClusters)
	}
	var fleet Fleet
	for i := range n {
		fleet.Clusters = append(fleet.Clusters, Cluster{Name: fmt.Sprintf("lab-%d", i+1)})
	}
	return fleet, nil
}

// ParseFleet decodes and checks a fleet file and reports all its problems at once.
func ParseFleet(file string, data []byte) (Fleet, error) {
	var fleet Fleet
	doc, problems := strictyaml.Decode(file, data, &fleet)
	if err := problems.With(fleet.check(doc)).Err(); err != nil {
		return Fleet{}, err
	}
	return fleet, nil
}

func (f Fleet) check(doc *strictyaml.Document) strictyaml.Problems {
	var problems strictyaml.Problems
	add := func(hint, field, format string, args ...any) {
		problems = append(problems, doc.Problem(field, format, args...).WithHint("%s", hint))
	}
	if f.APIVersion != FleetAPIVersion {
		add("write apiVersion: "+FleetAPIVersion, "apiVersion", "want %q, have %q", FleetAPIVersion, f.APIVersion)
	}
	if f.Kind != FleetKind {
		add("write kind: "+FleetKind, "kind", "want %q, have %q", FleetKind, f.Kind)
	}
	for field, d := range map[string]time.Duration{
		"pods.startDelay": f.Pods.StartDelay.Duration, "pods.startJitter": f.Pods.StartJitter.Duration, "pods.runFor": f.Pods.RunFor.Duration,
	} {
		if d < 0 {
			add("write a duration such as 500ms or 2s", field, "is negative: %s", d)
		}
	}
	if len(f.Clusters) == 0 {
		add("list at least one, such as - name: dev-1", "clusters", "names no cluster")
	}
	if len(f.Clusters) > maxClusters {
		add("split the fleet", "clusters", "%d clusters are more than the %d that one lab runs", len(f.Clusters), maxClusters)
	}
	first := map[string]int{}
	for i, cluster := range f.Clusters {
		at := fmt.Sprintf("clusters[%d]", i)
		if earlier, taken := first[cluster.Name]; taken && cluster.Name != "" {
			line, _ := doc.Position(fmt.Sprintf("clusters[%d].name", earlier))
			add("give each cluster a name of its own", at+".name", "cluster %q is on line %d already", cluster.Name, line)
		} else {
			first[cluster.Name] = i
		}
		cluster.check(func(hint, field, format string, args ...any) { add(hint, at+"."+field, format, args...) })
	}
	return problems
}

var clusterName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)

// reserved are the names of processes that belong to no cluster.
var reserved = []string{sharedEtcd, networkProcess}

// check reports what is wrong with one cluster to add.
func (c Cluster) check(add func(hint, field, format string, args ...any)) {
	switch {
	case c.Name == "":
		add("write name: followed by a name such as prod-eu-1", "name", "is missing")
	case !clusterName.MatchString(c.Name):
		add("use at most 40 lower-case letters, digits and hyphens, a letter first", "name", "%q is not a cluster name", c.Name)
	case slices.Contains(reserved, c.Name):
		add("choose another", "name", "%q is a name that the lab uses itself", c.Name)
	}
	checkLabels(c.Labels, "labels", add)
	if c.TTL.Duration < 0 {
		add("write a duration such as 72h", "ttl", "is negative: %s", c.TTL.Duration)
	}
	if !slices.Contains([]string{"", "shared", dedicated}, c.Etcd) {
		add("leave it out, or write dedicated", "etcd", `want "shared" or "dedicated", have %q`, c.Etcd)
	}
	nodes, pools := 0, map[string]bool{}
	for i, pool := range c.NodePools {
		at := fmt.Sprintf("nodePools[%d]", i)
		if pools[pool.Name] && pool.Name != "" {
			add("give each pool of a cluster a name of its own", at+".name", "pool %q is there already", pool.Name)
		}
		pools[pool.Name] = true
		nodes += max(0, pool.Count)
		checkPool(pool, func(hint, field, format string, args ...any) { add(hint, at+"."+field, format, args...) })
	}
	if nodes > maxNodes {
		add("lower the counts", "nodePools", "%d nodes are more than the %d that a lab cluster may have", nodes, maxNodes)
	}
}

func checkPool(pool controlplane.NodePool, add func(hint, field, format string, args ...any)) {
	if len(validation.IsDNS1123Label(pool.Name)) > 0 || len(pool.Name) > 15 {
		add("use at most 15 lower-case letters, digits and hyphens", "name", "%q is not a pool name", pool.Name)
	}
	if pool.Count < 0 {
		add("write a number from 0", "count", "is negative: %d", pool.Count)
	}
	if pool.Pods < 0 {
		add("leave it out for 110", "pods", "is negative: %d", pool.Pods)
	}
	for field, quantity := range map[string]resource.Quantity{"cpu": pool.CPU, "memory": pool.Memory} {
		if quantity.Sign() <= 0 {
			add("write cores as 4 or 500m, memory as 16Gi", field, "want more than 0, have %s", quantity.String())
		}
	}
	if pool.Memory.Sign() > 0 && pool.Memory.Value() < 64<<20 {
		add("did you mean "+pool.Memory.String()+"Gi?", "memory", "%s is too small for a node", pool.Memory.String())
	}
	labels := map[string]string{}
	for key, value := range pool.Labels {
		labels[key] = value
	}
	checkLabels(labels, "labels", add)
	for field, value := range map[string]string{"instanceType": pool.InstanceType, "region": pool.Region} {
		if errs := validation.IsValidLabelValue(value); len(errs) > 0 {
			add("it becomes a node label: use letters, digits, . _ and -", field, "%q: %s", value, errs[0])
		}
	}
	for i, zone := range pool.Zones {
		if errs := validation.IsValidLabelValue(zone); len(errs) > 0 {
			add("it becomes a node label: use letters, digits, . _ and -", fmt.Sprintf("zones[%d]", i), "%q: %s", zone, errs[0])
		}
	}
	effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
	for i, taint := range pool.Taints {
		at := fmt.Sprintf("taints[%d]", i)
		if errs := validation.IsQualifiedName(taint.Key); len(errs) > 0 {
			add("write a key such as dedicated", at+".key", "%q: %s", taint.Key, errs[0])
		}
		if !slices.Contains(effects, taint.Effect) {
			add("one of NoSchedule, PreferNoSchedule, NoExecute", at+".effect", "%q is no taint effect", taint.Effect)
		}
	}
}

func checkLabels(labels map[string]string, field string, add func(hint, field, format string, args ...any)) {
	for key, value := range labels {
		at := fmt.Sprintf("%s[%q]", field, key)
		if errs := validation.IsQualifiedName(key); len(errs) > 0 {
			add("a label key is [prefix/]name", at, "key: %s", errs[0])
		}
		if errs := validation.IsValidLabelValue(value); len(errs) > 0 {
			add("a label value has at most 63 letters, digits, . _ and -", at, "%q: %s", value, errs[0])
		}
	}
}

// defaultPools are the nodes of a cluster whose file names none.
func defaultPools() []controlplane.NodePool {
	return []controlplane.NodePool{{
		Name: "general", Count: 3, InstanceType: "m6i.xlarge",
		CPU: resource.MustParse("4"), Memory: resource.MustParse("16Gi"),
		Region: "lab", Zones: []string{"lab-a", "lab-b", "lab-c"},
	}}
}

// sortNames sorts the names of clusters, by number where they end in one.
func sortNames(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		stem := func(s string) string { return strings.TrimRight(s, "0123456789") }
		return cmp.Or(strings.Compare(stem(a), stem(b)), len(a)-len(b), strings.Compare(a, b))
	})
}

// DefaultDir is where a lab lives unless told otherwise: the user's state
// directory, so that commands find it from anywhere.
func DefaultDir() string { return program.StateDir("NAVE_LAB_DIR", "nave-lab") }
