package argocd

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/glob"
	"nave.dev/internal/object"
	"nave.dev/internal/window"
)

// project is an AppProject as it was found.
type project struct {
	appProject
	app     string // whose object it is
	foreign bool   // of another Delivery
	place   string
	err     error // counts for all Applications in it
}

// idIn is an object's identity; without a namespace it is in that of Argo CD.
func idIn(u *unstructured.Unstructured, home string) object.ID {
	id := object.Of(u)
	id.Namespace = cmp.Or(id.Namespace, home)
	return id
}

// mayHave says why the project of an app does not let it have an object of Argo
// CD's kinds, if so: an app that is narrowed could widen itself by one otherwise.
// It is not decided while the project is not known. A nil app is the Delivery's own.
func (q *question) mayHave(w *wanted, id object.ID) (reason string, decided bool) {
	if w == nil || w.name == q.Delivery {
		return "", true
	}
	p := q.project[w.project()]
	if p == nil {
		return "", w.project() == "default" && !q.defined["default"]
	}
	m, err := q.target(w.Spec.Destination)
	if err != nil || p.err != nil {
		return "", true // nothing is rendered of an app in error
	}
	limits, err := p.limits(q.calledBy(m, w.Spec.Destination))
	if err != nil {
		return "", true
	}
	if reason, ok := limits.Permits(id, true, true); !ok {
		return fmt.Sprintf("app %q may not have it: %s", w.name, reason), true
	}
	return "", true
}

func (p *project) manifestOf() any { return p.Spec }

// warn says what of a project does nothing.
func (p *project) warn(say func(string)) {
	if len(p.Spec.Roles) > 0 {
		say("spec.roles: who may do what is not for projects to say, but for the Fleet")
	}
	if p.Spec.OrphanedResources != nil {
		say("spec.orphanedResources: objects that nobody applied are not watched")
	}
}

// signatureKeyID is a name of an OpenPGP key that is not ambiguous. Of the short ids, of 8 digits, anyone can make a key
// for.
var signatureKeyID = regexp.MustCompile(`^([0-9A-Fa-f]{16}|[0-9A-Fa-f]{40})$`)

