package v1alpha1

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What holds where a Fleet says nothing.
const (
	DefaultInterval = time.Minute
	DefaultDeadline = 10 * time.Minute
)

const leastInterval = 5 * time.Second

// Default fills in what the document leaves open.
func (f *Fleet) Default() {
	d := &f.Spec.Defaults
	if d.Prune == nil {
		d.Prune = new(true)
	}
	if d.Drift.Mode == "" {
		d.Drift.Mode = DriftCorrect
	}
	if d.Interval == nil {
		d.Interval = &metav1.Duration{Duration: DefaultInterval}
	}
	if d.Deadline == nil {
		d.Deadline = &metav1.Duration{Duration: DefaultDeadline}
	}
	d.Dialect = d.Dialect.Or(Dialect{Mode: DialectInterpret, Context: DialectCluster})
}

// Validate returns all that is wrong with the document.
func (f *Fleet) Validate() []Finding {
	var fs findings
	fs.header(f.APIVersion, f.Kind, FleetKind, f.Metadata)
	for i, source := range f.Spec.Sources {
		at := index("spec.sources", i)
		source.validate(&fs, at)
		if source.Name != "" && slices.IndexFunc(f.Spec.Sources, func(s Source) bool { return s.Name == source.Name }) < i {
			fs.add(at+".name", "give each source a name of its own", "there is another source %q", source.Name)
		}
	}
	for i, at := range f.Spec.URLs {
		fs.url(index("spec.urls", i), at)
	}
	f.Spec.Verify.validate(&fs, "spec.verify")
	defaults := f.Spec.Defaults
	fs.drift("spec.defaults.drift", defaults.Drift)
	defaults.Dialect.validate(&fs, "spec.defaults.dialect")
	fs.duration("spec.defaults.interval", defaults.Interval, metav1.Duration{Duration: leastInterval})
	fs.duration("spec.defaults.deadline", defaults.Deadline, metav1.Duration{Duration: time.Second})
	for i, access := range f.Spec.Access {
		access.validate(&fs, index("spec.access", i))
	}
	return fs
}

func (a Access) validate(fs *findings, at string) {
	fs.name(at+".group", a.Group)
	const roles = "viewer, operator, approver or admin"
	if a.Role == "" {
		fs.add(at+".role", "write "+roles, "is missing")
	}
	fs.enum(at+".role", string(a.Role), string(RoleViewer), string(RoleOperator), string(RoleApprover), string(RoleAdmin))
	a.Clusters.validate(fs, at+".clusters")
}

func (d Dialect) validate(fs *findings, at string) {
	fs.enum(at+".mode", string(d.Mode), string(DialectInterpret), string(DialectApply))
	fs.enum(at+".context", string(d.Context), string(DialectCluster), string(DialectFleet))
}

func (s Source) validate(fs *findings, at string) {
	fs.name(at+".name", s.Name)
	fs.enum(at+".type", string(s.Type), string(SourceGit), string(SourceHelm), string(SourceOCI))
	if s.Type == SourceHelm || s.Type == SourceOCI {
		s.validateCharts(fs, at)
		return
	}
	if strings.HasPrefix(s.URL, protocolOCI+"://") {
		fs.add(at+".url", "write type: helm, or type: oci for manifests", "is that of a registry, which only sources of type helm and oci are in")
		return
	}
	protocol := fs.url(at+".url", s.URL)
	fs.revision(at+".revision", s.Revision, false)
	if s.Credential != nil {
		s.Credential.validate(fs, at+".credential", protocol)
	} else if protocol == protocolSSH {
		fs.add(at, "add credential: {sshKeyFile: …, knownHostsFile: …}", "a source that is reached by ssh needs a credential")
	}
	s.validateUse(fs, at)
	s.Verify.validate(fs, at+".verify")
}

// validateUse checks who may use the source.
func (s Source) validateUse(fs *findings, at string) {
	if len(s.Deliveries) == 0 {
		fs.add(at+".deliveries", `list them, or write ["*"] for all`, "no Delivery may use the source")
	}
	fs.list(at+".deliveries", s.Deliveries, documentGlob, "the name of a Delivery", globHint)
}

