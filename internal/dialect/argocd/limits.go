package argocd

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/glob"
)

// projectLimits are what a project lets an app touch on one cluster.
type projectLimits struct{ app.Limits }

// limits returns what the project allows on a cluster of some names and servers,
// or that it is no destination.
func (p *project) limits(names, servers []string) (projectLimits, error) {
	limits := app.Limits{By: fmt.Sprintf("project %q", p.Metadata.Name), ClusterListed: true}
	isURL := func(server string) bool { return strings.Contains(server, "://") }
	for _, d := range p.Spec.Destinations {
		if strings.HasPrefix(d.Server, "!") && !slices.ContainsFunc(servers, isURL) {
			return projectLimits{}, fmt.Errorf("whether cluster %s is the one that %q denies is not known\nhint: add the URL of its API server to the aliases of the Cluster", names[0], d.Server)
		}
		byServer, deniedServer := destinationMatch(d.Server, servers)
		byName, deniedName := destinationMatch(d.Name, names)
		if deniedServer || deniedName {
			if deniedName || d.Namespace == "" || d.Namespace == "*" { // by its name a cluster is denied whole, as in Argo CD
				return projectLimits{}, fmt.Errorf("cluster %s is denied", strings.Join(slices.Compact(slices.Concat(names, servers)), ", "))
			}
			patterns, err := glob.Plain(d.Namespace)
			if err != nil {
				return projectLimits{}, err
			}
			limits.DeniedNamespaces = append(limits.DeniedNamespaces, patterns...)
			continue
		}
		if !byServer && !byName {
			continue
		}
		denied, negative := strings.CutPrefix(d.Namespace, "!")
		patterns, err := glob.Plain(denied)
		if err != nil {
			return projectLimits{}, err
		}
		if negative { // it allows all else, as in Argo CD
			limits.DeniedNamespaces = append(limits.DeniedNamespaces, patterns...)
			patterns = []string{"*"}
		}
		limits.Namespaces = append(limits.Namespaces, patterns...)
	}
	if len(limits.Namespaces) == 0 {
		return projectLimits{}, fmt.Errorf("no destination is cluster %s", strings.Join(slices.Compact(slices.Concat(names, servers)), ", "))
	}
	limits.Namespaces = sortedStrings(limits.Namespaces)
	limits.DeniedNamespaces = sortedStrings(limits.DeniedNamespaces)
	limits.ClusterKinds = kindRules(p.Spec.ClusterResourceWhitelist)
	limits.DeniedClusterKinds = kindRules(p.Spec.ClusterResourceBlacklist)
	limits.DeniedNamespacedKinds = kindRules(p.Spec.NamespaceResourceBlacklist)
	if limits.NamespacedKinds = kindRules(p.Spec.NamespaceResourceWhitelist); p.Spec.NamespaceResourceWhitelist != nil && len(limits.NamespacedKinds) == 0 {
		limits.NamespacedKinds = []app.KindRule{{}} // a list of none allows none: no kind has an empty name
	}
	return projectLimits{limits}, nil
}

// destinationMatch reports whether a pattern of a destination means one of the
// texts, or denies it. A denial means all that it does not deny.
func destinationMatch(pattern string, texts []string) (matched, denied bool) {
	if pattern == "" {
		return false, false
	}
	text, negative := strings.CutPrefix(pattern, "!")
	hit := slices.ContainsFunc(texts, func(name string) bool {
		return glob.Match(text, name, glob.Whole) || sameServer(text, name)
	})
	return hit != negative, hit && negative
}

func kindRules(rules []resourceRule) (out []app.KindRule) {
	for _, rule := range rules {
		out = append(out, app.KindRule(rule))
	}
	return out
}

// permitsNamespace reports whether an app's own namespace is one of its project.
func (l projectLimits) permitsNamespace(namespace string) (reason string, ok bool) {
	fits := func(pattern string) bool { return app.Match(pattern, namespace) }
	if i := slices.IndexFunc(l.DeniedNamespaces, fits); i >= 0 {
		return fmt.Sprintf("namespace %q is denied by %q", namespace, l.DeniedNamespaces[i]), false
	}
	if !slices.ContainsFunc(l.Namespaces, fits) {
		return fmt.Sprintf("the namespaces %s are allowed, not %q", strings.Join(l.Namespaces, ", "), namespace), false
	}
	return "", true
}

func sortedKeys[V any](entries map[string]V) []string {
	return slices.Sorted(maps.Keys(entries))
}
