package v1alpha1

import (
	"slices"
	"strings"
)

// Default fills in what the document leaves open, which for a Cluster is nothing.
func (*Cluster) Default() {}

// Validate returns all that is wrong with the document.
func (c *Cluster) Validate() []Finding {
	var fs findings
	fs.header(c.APIVersion, c.Kind, ClusterKind, c.Metadata)
	fs.variables("spec.variables", c.Spec.Variables, false)
	for i, alias := range c.Spec.Aliases {
		at := index("spec.aliases", i)
		switch {
		case alias == "" || strings.ContainsFunc(alias, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			fs.add(at, "a name or the URL of an API server", "%q is not an alias", alias)
		case slices.Index(c.Spec.Aliases, alias) < i:
			fs.add(at, "remove one of them", "%q is listed twice", alias)
		case alias == c.Metadata.Name:
			fs.add(at, "remove it", "is the cluster's own name")
		}
	}
	c.Spec.Dialect.validate(&fs, "spec.dialect")
	if c.Spec.Expires != nil && c.Spec.Expires.IsZero() {
		fs.add("spec.expires", "as in RFC 3339, such as 2030-01-31T18:00:00Z", "is no time")
	}
	if c.Spec.Identity < 0 {
		fs.add("spec.identity", "the number of the certificate to accept, which nave clusters shows", "is negative")
	}
	fs.matches("spec.kubernetesVersion", c.Spec.KubernetesVersion, versionName, "a Kubernetes version", "such as v1.36.3")
	return fs
}
