// Package v1alpha1 has the kinds of the fleet repository, in which users tell Nave what they want: Fleet, Cluster and
// Delivery. Each has the methods Default, which fills in what a document leaves open, and Validate, which finds
// everything that is wrong in one document. What can only be seen beside other documents (names that are taken,
// dependencies that go in a circle) is not checked here, and nothing is read from files or clusters.
//
// The comments on types and fields are also the reference documentation and the descriptions in the JSON Schemas.
// Lines in them that begin with a plus sign say more to the generator: +default, +example, +pattern and +exactlyOne.
package v1alpha1

// APIVersion is that of every kind in this package.
const APIVersion = Group + "/v1alpha1"

// Group is the API group of the kinds of the fleet repository. Labels under it are set by Nave alone.
const Group = "nave.dev"

// Kinds of documents.
const (
	FleetKind    = "Fleet"
	ClusterKind  = "Cluster"
	DeliveryKind = "Delivery"
)

// ClusterLabel is a label that every cluster has without stating it: its name. It lets a selector leave out single
// clusters.
const ClusterLabel = Group + "/cluster"

// Metadata names a document.
type Metadata struct {
	// Name of the document, of which there is one per kind: lower-case letters, digits, "-" and ".", at most 63
	// characters.
	// +pattern=^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$
	// +example=prod-eu-1
	Name string `json:"name"`
	// Labels by which a Cluster is selected, such as env, region or team. Those of a Fleet or a Delivery are for
	// people.
	// +example={env: prod, region: eu}
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are for people and other tools.
	// +example={contact: team-platform@example.com}
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Finding is one thing that is wrong in a document.
type Finding struct {
	Field   string // its path, such as spec.sources[0].url or metadata.labels["example.com/team"]
	Message string // what is wrong
	Hint    string // what to do about it; may be empty
}
