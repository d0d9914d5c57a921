package ledger

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// LeftAlone returns the objects that an app leaves alone on its cluster from now on:
// those that it says, those that it left alone before, and the namespaces that may
// have been made for the objects that it had. That such an object is not in Git, or
// no longer, takes nothing away that the app would have to delete. One that the app
// has in Git now is its own again, as is a namespace that it needs.
func (last App) LeftAlone(had *app.Bundle, now app.Desired) app.ObjectRules {
	rules := slices.Clip(now.Options.Leaves)
	applied := func(rule app.ObjectRule) bool {
		return now.Bundle != nil && slices.ContainsFunc(now.Bundle.Objects, func(u *unstructured.Unstructured) bool {
			return app.ObjectRules{rule}.Match(object.Of(u))
		})
	}
	for _, rule := range last.Given().Leaves {
		if !slices.Contains(rules, rule) && !applied(rule) {
			rules = append(rules, rule)
		}
	}
	if !last.Given().CreateNamespace || had == nil {
		return rules
	}
	needed := map[string]bool{"": true}
	if now.Bundle != nil {
		for _, u := range slices.Concat(now.Bundle.Objects, now.Bundle.Hooks) {
			needed[u.GetNamespace()] = true
		}
	}
	var made []string
	for _, u := range slices.Concat(had.Objects, had.Hooks) {
		if !needed[u.GetNamespace()] {
			made = append(made, u.GetNamespace())
		}
	}
	for _, u := range had.Objects {
		if object.Of(u).GroupKind().String() == "Namespace" {
			made = slices.DeleteFunc(made, func(name string) bool { return name == u.GetName() })
		}
	}
	slices.Sort(made)
	for _, name := range slices.Compact(made) {
		rule := app.ObjectRule{Kind: "Namespace", Name: name}
		if !slices.Contains(rules, rule) && !applied(rule) {
			rules = append(rules, rule)
		}
	}
	return rules
}
