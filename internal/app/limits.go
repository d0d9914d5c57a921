package app

import (
	"fmt"
	"slices"
	"strings"

	"nave.dev/internal/object"
)

// Limits are what an app may touch. A zero value allows everything.
type Limits struct {
	// Namespaces that objects may be in, as glob patterns; empty allows all.
	Namespaces []string `json:"namespaces,omitempty"`
	// Kinds that are allowed, as KIND or KIND.GROUP, with "*" for any; empty allows all.
	Kinds []string `json:"kinds,omitempty"`
	// NamespacedOnly refuses objects of cluster-wide kinds.
	NamespacedOnly bool `json:"namespacedOnly,omitempty"`

	// By names who set the limits, such as a project, where it is not the Delivery.
	By string `json:"by,omitempty"`
	// DeniedNamespaces wins over Namespaces.
	DeniedNamespaces []string `json:"deniedNamespaces,omitempty"`
	// ClusterKinds are the cluster-wide kinds that are allowed, if ClusterListed;
	// NamespacedKinds those with namespaces, if there are any. The denied ones win.
	ClusterListed         bool       `json:"clusterListed,omitempty"`
	ClusterKinds          []KindRule `json:"clusterKinds,omitempty"`
	DeniedClusterKinds    []KindRule `json:"deniedClusterKinds,omitempty"`
	NamespacedKinds       []KindRule `json:"namespacedKinds,omitempty"`
	DeniedNamespacedKinds []KindRule `json:"deniedNamespacedKinds,omitempty"`
}

// KindRule names kinds; in each part "*" stands for anything.
type KindRule struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"` // of the object; empty is every name
}

// Permits reports whether an object may be written or deleted, and if not, which
// limit refuses it. An unknown scope is refused where scope matters.
func (l Limits) Permits(id object.ID, namespaced, known bool) (reason string, ok bool) {
	if reason, ok = l.permits(id, namespaced, known); !ok && l.By != "" {
		reason = l.By + ": " + reason
	}
	return reason, ok
}

func (l Limits) permits(id object.ID, namespaced, known bool) (reason string, ok bool) {
	if l.NamespacedOnly && !(known && namespaced) {
		if !known {
			return fmt.Sprintf("limits allow only namespaced kinds, and whether %s is one is not known", id.Kind), false
		}
		return fmt.Sprintf("limits allow only namespaced kinds, and %s is cluster-wide", id.Kind), false
	}
	if len(l.Kinds) > 0 && !slices.ContainsFunc(l.Kinds, func(pattern string) bool { return kindMatches(pattern, id) }) {
		return fmt.Sprintf("limits allow the kinds %s, not %s", strings.Join(l.Kinds, ", "), id.GroupKind()), false
	}
	if reason, ok := l.permitsKind(id, namespaced, known); !ok {
		return reason, false
	}
	if len(l.Namespaces)+len(l.DeniedNamespaces) == 0 {
		return "", true
	}
	namespace := id.Namespace
	if id.Group == "" && id.Kind == "Namespace" {
		namespace = id.Name // a namespace is touched like what is in it
	} else if known && !namespaced {
		return "", true
	}
	fits := func(pattern string) bool { return Match(pattern, namespace) }
	if i := slices.IndexFunc(l.DeniedNamespaces, fits); i >= 0 {
		return fmt.Sprintf("limits deny the namespaces %s, and so %q", l.DeniedNamespaces[i], namespace), false
	}
	if len(l.Namespaces) == 0 || slices.ContainsFunc(l.Namespaces, fits) {
		return "", true
	}
	return fmt.Sprintf("limits allow the namespaces %s, not %q", strings.Join(l.Namespaces, ", "), namespace), false
}

// Permits reports whether the app may write or delete an object, which both its
// Limits and those of its Project must allow, and if not, which limit refuses it.
func (o Options) Permits(id object.ID, namespaced, known bool) (reason string, ok bool) {
	if reason, ok = o.Limits.Permits(id, namespaced, known); !ok {
		return reason, false
	}
	return o.Project.Permits(id, namespaced, known)
}

// permitsKind reports whether the lists of kinds, those with namespaces apart from
// those without, let an object be.
func (l Limits) permitsKind(id object.ID, namespaced, known bool) (reason string, ok bool) {
	scope, listed, allowed, denied := "cluster-wide", l.ClusterListed, l.ClusterKinds, l.DeniedClusterKinds
	if namespaced {
		scope, listed, allowed, denied = "namespaced", len(l.NamespacedKinds) > 0, l.NamespacedKinds, l.DeniedNamespacedKinds
	}
	if !known {
		if l.ClusterListed || len(l.NamespacedKinds)+len(l.DeniedClusterKinds)+len(l.DeniedNamespacedKinds) > 0 {
			return fmt.Sprintf("limits differ for kinds with and without namespaces, and whether %s has them is not known", id.Kind), false
		}
		return "", true
	}
	fits := func(r KindRule) bool {
		return Match(r.Group, id.Group) && Match(r.Kind, id.Kind) && (r.Name == "" || Match(r.Name, id.Name))
	}
	if slices.ContainsFunc(denied, fits) {
		return fmt.Sprintf("limits deny the %s kind %s", scope, id.GroupKind()), false
	}
	if listed && !slices.ContainsFunc(allowed, fits) {
		return fmt.Sprintf("limits do not list the %s kind %s", scope, id.GroupKind()), false
	}
	return "", true
}

// kindMatches reports whether KIND or KIND.GROUP names the object's kind; "*"
// stands for any kind, and without a group any group is meant.
func kindMatches(pattern string, id object.ID) bool {
	kind, group, hasGroup := strings.Cut(pattern, ".")
	return (kind == "*" || kind == id.Kind) && (!hasGroup || group == id.Group)
}

// Match reports whether text fits a pattern in which each "*" stands for
// anything, nothing included.
func Match(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for {
		// The leftmost place for each piece leaves most room for those after it.
		piece, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, piece)
		}
		_, text, ok = strings.Cut(text, piece)
		if !ok {
			return false
		}
		rest = after
	}
}
