// Package rights tells which rights on a cluster an app needs, which of them are
// missing before anything is written, and by which objects they would be given. Rules
// are what is needed; Of reads them off an app, a Memory asks the API server for them,
// and Manifest gives them. The API server decides all the same at each request: what a
// Memory says spares an app from being half done. It grants nothing.
package rights

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Rule is a right to do some things to the objects of one resource.
type Rule struct {
	// User is who needs it, as Kubernetes names users; empty is who keeps the cluster.
	User     string   `json:"user,omitempty"`
	Verbs    []string `json:"verbs"`
	Group    string   `json:"group,omitempty"`
	Resource string   `json:"resource"`
	// Namespace is the one that it is needed in; empty is the whole cluster.
	Namespace string `json:"namespace,omitempty"`
	// Names are those of the objects, where they are known and others are of no concern.
	Names []string `json:"names,omitempty"`

	kind     string // whose resource it is
	optional bool   // it is not needed if the named objects, which are namespaces, are there
}

// String names the rule as a person asks for it.
func (r Rule) String() string {
	text := fmt.Sprintf("%s %s", strings.Join(r.Verbs, ", "), schema.GroupResource{Group: r.Group, Resource: r.Resource})
	if len(r.Names) > 0 {
		text += " " + strings.Join(r.Names, ", ")
	}
	if r.Namespace != "" {
		text += " in " + r.Namespace
	}
	if r.User != "" {
		text += " as " + strings.Replace(strings.TrimPrefix(r.User, accountPrefix), ":", "/", 1)
	}
	return text
}

// accountPrefix begins the names that service accounts have as users.
const accountPrefix = "system:serviceaccount:"

// UserOf returns a service account, as NAMESPACE/NAME, as a user; empty is nobody.
func UserOf(account string) string {
	if account == "" {
		return ""
	}
	return accountPrefix + strings.Replace(account, "/", ":", 1)
}

// accountOf returns the service account that a user is.
func accountOf(user string) (namespace, name string, is bool) {
	rest, is := strings.CutPrefix(user, accountPrefix)
	namespace, name, named := strings.Cut(rest, ":")
	return namespace, name, is && named
}

// Compare orders rules by user, namespace, group and resource, and for the rest by what
// they allow.
func Compare(a, b Rule) int {
	return cmp.Or(
		cmp.Compare(a.User, b.User), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource),
		slices.Compare(a.Names, b.Names), slices.Compare(a.Verbs, b.Verbs),
	)
}

// Merge returns the rules in order, those that differ in their verbs alone as one.
func Merge(rules []Rule) []Rule {
	type key struct{ user, namespace, group, resource, names string }
	at := map[key]int{}
	merged := []Rule{}
	for _, r := range rules {
		k := key{r.User, r.Namespace, r.Group, r.Resource, strings.Join(r.Names, "\n")}
		i, there := at[k]
		if !there {
			i, at[k] = len(merged), len(merged)
			merged = append(merged, r)
			merged[i].Verbs = nil
		}
		merged[i].optional = merged[i].optional && r.optional
		for _, verb := range r.Verbs {
			if !slices.Contains(merged[i].Verbs, verb) {
				merged[i].Verbs = append(merged[i].Verbs, verb)
			}
		}
	}
	for i := range merged {
		slices.SortFunc(merged[i].Verbs, func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
	}
	slices.SortFunc(merged, Compare)
	return merged
}

// usual is the order in which people write verbs.
var usual = []string{"get", "list", "watch", "create", "update", "patch", "delete", "impersonate"}

func place(verb string) int { return slices.Index(usual, verb) }
