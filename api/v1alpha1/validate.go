package v1alpha1

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// findings collects what is wrong in one document.
type findings []Finding

func (fs *findings) add(field, hint, format string, args ...any) {
	*fs = append(*fs, Finding{Field: field, Message: fmt.Sprintf(format, args...), Hint: hint})
}

var (
	documentName   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	documentGlob   = regexp.MustCompile(`^[a-z0-9*]([a-z0-9.*-]{0,61}[a-z0-9*])?$`)
	namespaceName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	namespaceGlob  = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*-]{0,61}[a-z0-9*])?$`)
	serviceAccount = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	variableName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	kindName       = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	kindPattern    = regexp.MustCompile(`^(\*|[A-Z][A-Za-z0-9]*)(\.[a-z0-9.-]*)?$`)
	groupName      = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	releaseName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$`)
	versionName    = regexp.MustCompile(`^v1\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)
	heldDigest     = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
	chartName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)
	helperName     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

const (
	nameHint = `lower-case letters, digits, "-" and ".", at most 63 characters`
	globHint = `a name, in which "*" stands for anything`
)

// header checks what every document begins with.
func (fs *findings) header(apiVersion, kind, wantKind string, metadata Metadata) {
	if apiVersion != APIVersion {
		fs.add("apiVersion", "write apiVersion: "+APIVersion, "want %q, have %q", APIVersion, apiVersion)
	}
	if kind != wantKind {
		fs.add("kind", "write kind: "+wantKind, "want %q, have %q", wantKind, kind)
	}
	fs.name("metadata.name", metadata.Name)
	for _, key := range slices.Sorted(maps.Keys(metadata.Labels)) {
		at := Entry("metadata.labels", key)
		fs.qualifiedName(at, "a label", key)
		if wrong := validation.IsValidLabelValue(metadata.Labels[key]); len(wrong) > 0 {
			fs.add(at, `letters, digits, "-", "_" and ".", at most 63 characters, the first and last a letter or digit`,
				"%q is not the value of a label", metadata.Labels[key])
		}
		if group, _, _ := strings.Cut(key, "/"); group == Group {
			fs.add(at, "choose a name under a domain of yours, or without one", "labels under %s are set by Nave alone", Group)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(metadata.Annotations)) {
		fs.qualifiedName(Entry("metadata.annotations", key), "an annotation", key)
	}
}

func (fs *findings) name(at, name string) {
	switch {
	case name == "":
		fs.add(at, nameHint, "is missing")
	case !documentName.MatchString(name):
		fs.add(at, nameHint, "%q is not a name", name)
	}
}

func (fs *findings) qualifiedName(at, what, key string) {
	if len(validation.IsQualifiedName(key)) > 0 {
		fs.add(at, `such as team or example.com/team`, "%q is not the name of %s", key, what)
	}
}

// matches checks text, unless it is empty, against a form.
func (fs *findings) matches(at, text string, form *regexp.Regexp, what, hint string) {
	if text != "" && !form.MatchString(text) {
		fs.add(at, hint, "%q is not %s", text, what)
	}
}

// list checks that each item has a form and is there once.
func (fs *findings) list(at string, items []string, form *regexp.Regexp, what, hint string) {
	for i, text := range items {
		item := index(at, i)
		if !form.MatchString(text) {
			fs.add(item, hint, "%q is not %s", text, what)
		} else if slices.Index(items, text) < i {
			fs.add(item, "remove one of them", "%q is listed twice", text)
		}
	}
}

func (fs *findings) template(at, text string) {
	if err := CheckTemplate(text); err != nil {
		fs.add(at, referenceHint, "%s", err)
	}
}

// variables checks the names of variables and, where they are templates, their values.
func (fs *findings) variables(at string, variables map[string]string, templates bool) {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if !variableName.MatchString(name) {
			fs.add(Entry(at, name), `letters, digits and "_", the first not a digit`, "%q is not the name of a variable", name)
		}
		if templates {
			fs.template(Entry(at, name), variables[name])
		}
	}
}

func (fs *findings) enum(at, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		fs.add(at, "write one of "+strings.Join(allowed, ", "), "%q is not known here", value)
	}
}

func (fs *findings) duration(at string, d *metav1.Duration, least metav1.Duration) {
	if d != nil && d.Duration < least.Duration {
		fs.add(at, "write a duration such as 30s or 10m", "%s is less than %s", d.Duration, least.Duration)
	}
}

// file checks the path of a file below a directory that is described by within.
func (fs *findings) file(at, text, within string) {
	message := wrongPath(text)
	if message == "" && text != path.Clean(text) {
		message = fmt.Sprintf("%q is not the shortest form of a path", text)
	}
	if text != "" && message != "" {
		fs.add(at, "write a path relative to "+within, "%s", message)
	}
}

// revision checks that exactly one way is used to name a revision, and, where it holds no template, its form.
func (fs *findings) revision(at string, r Revision, templates bool) {
	set := r.set()
	if len(set) != 1 {
		have := "none of them"
		if len(set) > 1 {
			have = set[0].name + " and " + set[1].name
		}
		fs.add(at, "such as branch: main", "want one of branch, tag, semver and commit, have %s", have)
	}
	for _, p := range set {
		if field := at + "." + p.name; templates && strings.Contains(*p.value, "${") {
			fs.template(field, *p.value)
		} else if message := wrongRevision(p.name, *p.value); message != "" {
			hint := ""
			if p.name == "commit" {
				hint = "write all of its hexadecimal digits: git rev-parse prints them"
			}
			fs.add(field, hint, "%s", message)
		}
	}
}

func (fs *findings) selector(at string, selector *metav1.LabelSelector) {
	wrong := metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, field.NewPath(at))
	for _, e := range wrong {
		switch e.Type {
		case field.ErrorTypeRequired:
			fs.add(e.Field, "", "is missing: %s", e.Detail)
		case field.ErrorTypeForbidden:
			fs.add(e.Field, "", "is not allowed: %s", e.Detail)
		default:
			fs.add(e.Field, "", "%q: %s", fmt.Sprint(e.BadValue), e.Detail)
		}
	}
}

func (fs *findings) drift(at string, d Drift) {
	fs.enum(at+".mode", string(d.Mode), string(DriftCorrect), string(DriftReport))
	for i, rule := range d.Ignore {
		item := index(at+".ignore", i)
		fs.matches(item+".group", rule.Group, groupName, "the name of an API group", "such as apps")
		switch {
		case rule.Kind == "":
			fs.add(item+".kind", `such as Deployment, or "*" for all`, "is missing")
		case rule.Kind == "*" && rule.Group != "":
			fs.add(item+".group", "remove it", `"*" is every kind of every group`)
		case rule.Kind != "*":
			fs.matches(item+".kind", rule.Kind, kindName, "a kind", `such as Deployment, or "*" for all`)
		}
		if len(rule.Paths) == 0 {
			fs.add(item+".paths", "such as spec.replicas", "names no field")
		}
		for j, text := range rule.Paths {
			if text == "" || strings.ContainsAny(text[:1], "./") {
				fs.add(index(item+".paths", j), "such as spec.replicas", "%q is not the path of a field", text)
			}
		}
	}
}

// index is the path of an item of a list.
func index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// Entry is the path of an entry of a mapping, as Finding has them.
func Entry(mapping, key string) string {
	if plainKey.MatchString(key) {
		return mapping + "." + key
	}
	return mapping + "[" + strconv.Quote(key) + "]"
}
