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
	if l.NamespacedOnly && !(known && namespaced) {
		if !known {
			return fmt.Sprintf("limits allow only namespaced kinds, and whether %s is one is not known", id.Kind), false
		}
		return fmt.Sprintf("limits allow only namespaced kinds, and %s is cluster-wide", id.Kind), false
	}
	if len(l.Kinds) > 0 && !slices.ContainsFunc(l.Kinds, func(pattern string) bool { return kindMatches(pattern, id) }) {
		return fmt.Sprintf("limits allow the kinds %s, not %s", strings.Join(l.Kinds, ", "), id.GroupKind()), false
	}
	if len(l.Namespaces) == 0 {
		return "", true
	}
	namespace := id.Namespace
	if id.Group == "" && id.Kind == "Namespace" {
		namespace = id.Name // a namespace is touched like what is in it
	} else if known && !namespaced {
		return "", true
	}
	if slices.ContainsFunc(l.Namespaces, func(pattern string) bool { return Match(pattern, namespace) }) {
		return "", true
	}
	return fmt.Sprintf("limits allow the namespaces %s, not %q", strings.Join(l.Namespaces, ", "), namespace), false
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
