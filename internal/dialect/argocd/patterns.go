package argocd

import (
	"fmt"
	"regexp"
	"strings"

	"nave.dev/internal/glob"
)

// checkPatterns refuses what of a project's patterns cannot be read: one that matched nothing would allow, or deny, other
// things than its author wrote.
func (p *project) checkPatterns(refuse func(field, hint, format string, args ...any)) {
	const hint = "\"*\" is any text, \"[ab]\" one of several characters, \"{a,b}\" one of several texts"
	read := func(field, pattern string, dialect glob.Dialect) {
		if _, err := glob.Compile(pattern, dialect); err != nil {
			refuse(field, hint, "%v", err)
		}
	}
	deniable := func(field, pattern string, dialect glob.Dialect) {
		text, negative := strings.CutPrefix(pattern, "!")
		if negative && text == "*" {
			refuse(field, "leave it out", "\"!*\" would deny all")
		}
		read(field, text, dialect)
	}
	for i, pattern := range p.Spec.SourceRepos {
		deniable(fmt.Sprintf("spec.sourceRepos[%d]", i), normalURL(pattern), glob.Parts) // as it is matched
	}
	for i, pattern := range p.Spec.SourceNamespaces {
		field := fmt.Sprintf("spec.sourceNamespaces[%d]", i)
		if expression, ok := expressionOf(pattern); ok {
			if _, err := regexp.Compile(expression); err != nil {
				refuse(field, "regular expressions are those of RE2, without looking ahead or behind", "%q is no regular expression: %v", pattern, err)
			}
			continue
		}
		read(field, pattern, glob.Whole)
	}
	for i, d := range p.Spec.Destinations {
		at := fmt.Sprintf("spec.destinations[%d]", i)
		deniable(at+".server", d.Server, glob.Whole)
		deniable(at+".name", d.Name, glob.Whole)
		namespace, negative := strings.CutPrefix(d.Namespace, "!")
		if negative && namespace == "*" {
			refuse(at+".namespace", "leave the destination out", "\"!*\" would deny all")
		}
		if negative && strings.HasPrefix(d.Server+d.Name, "!") {
			refuse(at, "use several destinations", "it denies a cluster and a namespace at once, which says nothing of either")
		}
		if _, err := glob.Plain(namespace); err != nil {
			refuse(at+".namespace", "use several destinations", "%v", err)
		}
	}
	for i, a := range p.Spec.DestinationServiceAccounts {
		at := fmt.Sprintf("spec.destinationServiceAccounts[%d]", i)
		read(at+".server", a.Server, glob.Whole)
		read(at+".namespace", a.Namespace, glob.Whole)
		if strings.Contains(a.Server+a.Namespace, "!") {
			refuse(at, "use several entries", "nothing can be denied here")
		}
		if strings.TrimSpace(a.DefaultServiceAccount) == "" || strings.ContainsAny(a.DefaultServiceAccount, "!*[]{}\\/") {
			refuse(at+".defaultServiceAccount", "NAME, or NAMESPACE:NAME", "%q is no service account", a.DefaultServiceAccount)
		}
	}
	for i, w := range p.Spec.SyncWindows {
		for _, list := range []struct {
			field    string
			patterns []string
		}{{"applications", w.Applications}, {"namespaces", w.Namespaces}, {"clusters", w.Clusters}} {
			for j, pattern := range list.patterns {
				read(fmt.Sprintf("spec.syncWindows[%d].%s[%d]", i, list.field, j), pattern, glob.Whole)
			}
		}
	}
}

// expressionOf returns the regular expression that stands between slashes.
func expressionOf(pattern string) (expression string, ok bool) {
	if len(pattern) > 2 && strings.HasPrefix(pattern, "/") && strings.HasSuffix(pattern, "/") {
		return pattern[1 : len(pattern)-1], true
	}
	return "", false
}

// namespaceMatch matches a glob, or a regular expression between slashes.
func namespaceMatch(pattern, namespace string) bool {
	if expression, ok := expressionOf(pattern); ok {
		compiled, err := regexp.Compile(expression)
		return err == nil && compiled.MatchString(namespace)
	}
	return glob.Match(pattern, namespace, glob.Whole)
}