// validateCharts checks a source of charts, or of artifacts.
func (s Source) validateCharts(fs *findings, at string) {
	protocol := fs.chartURL(at+".url", s.URL)
	if s.Type == SourceOCI && protocol != "" && !strings.HasPrefix(s.URL, protocolOCI+"://") {
		fs.add(at+".url", "write oci://HOST/PATH, or type: helm for a chart repository", "is that of no registry")
	}
	if s.Revision != (Revision{}) {
		fs.add(at+".revision", "remove it: who uses the source names a version or tag", "is only for sources of type git")
	}
	if s.Credential != nil {
		s.Credential.validate(fs, at+".credential", protocol)
		if s.Credential.Helper != "" {
			fs.add(at+".credential.helper", "use tokenFile, or usernameFile and passwordFile", "is only for sources of type git")
		}
	}
	s.validateUse(fs, at)
	s.Verify.validateArchives(fs, at+".verify", s.Type == SourceHelm, strings.HasPrefix(s.URL, protocolOCI+"://"))
}

// validate checks whose commits are accepted.
func (v *Verification) validate(fs *findings, at string) {
	if v == nil {
		return
	}
	if v.AllowedSignersFile == "" && v.KeyringFile == "" && v.CosignKeysFile == "" {
		fs.add(at, "allowedSignersFile names a file of this repository with ssh keys, keyringFile one with OpenPGP keys", "says nothing")
	}
	fs.file(at+".allowedSignersFile", v.AllowedSignersFile, "the top of this repository")
	fs.file(at+".keyringFile", v.KeyringFile, "the top of this repository")
	if v.CosignKeysFile != "" {
		fs.add(at+".cosignKeysFile", "commits are signed by other keys: use allowedSignersFile or keyringFile", "is only for sources in a registry")
	}
}

// validateArchives checks whose charts or artifacts are accepted.
func (v *Verification) validateArchives(fs *findings, at string, charts, registry bool) {
	if v == nil {
		return
	}
	fs.file(at+".keyringFile", v.KeyringFile, "the top of this repository")
	fs.file(at+".cosignKeysFile", v.CosignKeysFile, "the top of this repository")
	switch {
	case charts && v.KeyringFile == "" && v.CosignKeysFile == "":
		fs.add(at+".keyringFile", "name a file of this repository", "is missing")
	case !charts && v.CosignKeysFile == "":
		fs.add(at+".cosignKeysFile", "name a file of this repository", "is missing")
	}
	if v.CosignKeysFile != "" && !registry {
		fs.add(at+".cosignKeysFile", "use keyringFile", "is only for sources in a registry")
	}
	if v.KeyringFile != "" && !charts {
		fs.add(at+".keyringFile", "artifacts are signed by Cosign: use cosignKeysFile", "is not for artifacts")
	}
	if v.AllowedSignersFile != "" {
		fs.add(at+".allowedSignersFile", "use keyringFile or cosignKeysFile", "is only for Git")
	}
}

// Protocols by which a source is reached. An http that is not safe for credentials leads to another machine.
const (
	protocolHTTPS   = "https"
	protocolHTTP    = "http"
	protocolUnsafe  = "http to another machine"
	protocolSSH     = "ssh"
	protocolFile    = "file"
	protocolOCI     = "oci"
	protocolUnknown = ""
)

var shortSSH = regexp.MustCompile(`^([A-Za-z0-9_.][A-Za-z0-9_.-]*@)?[A-Za-z0-9_.][A-Za-z0-9_.-]*:[^-:\s][^\s]*$`)