// check says what of a project cannot be kept: then no Application in it is
// applied.
func (p *project) check() error {
	var problems []error
	refuse := func(field, hint, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s: %s\nhint: %s", field, fmt.Sprintf(format, args...), hint))
	}
	for i, key := range p.Spec.SignatureKeys {
		if !signatureKeyID.MatchString(key.KeyID) {
			refuse(fmt.Sprintf("spec.signatureKeys[%d].keyID", i), "gpg --list-keys --keyid-format long shows them; a short id can be given to another key",
				"%q is neither a key id of 16 hexadecimal digits nor a fingerprint of 40", key.KeyID)
		}
	}
	if p.Spec.SourceIntegrity != nil {
		refuse("spec.sourceIntegrity", "spec.signatureKeys is the same as mode head for all repositories; sources of the Fleet can verify their commits as well",
			"policies by repository, and of the whole history, are not checked")
	}
	if p.Spec.PermitOnlyProjectScopedClusters {
		refuse("spec.permitOnlyProjectScopedClusters", "name the clusters in spec.destinations", "clusters belong to no project")
	}
	p.checkPatterns(refuse)
	for field, rules := range map[string][]resourceRule{
		"clusterResourceWhitelist": p.Spec.ClusterResourceWhitelist, "clusterResourceBlacklist": p.Spec.ClusterResourceBlacklist,
		"namespaceResourceWhitelist": p.Spec.NamespaceResourceWhitelist, "namespaceResourceBlacklist": p.Spec.NamespaceResourceBlacklist,
	} {
		for i, rule := range rules {
			if strings.ContainsAny(rule.Group+rule.Kind+rule.Name, `?[]\`) {
				refuse(fmt.Sprintf("spec.%s[%d]", field, i), "use several entries", "of patterns only \"*\" is read here")
			}
		}
	}
	for i, w := range p.Spec.SyncWindows {
		at := fmt.Sprintf("spec.syncWindows[%d]", i)
		if w.Kind != "allow" && w.Kind != "deny" {
			refuse(at+".kind", "allow or deny", "%q is no kind of window", w.Kind)
		}
		if len(w.Applications)+len(w.Namespaces)+len(w.Clusters) == 0 {
			refuse(at, "\"*\" is every application", "it is for no applications, namespaces or clusters")
		}
		length, err := time.ParseDuration(w.Duration)
		if err != nil {
			refuse(at+".duration", "such as 30m or 8h", "%q is no duration", w.Duration)
			continue
		}
		if err := window.Window(w.read(length)).Validate(); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", at, err))
		}
	}
	slices.SortStableFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

// read returns the window, its duration being known.
func (w syncWindow) read(length time.Duration) app.Window {
	return app.Window{
		Allow: w.Kind == "allow", Schedule: w.Schedule, TimeZone: w.TimeZone, Duration: length,
		Manual: w.ManualSync, Overrun: w.SyncOverrun,
	}
}

// admit narrows an app by the project that its Application is in, or says which
// rule of it refuses.
func (q *question) admit(w *wanted, m *asking.Member, child *app.Child) error {
	name := w.project()
	p := q.project[name]
	if p == nil {
		if namespace := w.Metadata.Namespace; name == "default" && (namespace == "" || namespace == q.Namespace) {
			return nil // Argo CD has one that allows all, save Applications in other namespaces
		}
		return fmt.Errorf("spec.project: there is no AppProject %q\nhint: it is to be among the objects of Delivery %q, or of another one on the cluster", name, q.Delivery)
	}
	refuse := func(rule, format string, args ...any) error {
		return fmt.Errorf("project %q does not allow it: %s: %s", name, rule, fmt.Sprintf(format, args...))
	}
	if p.err != nil {
		return fmt.Errorf("project %q is in error, %s: %w", name, p.place, p.err)
	}
	if namespace := w.Metadata.Namespace; namespace != "" && namespace != q.Namespace &&
		!slices.ContainsFunc(p.Spec.SourceNamespaces, func(pattern string) bool { return namespaceMatch(pattern, namespace) }) {
		return refuse("spec.sourceNamespaces", "Applications may not be in %q", namespace)
	}
	for _, origin := range allOrigins(child) {
		if rule, ok := p.allowsSource(origin.Repository); !ok {
			return refuse("spec.sourceRepos", "the source %q is %s", origin.Repository, rule)
		}
	}
	if reason := p.deniesLook(w); reason != "" {
		return refuse("spec.sourceRepos", "%s", reason)
	}
	child.Signed = p.signed(w)
	names, servers := q.calledBy(m, w.Spec.Destination)
	limits, err := p.limits(names, servers)
	if err != nil {
		return refuse("spec.destinations", "%v", err)
	}
	if reason, ok := limits.permitsNamespace(w.Spec.Destination.Namespace); !ok {
		return refuse("spec.destinations", "%s", reason)
	}
	child.Options.Project = limits.Limits
	if err := q.impersonate(p, w, servers, child); err != nil {
		return refuse("spec.destinationServiceAccounts", "%v", err)
	}
	for _, sw := range p.Spec.SyncWindows {
		if sw.concerns(w, names, servers) {
			length, _ := time.ParseDuration(sw.Duration) // check has looked
			child.Options.Windows = append(child.Options.Windows, sw.read(length))
		}
	}
	return nil
}

// allOrigins are the sources of a child, those that lend files too.
func allOrigins(child *app.Child) []app.Origin {
	all := slices.Clone(child.Origins)
	for _, name := range sortedKeys(child.Refs) {
		all = append(all, child.Refs[name])
	}
	return all
}

// allowsSource reports whether a repository may be a source, and if not, why.
func (p *project) allowsSource(repository string) (reason string, ok bool) {
	repository = normalURL(repository)
	for _, pattern := range p.Spec.SourceRepos {
		denied, negative := strings.CutPrefix(pattern, "!")
		switch {
		case negative && glob.Match(normalURL(denied), repository, glob.Parts):
			return fmt.Sprintf("denied by %q", pattern), false
		case negative, glob.Match(normalURL(pattern), repository, glob.Parts):
			ok = true // a denial allows all else, as in Argo CD
		}
	}
	return "not in the list", ok
}

// deniesLook says why a project does not allow what the generators of an
// Application's set looked into, if so.
func (p *project) deniesLook(w *wanted) string {
	for _, at := range w.looked {
		if rule, ok := p.allowsSource(at.URL); !ok {
			return fmt.Sprintf("the repository %q of a generator is %s", at.URL, rule)
		}
	}
	return ""
}

// signed returns by whom a project wants commits to be signed, if by anyone.
func (p *project) signed(w *wanted) *app.Signed {
	if len(p.Spec.SignatureKeys) == 0 {
		return nil
	}
	signed := &app.Signed{Project: w.project()}
	for _, key := range p.Spec.SignatureKeys {
		signed.Keys = append(signed.Keys, strings.ToUpper(key.KeyID))
	}
	for _, at := range w.looked {
		signed.Looked = append(signed.Looked, app.Origin{Repository: at.URL, Revision: at.Revision})
	}
	return signed
}

// normalURL is what Argo CD makes of the address of a repository before it
// compares it.
func normalURL(address string) string {
	address = strings.ToLower(strings.TrimSpace(address))
	if before, _, ok := strings.Cut(address, ":"); ok && strings.Contains(before, "@") && !strings.Contains(before, "/") {
		address = strings.Replace(address, ":", "/", 1)
	}
	return strings.TrimPrefix(strings.TrimSuffix(address, ".git"), "ssh://")
}

// concerns reports whether a window is for an app.
func (w syncWindow) concerns(a *wanted, names, servers []string) bool {
	any := func(patterns, texts []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			return slices.ContainsFunc(texts, func(text string) bool { return glob.Match(pattern, text, glob.Whole) })
		})
	}
	matched := 0
	lists := 0
	for _, part := range []struct{ patterns, texts []string }{
		{w.Applications, []string{a.Metadata.Name}},
		{w.Clusters, slices.Concat(names, servers)},
		{w.Namespaces, []string{a.Spec.Destination.Namespace}},
	} {
		if len(part.patterns) == 0 {
			continue
		}
		lists++
		if any(part.patterns, part.texts) {
			matched++
		}
	}
	if w.AndOperator {
		return lists > 0 && matched == lists
	}
	return matched > 0
}

// impersonate lets a project name the service account, where the Delivery does not.
// A project that names some has none for other destinations: to write there with
// all rights would be more than it allows.
func (q *question) impersonate(p *project, w *wanted, servers []string, child *app.Child) error {
	for i, rule := range p.Spec.DestinationServiceAccounts {
		fits := slices.ContainsFunc(servers, func(server string) bool { return glob.Match(rule.Server, server, glob.Whole) })
		if !fits || !glob.Match(rule.Namespace, w.Spec.Destination.Namespace, glob.Whole) {
			continue
		}
		namespace, name, ok := strings.Cut(rule.DefaultServiceAccount, ":")
		if !ok {
			namespace, name = w.Spec.Destination.Namespace, rule.DefaultServiceAccount
		}
		account := namespace + "/" + name
		if child.Options.ServiceAccount == "" {
			child.Options.ServiceAccount = account
		} else if child.Options.ServiceAccount != account {
			w.warnings = append(w.warnings, fmt.Sprintf("spec.project: project %q names the service account %q at spec.destinationServiceAccounts[%d], and Delivery %q another, which counts",
				w.project(), account, i, q.Delivery))
		}
		return nil
	}
	if len(p.Spec.DestinationServiceAccounts) > 0 && child.Options.ServiceAccount == "" {
		return fmt.Errorf("none is for namespace %q of %s\nhint: add one with server: \"*\" and namespace: \"*\" for all other destinations",
			w.Spec.Destination.Namespace, strings.Join(servers, ", "))
	}
	return nil
}
