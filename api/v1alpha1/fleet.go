package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fleet is the one document that speaks for the whole repository. Its name is the fleet's identity, which is written
// on every object that Nave applies: under another name, the same repository is another fleet, which owns nothing yet.
type Fleet struct {
	// APIVersion is nave.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Fleet.
	Kind string `json:"kind"`
	// Metadata names the fleet.
	Metadata Metadata `json:"metadata"`
	// Spec may be left out by a fleet that has nothing but its own repository.
	Spec FleetSpec `json:"spec,omitzero"`
}

// FleetSpec says what holds for all Deliveries.
type FleetSpec struct {
	// URLs of the fleet repository, beside the one that the hub was started with: how Argo CD's objects in it name it.
	// +example=[https://git.example.com/platform/fleet.git]
	URLs []string `json:"urls,omitempty"`
	// Sources are repositories beside the fleet repository, of Git, of Helm charts, and of artifacts with manifests.
	Sources []Source `json:"sources,omitempty"`
	// Verify wants commits of the fleet repository to be signed. Who may sign is read from the commit that was
	// accepted last, so that a commit cannot admit its own author; the first commit is accepted with the files in it.
	Verify *Verification `json:"verify,omitempty"`
	// Defaults are for Deliveries and sources that do not say otherwise.
	Defaults Defaults `json:"defaults,omitzero"`
	// Access says who may do what on the hub, beside whoever owns its socket, who may do everything. Rights add up.
	Access []Access `json:"access,omitempty"`
}

// Access gives a group of people a role on some clusters.
type Access struct {
	// Group of people; who is in it is the hub's own to know: see nave user.
	// +pattern=^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$
	// +example=payments
	Group string `json:"group"`
	// Role that its members have. Each has the rights of those before it: viewer sees, operator syncs and pauses, approver
	// confirms deletions, admin has clusters join, and reads the profiles of a hub all of whose clusters it is for.
	Role Role `json:"role"`
	// Clusters that the role counts on. What is of other clusters is not shown either.
	Clusters ClusterSelection `json:"clusters"`
}

// Role is what somebody may do.
type Role string

// The roles, each with the rights of those before it.
const (
	RoleViewer   Role = "viewer"
	RoleOperator Role = "operator"
	RoleApprover Role = "approver"
	RoleAdmin    Role = "admin"
)

// Source is a repository that Deliveries may use beside the fleet repository: one of Git, of Helm charts, or of OCI
// artifacts with manifests.
type Source struct {
	// Name by which Deliveries refer to it.
	// +pattern=^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$
	// +example=payments
	Name string `json:"name"`
	// Type is git, or helm for a chart repository or a registry with charts, of which each Delivery names a chart and
	// its version, or oci for a place in a registry below which artifacts with manifests are, as flux push artifact makes
	// them: OCIRepositories of Flux name these.
	// +default=git
	Type SourceType `json:"type,omitempty"`
	// URL is https://…, ssh://…, file://…, or user@host:path for ssh. http:// is accepted as well, with credentials only
	// to the same machine. It holds no password. That of type helm is https://… for a repository with an index.yaml, and
	// oci://… for the place in a registry that charts are below; that of type oci is oci://…, the place that artifacts are
	// below, without their names. A registry on the same machine is asked over http.
	// +example=https://git.example.com/payments/deploy.git
	URL string `json:"url"`
	// Revision that is delivered, unless a Delivery names another. Type git has one, the others have none.
	// +example={branch: main}
	Revision Revision `json:"revision,omitzero"`
	// Credential for a repository that not everyone may read.
	Credential *Credential `json:"credential,omitempty"`
	// Deliveries that may use the source, by name; "*" in a name stands for anything.
	// +example=[payments-*]
	Deliveries []string `json:"deliveries"`
	// Verify wants commits of the source to be signed, or its charts or artifacts.
	Verify *Verification `json:"verify,omitempty"`
}

// SourceType is what a source is a repository of.
type SourceType string

// The types of sources.
const (
	SourceGit  SourceType = "git"
	SourceHelm SourceType = "helm"
	SourceOCI  SourceType = "oci"
)

// IsGit reports whether the source is a Git repository.
func (s Source) IsGit() bool { return s.Type == "" || s.Type == SourceGit }

