// Package install makes the manifests that put Nave on a cluster, by the chart that
// people install it with. It applies nothing.
package install

//go:generate go test -run TestDeployIsCurrent -rewrite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"nave.dev/charts"
	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/chart"
	"nave.dev/internal/render/tree"
)

// Namespace is where an agent works.
const Namespace = "nave-system"

// Agent says what the agent of a cluster is installed with.
type Agent struct {
	Cluster string
	Hub     string // HOST:PORT
	Token   string
	Roots   []byte // PEM
	// Restricted gives the agent the rights below in place of all.
	Restricted  bool
	Reads       []Read
	Impersonate []string // accounts, as NAMESPACE/NAME
	// Image is NAME:TAG; empty is the chart's own.
	Image        string
	AgeKeySecret string
	// Proxy is the URL of a proxy to the hub; empty is none.
	Proxy string
}

// Read is what an agent of restricted rights may see.
type Read struct {
	Group      string   // empty is the core group
	Resources  []string // in the plural
	Namespaces []string // none is all
}

// Manifest returns the objects that install the agent, as YAML with the namespace
// first, and above them, in words, what the agent may do there.
func (a Agent) Manifest() ([]byte, error) {
	values, err := a.values()
	if err != nil {
		return nil, err
	}
	out, err := chart.Render(tree.Source{Files: charts.Files}, chart.Input{
		Dir: "nave", Namespace: Namespace, Options: app.HelmOptions{ReleaseName: "nave", Values: values},
	})
	if err != nil {
		return nil, fmt.Errorf("rendering the chart: %w", err)
	}
	text, err := write(Namespace, out)
	if err != nil {
		return nil, err
	}
	return append([]byte(a.preamble()), text...), nil
}

// write returns what a chart came to as YAML, with the namespace first.
func write(namespace string, out chart.Output) ([]byte, error) {
	objects := []*unstructured.Unstructured{{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace},
	}}}
	for _, o := range out.Objects {
		objects = append(objects, o.Unstructured)
	}
	object.Sort(objects)
	var text bytes.Buffer
	for i, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text.WriteString("---\n")
		}
		text.Write(data)
	}
	return text.Bytes(), nil
}

// preamble says what whoever applies the manifest agrees to.
func (a Agent) preamble() string {
	lines := []string{
		fmt.Sprintf("The agent of the cluster %q, which dials in at the hub %s.", a.Cluster, a.Hub),
		"The token in here is of use once, for this name alone, and not for long.",
	}
	if a.Restricted {
		lines = append(lines,
			"The agent may see what the ClusterRole and the Roles below name, and write as the accounts that it may",
			"impersonate; that is also all that the hub can do here.")
	} else {
		lines = append(lines,
			"THE AGENT IS CLUSTER-ADMIN: it, and with it whoever rules the hub, may do everything on this cluster.",
			"With --profile restricted it may see what you name, and writes only as accounts that you name.")
	}
	return "# " + strings.Join(lines, "\n# ") + "\n"
}

func (a Agent) values() (map[string]any, error) {
	if _, _, err := net.SplitHostPort(a.Hub); err != nil {
		return nil, fmt.Errorf("the hub's address %q is not HOST:PORT", a.Hub)
	}
	agent := map[string]any{
		"enabled": true, "hub": a.Hub, "cluster": a.Cluster, "token": a.Token, "roots": string(a.Roots),
		"profile": "platform", "ageKeySecret": a.AgeKeySecret, "proxy": a.Proxy,
	}
	if a.Restricted {
		agent["profile"] = "restricted"
	}
	var reads, accounts []any
	for _, r := range a.Reads {
		reads = append(reads, map[string]any{"apiGroups": []any{r.Group}, "resources": anys(r.Resources), "namespaces": anys(r.Namespaces)})
	}
	for _, account := range a.Impersonate {
		namespace, name, ok := strings.Cut(account, "/")
		if !ok || namespace == "" || name == "" {
			return nil, fmt.Errorf("the account %q is not NAMESPACE/NAME", account)
		}
		accounts = append(accounts, map[string]any{"namespace": namespace, "name": name})
	}
	agent["reads"], agent["impersonate"] = reads, accounts
	values := map[string]any{"agent": agent}
	if a.Image != "" {
		colon := strings.LastIndexByte(a.Image, ':')
		if colon <= strings.LastIndexByte(a.Image, '/') {
			return nil, fmt.Errorf("the image %q is not NAME:TAG", a.Image)
		}
		values["image"] = map[string]any{"repository": a.Image[:colon], "tag": a.Image[colon+1:]}
	}
	// As plain data, as if it came from a file.
	data, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	plain := map[string]any{}
	return plain, json.Unmarshal(data, &plain)
}

func anys(texts []string) []any {
	values := []any{}
	for _, text := range texts {
		values = append(values, text)
	}
	return values
}
