package rights

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/object"
)

// Agent is the user that the agent of a cluster is, as its manifest makes it.
const Agent = accountPrefix + "nave-system:nave-agent"

// Manifest returns the roles that give the rules to their users and nothing else, each
// with its binding. What is given at another time has another name, and stays, unless
// these are all the rules that there are to be.
func Manifest(rules []Rule, all bool) []runtime.Object {
	type place struct{ user, namespace string }
	by := map[place][]Rule{}
	var places []place
	for _, r := range Merge(rules) { // which puts those of a user and a namespace together
		at := place{r.User, r.Namespace}
		if len(by[at]) == 0 {
			places = append(places, at)
		}
		by[at] = append(by[at], r)
	}
	var objects []runtime.Object
	for _, at := range places {
		given := policy(by[at])
		name := "nave:" + short(at.user)
		if !all {
			name += ":" + object.Digest([]byte(fmt.Sprint(given)))[:10]
		}
		meta := metav1.ObjectMeta{Name: name, Namespace: at.namespace, Labels: map[string]string{"app.kubernetes.io/name": "nave", "app.kubernetes.io/component": "rights"}}
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Name: name}
		subjects := []rbacv1.Subject{subject(at.user)}
		kind := func(name string) metav1.TypeMeta {
			return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: name}
		}
		if at.namespace == "" {
			ref.Kind = "ClusterRole"
			objects = append(objects,
				&rbacv1.ClusterRole{TypeMeta: kind(ref.Kind), ObjectMeta: meta, Rules: given},
				&rbacv1.ClusterRoleBinding{TypeMeta: kind("ClusterRoleBinding"), ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
			continue
		}
		ref.Kind = "Role"
		objects = append(objects,
			&rbacv1.Role{TypeMeta: kind(ref.Kind), ObjectMeta: meta, Rules: given},
			&rbacv1.RoleBinding{TypeMeta: kind("RoleBinding"), ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
	}
	return objects
}

// policy returns rules, all of one user and namespace, as RBAC has them: resources of
// which the same is allowed are in one rule.
func policy(rules []Rule) []rbacv1.PolicyRule {
	var given []rbacv1.PolicyRule
	for _, r := range rules {
		alike := slices.IndexFunc(given, func(p rbacv1.PolicyRule) bool {
			return p.APIGroups[0] == r.Group && slices.Equal(p.Verbs, r.Verbs) && len(p.ResourceNames)+len(r.Names) == 0
		})
		if alike >= 0 {
			given[alike].Resources = append(given[alike].Resources, r.Resource)
			continue
		}
		given = append(given, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, ResourceNames: r.Names, Verbs: r.Verbs})
	}
	return given
}

// subject returns a user as a binding names it.
func subject(user string) rbacv1.Subject {
	if namespace, name, is := accountOf(cmp.Or(user, Agent)); is {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}
}

// short names a user in names of roles. Those of people may have any form.
func short(user string) string {
	if namespace, name, is := accountOf(cmp.Or(user, Agent)); is {
		return namespace + ":" + name
	}
	return "user:" + object.Digest([]byte(user))[:10]
}

// Text returns the Manifest as YAML, and above it in words for which apps of a cluster it
// is, and what whoever applies it gives.
func Text(cluster string, apps []string, rules []Rule, all bool) ([]byte, error) {
	lines := []string{fmt.Sprintf("Rights on the cluster %q for its apps %s:", cluster, strings.Join(apps, ", "))}
	for _, r := range Merge(rules) {
		lines = append(lines, "  "+r.String())
	}
	lines = append(lines, "WHOEVER APPLIES THIS GIVES THEM to the agent, or to accounts as which it writes, and with that to whoever",
		"commits to the fleet repository or rules the hub. Review it.")
	if spaces := namespaces(rules); len(spaces) > 0 {
		lines = append(lines, "What is in "+strings.Join(spaces, ", ")+" is refused as long as there is no such namespace: apply it again once there is.")
	}
	text := []byte("# " + strings.Join(lines, "\n# ") + "\n")
	for i, o := range Manifest(rules, all) {
		data, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("writing the rights on %s: %w", cluster, err)
		}
		if i > 0 {
			text = append(text, "---\n"...)
		}
		text = append(text, data...)
	}
	return text, nil
}

// namespaces are those in which rights are needed, in order.
func namespaces(rules []Rule) []string {
	seen := map[string]bool{}
	for _, r := range rules {
		seen[r.Namespace] = true
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}
