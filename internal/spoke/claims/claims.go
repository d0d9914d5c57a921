// Package claims says which of a cluster's apps have which objects in Git. It knows
// nothing of the cluster.
package claims

import (
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Claims says which app of the assignment, or of the last good bundle of one in
// error, has an object in Git. It is not changed once made.
type Claims struct {
	owners     map[object.ID][]string
	namespaces map[string][]string // whose objects are in a namespace
	groups     map[string][]string // or of an API group
	known      map[string]bool     // apps of which the objects are known
	unknown    map[string]bool     // and those of which none are
	partial    bool                // there may be other apps
}

// Of returns the claims of apps by their bundles, none where an app's objects are
// not known, several where it may have those of any. There may be other apps beside
// them if they are partial.
func Of(apps map[string][]*app.Bundle, partial bool, facts app.Facts) *Claims {
	c := &Claims{
		owners: map[object.ID][]string{}, namespaces: map[string][]string{}, groups: map[string][]string{},
		known: map[string]bool{}, unknown: map[string]bool{}, partial: partial,
	}
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		if len(apps[name]) == 0 {
			c.unknown[name] = true
			continue
		}
		c.known[name] = true
		for _, bundle := range apps[name] {
			if bundle.Release != nil {
				id := bundle.Release.ID()
				c.owners[id] = addLast(c.owners[id], name)
			}
			for _, u := range bundle.Objects {
				for _, id := range Identities(object.Of(u), facts) {
					c.owners[id] = addLast(c.owners[id], name)
					c.namespaces[id.Namespace] = addLast(c.namespaces[id.Namespace], name)
					c.groups[id.Group] = addLast(c.groups[id.Group], name)
				}
			}
		}
	}
	return c
}

// addLast appends a name that is not the last one already.
func addLast(names []string, name string) []string {
	if n := len(names); n > 0 && names[n-1] == name {
		return names
	}
	return append(names, name)
}

// Identities returns those that an object of a bundle may have on the cluster:
// Git may state a namespace where the kind has none.
func Identities(id object.ID, facts app.Facts) []object.ID {
	bare := id
	bare.Namespace = ""
	namespaced, known := facts.Namespaced(id.GroupKind())
	switch {
	case id == bare || known && namespaced:
		return []object.ID{id}
	case known:
		return []object.ID{bare}
	}
	return []object.ID{id, bare}
}

// Owners returns the apps that have an object in Git, in order.
func (c *Claims) Owners(id object.ID) []string { return c.owners[id] }

// Inside reports whether an app has objects in a namespace.
func (c *Claims) Inside(namespace, name string) bool {
	return slices.Contains(c.namespaces[namespace], name)
}

// By names another app than the given one that has an object in Git.
func (c *Claims) By(name string, id object.ID) (string, bool) {
	for _, owner := range c.owners[id] {
		if owner != name {
			return owner, true
		}
	}
	return "", false
}

// Keeps reports whether an app has an object in Git, or may have it there.
func (c *Claims) Keeps(name string, id object.ID) bool {
	return slices.Contains(c.owners[id], name) || c.unknown[name] || c.partial && !c.known[name]
}

// Complete reports whether all apps and their objects are known.
func (c *Claims) Complete() bool { return !c.partial && len(c.unknown) == 0 }

// Needs names another app that has objects in a namespace, or of the API group of
// a definition, and loses them with it.
func (c *Claims) Needs(name string, id object.ID) (string, bool) {
	var users []string
	switch {
	case id.Group == "" && id.Kind == "Namespace":
		users = c.namespaces[id.Name]
	case id.Kind == "CustomResourceDefinition":
		_, group, _ := strings.Cut(id.Name, ".")
		users = c.groups[group]
	}
	for _, user := range users {
		if user != name {
			return user, true
		}
	}
	return "", false
}