// Credential says where the hub finds what a remote asks for. Sources of type helm and
// oci take passwordFile or tokenFile. All files are relative to the directory of credentials
// that the hub was started with, since a commit must not be able to send any other file of that machine to a remote.
// They hold one line each, and are read again at every fetch.
type Credential struct {
	// UsernameFile goes with passwordFile.
	// +example=payments/username
	UsernameFile string `json:"usernameFile,omitempty"`
	// PasswordFile holds a password for https, or for a registry.
	// +example=payments/password
	PasswordFile string `json:"passwordFile,omitempty"`
	// TokenFile holds an access token for https, or for a registry.
	// +example=payments/token
	TokenFile string `json:"tokenFile,omitempty"`
	// SSHKeyFile is a private key for ssh, without a passphrase.
	// +example=payments/id_ed25519
	SSHKeyFile string `json:"sshKeyFile,omitempty"`
	// KnownHostsFile has the host keys that are trusted, as ssh has them. It goes with sshKeyFile.
	// +example=known_hosts
	KnownHostsFile string `json:"knownHostsFile,omitempty"`
	// Helper names a Git credential helper for https: "NAME" runs git-credential-NAME of the hub's machine.
	// +pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$
	// +example=manager
	Helper string `json:"helper,omitempty"`
}

// Verification says whose signature a commit must bear, a chart or an artifact. Where two files are named, a signature by
// a key of either counts.
type Verification struct {
	// AllowedSignersFile is a file of the fleet repository in the format of ssh-keygen's ALLOWED SIGNERS. It is for Git.
	// +example=signers/payments
	AllowedSignersFile string `json:"allowedSignersFile,omitempty"`
	// KeyringFile is a file of the fleet repository with OpenPGP public keys, as gpg --export writes it. A commit must be
	// signed by one of them that has neither expired nor been revoked; AppProjects choose among these keys by
	// signatureKeys. Of a source of type helm, a chart must come with a provenance file that one of them signed.
	// +example=signers/platform.asc
	KeyringFile string `json:"keyringFile,omitempty"`
	// CosignKeysFile is a file of the fleet repository with public keys in PEM, as cosign generate-key-pair writes
	// cosign.pub, one or several. It is for sources in a registry, oci://…: of type oci every artifact, and of type helm
	// every chart, must be signed by one of them with cosign sign --key.
	// +example=signers/artifacts.pub
	CosignKeysFile string `json:"cosignKeysFile,omitempty"`
}

// Defaults are for what Deliveries and sources leave open.
type Defaults struct {
	// Prune is the default of a Delivery's spec.prune.
	// +default=true
	Prune *bool `json:"prune,omitempty"`
	// Drift is the default of a Delivery's spec.drift. Its mode gives way to the Delivery's; fields to ignore add up.
	Drift Drift `json:"drift,omitzero"`
	// Interval is how often remotes are asked for new commits; webhooks do not wait for it. At least 5s.
	// +default=1m
	Interval *metav1.Duration `json:"interval,omitempty"`
	// Deadline is the default of a Delivery's spec.deadline.
	// +default=10m
	Deadline *metav1.Duration `json:"deadline,omitempty"`
	// Dialect is what is done with Argo CD's objects where neither the Delivery nor the Cluster says.
	Dialect Dialect `json:"dialect,omitzero"`
}

// Dialect says what is done with Argo CD's Applications, AppProjects and ApplicationSets among the objects of a
// Delivery. A change of it deletes nothing: what only one of the ways has stays on the clusters as an orphan.
type Dialect struct {
	// Mode is interpret, which makes apps of them and applies none of these objects, or apply, which applies them like
	// any other, for an Argo CD that runs on the cluster.
	// +default=interpret
	Mode DialectMode `json:"mode,omitempty"`
	// Context is cluster, in which each selected cluster is the one that these objects call in-cluster, and no other can
	// be a destination; or fleet, in which they are read once, and destinations are the clusters that the Delivery selects,
	// by name and aliases. In-cluster is then the cluster that has in-cluster or https://kubernetes.default.svc among its
	// aliases, and gets what else the Delivery has.
	// +default=cluster
	Context DialectContext `json:"context,omitempty"`
}

// DialectMode is what is done with objects of a dialect.
type DialectMode string

// What is done with objects of a dialect.
const (
	DialectInterpret DialectMode = "interpret"
	DialectApply     DialectMode = "apply"
)

// DialectContext is for which clusters objects of a dialect are read.
type DialectContext string

// For which clusters objects of a dialect are read.
const (
	DialectCluster DialectContext = "cluster"
	DialectFleet   DialectContext = "fleet"
)

// Or returns the dialect, with what it leaves open taken from another.
func (d Dialect) Or(other Dialect) Dialect {
	return Dialect{Mode: cmp.Or(d.Mode, other.Mode), Context: cmp.Or(d.Context, other.Context)}
}