// url checks the address of a repository and returns its protocol. What may be a password is not repeated.
func (fs *findings) url(at, text string) (protocol string) {
	const hint = "such as https://git.example.com/team/repository.git or git@git.example.com:team/repository.git"
	if text == "" {
		fs.add(at, hint, "is missing")
		return protocolUnknown
	}
	if !strings.Contains(text, "://") && shortSSH.MatchString(text) {
		return protocolSSH
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		fs.add(at, hint, "is not the URL of a Git repository")
		return protocolUnknown
	}
	protocol = strings.ToLower(u.Scheme)
	switch _, password := u.User.Password(); {
	case !slices.Contains([]string{protocolHTTPS, protocolHTTP, protocolSSH, protocolFile}, protocol):
		fs.add(at, hint, "%q is not a protocol that Nave fetches by", u.Scheme)
		return protocolUnknown
	case password || u.User != nil && protocol != protocolSSH:
		fs.add(at, "put it into a file on the hub, and name that under credential", "a URL may not hold a credential")
	case protocol == protocolFile && u.Host != "":
		fs.add(at, "such as file:///srv/git/repository.git", "a file has no host")
	case protocol != protocolFile && (u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-")):
		fs.add(at, hint, "has no host")
	case strings.Trim(u.Path, "/") == "":
		fs.add(at, hint, "has no path")
	case u.RawQuery != "" || u.Fragment != "":
		fs.add(at, "name branches and tags under revision", "a URL of a repository has no query and no fragment")
	}
	return safety(protocol, u)
}

// safety tells apart a protocol by which a credential may be sent to a URL, and one by which it may not.
func safety(protocol string, u *url.URL) string {
	if ip := net.ParseIP(u.Hostname()); protocol == protocolHTTP && u.Hostname() != "localhost" && !(ip != nil && ip.IsLoopback()) {
		return protocolUnsafe
	}
	return protocol
}

// chartURL checks the address of a chart repository and returns its protocol. What may be a password is not repeated.
func (fs *findings) chartURL(at, text string) (protocol string) {
	const hint = "such as https://charts.example.com/stable or oci://registry.example.com/charts"
	if text == "" {
		fs.add(at, hint, "is missing")
		return protocolUnknown
	}
	u, err := url.Parse(text)
	if err != nil || !slices.Contains([]string{protocolHTTPS, protocolHTTP, protocolOCI}, u.Scheme) {
		fs.add(at, hint, "is not the URL of a chart repository")
		return protocolUnknown
	}
	switch {
	case u.User != nil:
		fs.add(at, "put it into a file on the hub, and name that under credential", "a URL may not hold a credential")
	case u.Hostname() == "":
		fs.add(at, hint, "has no host")
	case u.RawQuery != "" || u.Fragment != "":
		fs.add(at, hint, "a URL of a chart repository has no query and no fragment")
	case strings.HasSuffix(u.Path, "/index.yaml"):
		fs.add(at, "remove /index.yaml", "names the index, which is looked for below it")
	}
	return safety(u.Scheme, u)
}

func (c *Credential) validate(fs *findings, at, protocol string) {
	const within = "the hub's directory of credentials"
	for _, file := range []struct{ name, path string }{
		{"usernameFile", c.UsernameFile}, {"passwordFile", c.PasswordFile}, {"tokenFile", c.TokenFile},
		{"sshKeyFile", c.SSHKeyFile}, {"knownHostsFile", c.KnownHostsFile},
	} {
		fs.file(at+"."+file.name, file.path, within)
	}
	fs.matches(at+".helper", c.Helper, helperName, "the name of a credential helper", "NAME runs git-credential-NAME")
	var ways []string
	for _, way := range []struct {
		name string
		used bool
	}{
		{"passwordFile", c.PasswordFile != "" || c.UsernameFile != ""}, {"tokenFile", c.TokenFile != ""},
		{"sshKeyFile", c.SSHKeyFile != "" || c.KnownHostsFile != ""}, {"helper", c.Helper != ""},
	} {
		if way.used {
			ways = append(ways, way.name)
		}
	}
	switch {
	case len(ways) == 0:
		fs.add(at, "name a file or a helper, or remove it", "says nothing")
		return
	case len(ways) > 1:
		fs.add(at, "choose one", "%s are different ways in", strings.Join(ways, " and "))
		return
	case ways[0] == "passwordFile" && c.PasswordFile == "":
		fs.add(at, "a token alone goes under tokenFile", "there is a usernameFile without a passwordFile")
	case ways[0] == "passwordFile" && c.UsernameFile == "":
		fs.add(at, "a token alone goes under tokenFile", "there is a passwordFile without a usernameFile")
	case ways[0] == "sshKeyFile" && c.SSHKeyFile == "":
		fs.add(at, "neither keys nor servers are guessed", "there is a knownHostsFile without a sshKeyFile")
	case ways[0] == "sshKeyFile" && c.KnownHostsFile == "":
		fs.add(at, "ssh-keyscan HOST prints its lines, to be checked", "there is a sshKeyFile without a knownHostsFile")
	}
	ssh := ways[0] == "sshKeyFile"
	switch protocol {
	case protocolUnknown:
	case protocolUnsafe:
		fs.add(at, "use https", "would be sent where everyone can read it")
	case protocolFile:
		fs.add(at, "remove it", "a file:// source takes no credential")
	case protocolSSH:
		if !ssh {
			fs.add(at, "use sshKeyFile and knownHostsFile", "%s does not go with ssh", ways[0])
		}
	default:
		if ssh {
			fs.add(at, "use tokenFile, usernameFile and passwordFile, or helper", "sshKeyFile does not go with %s", protocol)
		}
	}
}
