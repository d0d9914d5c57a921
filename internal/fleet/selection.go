package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"nave.dev/internal/strictyaml"
)

// place finds the clusters that a Delivery selects. Clusters in error count as far as they can be told.
func (l *loader) place(d *delivery) {
	selection := d.Spec.Clusters
	matches := func(labels.Set) bool { return selection.All }
	if selection.Selector != nil {
		selector, err := metav1.LabelSelectorAsSelector(selection.Selector)
		if err != nil {
			l.fail(d, "spec.clusters.selector", "", "%v", err)
			d.anywhere = true
			return
		}
		matches = func(set labels.Set) bool { return selector.Matches(set) }
	}
	found := false
	for name, c := range l.fleet.clusters {
		matched := matches(c.labels)
		found = found || matched
		if matched || slices.Contains(selection.Names, name) {
			d.on[name] = nil
		}
	}
	for i, name := range selection.Names {
		if _, ok := l.fleet.clusters[name]; !ok {
			hint := ""
			if near := strictyaml.Nearest(name, slices.Sorted(maps.Keys(l.fleet.clusters))); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			l.warn(d, fmt.Sprintf("spec.clusters.names[%d]", i), hint, "there is no cluster %q", name)
		}
	}
	if selection.Selector != nil && !found {
		l.warn(d, "spec.clusters.selector", l.selectorHint(selection.Selector), "selector matches no cluster")
	}
}

// warn reports what is probably not meant, unless a cluster that is in error or unknown may be what is meant.
func (l *loader) warn(d *delivery, field, hint, format string, args ...any) {
	for _, m := range l.fleet.Members {
		if m.Err != nil {
			return
		}
	}
	if l.fleet.Incomplete == nil {
		l.fleet.Warnings = append(l.fleet.Warnings, d.doc.Problem(field, format, args...).WithHint("%s", hint))
	}
}

// selectorHint says which part of a selector no cluster has, and what may be meant in its place.
func (l *loader) selectorHint(selector *metav1.LabelSelector) string {
	have := map[string][]string{} // values by label
	for _, m := range l.fleet.Members {
		for key, value := range m.Labels {
			have[key] = append(have[key], value)
		}
	}
	for key, values := range have {
		slices.Sort(values)
		have[key] = slices.Compact(values)
	}
	keys := slices.Sorted(maps.Keys(have))
	wanted := selector.DeepCopy().MatchExpressions
	for _, key := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		wanted = append(wanted, metav1.LabelSelectorRequirement{
			Key: key, Operator: metav1.LabelSelectorOpIn, Values: []string{selector.MatchLabels[key]},
		})
	}
	for _, w := range wanted {
		if w.Operator != metav1.LabelSelectorOpIn && w.Operator != metav1.LabelSelectorOpExists {
			continue
		}
		if have[w.Key] == nil {
			return fmt.Sprintf("no cluster has a label %q%s", w.Key, meant(w.Key, keys))
		}
		for _, value := range w.Values {
			if !slices.Contains(have[w.Key], value) {
				return fmt.Sprintf("no cluster has %s=%s%s", w.Key, value, meant(value, have[w.Key]))
			}
		}
	}
	return "clusters have each of these labels, and none has all"
}

// meant continues a hint with what may be meant, or with what there is.
func meant(name string, names []string) string {
	const most = 8
	if near := strictyaml.Nearest(name, names); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	if len(names) == 0 || len(names) > most {
		return ""
	}
	return "; there are " + strings.Join(names, ", ")
}
