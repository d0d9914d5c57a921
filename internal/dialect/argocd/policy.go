package argocd

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nave.dev/internal/app"
)

// keeping reads how the app is kept: what its Delivery says, narrowed.
func (r *reading) keeping() app.Options {
	o := app.Options{
		Prune: r.options.Prune, CorrectDrift: r.options.CorrectDrift,
		IgnoreFields: r.options.IgnoreFields, CreateOnly: r.options.CreateOnly,
		ConfirmPrune: r.options.ConfirmPrune, Replace: r.options.Replace, PruneFirst: r.options.PruneFirst,
		ServiceAccount: r.options.ServiceAccount, Limits: r.options.Limits, Project: r.options.Project,
		Deadline: r.options.Deadline, Suspend: r.options.Suspend, HoldPrunes: r.options.HoldPrunes,
	}
	if r.Metadata.Annotations[annotationPrefix+"skip-reconcile"] == "true" {
		o.Suspend = true
	}
	cascade, propagation := r.cascade()
	o.Lineage.Cascade, o.Propagation = cascade, propagation
	policy := r.Spec.SyncPolicy
	if policy == nil {
		policy = &syncPolicy{}
	}
	if a := policy.Automated; a != nil && (a.Enabled == nil || *a.Enabled) {
		o.Prune = o.Prune && a.Prune
		o.CorrectDrift = o.CorrectDrift && a.SelfHeal
		o.AllowEmpty = a.AllowEmpty
	} else {
		// A person begins each sync, and so confirms each deletion.
		o.Manual, o.HoldPrunes, o.CorrectDrift = true, true, false
	}
	for i, option := range policy.SyncOptions {
		r.syncOption(option, fmt.Sprintf("spec.syncPolicy.syncOptions[%d]", i), &o)
	}
	if m := policy.ManagedNamespaceMetadata; m != nil {
		if o.CreateNamespace {
			o.NamespaceMetadata = app.Metadata{Labels: m.Labels, Annotations: m.Annotations}
		} else {
			r.warn("spec.syncPolicy.managedNamespaceMetadata", "it counts only with the sync option CreateNamespace=true")
		}
	}
	if policy.Retry != nil {
		o.Retry = r.retry(*policy.Retry)
	}
	for i, d := range r.Spec.IgnoreDifferences {
		o.Differences = append(o.Differences, r.difference(d, fmt.Sprintf("spec.ignoreDifferences[%d]", i)))
	}
	return o
}

// syncOption reads an option of the whole app.
func (r *reading) syncOption(option, at string, o *app.Options) {
	switch option {
	case "Prune=false":
		o.Prune = false
	case "Prune=confirm":
		o.HoldPrunes = true
	case "Delete=false":
		o.Lineage.Cascade = false
	case "Delete=confirm":
		o.Lineage.Confirm = o.Lineage.Cascade
	case "CreateNamespace=true":
		o.CreateNamespace = true
	case "RespectIgnoreDifferences=true":
		o.LeaveDifferences = true
	case "PrunePropagationPolicy=foreground", "PrunePropagationPolicy=background", "PrunePropagationPolicy=orphan":
		_, o.Propagation, _ = strings.Cut(option, "=")
	case "Replace=true":
		r.warn(at, "objects are applied by the server, which knows no limit of size; one is made anew only where its Delivery says replace")
	case "ServerSideApply=false":
		r.warn(at, "objects are always applied by the server")
	case "ClientSideApplyMigration=false":
		r.warn(at, "what former deployers own is always taken over")
	case "Prune=true", "Delete=true", "CreateNamespace=false", "RespectIgnoreDifferences=false", "Replace=false",
		"ServerSideApply=true",             // always so
		"ClientSideApplyMigration=true",    // always so
		"PruneLast=true",                   // always so
		"FailOnSharedResource=true",        // always so: of two apps with one object the first keeps it
		"ApplyOutOfSyncOnly=true",          // always so
		"SkipDryRunOnMissingResource=true", // a kind that is not there yet is waited for
		"Validate=true", "PruneLast=false", "FailOnSharedResource=false", "ApplyOutOfSyncOnly=false", "SkipDryRunOnMissingResource=false":
	case "Validate=false":
		r.warn(at, "the server validates what is applied in any case; fields that it does not know it drops")
	default:
		r.warn(at, "%q is no sync option that Argo CD documents for an app, and means nothing here", option)
	}
}

// retry reads how a failed sync is tried again; what is not stated is as Argo CD
// has it.
func (r *reading) retry(p retryPolicy) *app.Retry {
	out := &app.Retry{Limit: int(min(max(p.Limit, -1), 1<<30)), First: 5 * time.Second, Factor: 2, Most: 3 * time.Minute}
	if p.Backoff == nil {
		return out
	}
	duration := func(text, field string, fallback time.Duration) time.Duration {
		if text == "" {
			return fallback
		}
		d, err := time.ParseDuration(text)
		if seconds, number := strconv.Atoi(text); number == nil {
			d, err = time.Duration(seconds)*time.Second, nil
		}
		if err != nil || d < 0 || d > 365*24*time.Hour {
			r.refuse("spec.syncPolicy.retry.backoff."+field, "such as 30s, 5m or 1h30m", "%q is no duration", text)
		}
		return d
	}
	out.First = duration(p.Backoff.Duration, "duration", out.First)
	out.Most = duration(p.Backoff.MaxDuration, "maxDuration", out.Most)
	if p.Backoff.Factor != nil {
		if *p.Backoff.Factor < 1 {
			r.refuse("spec.syncPolicy.retry.backoff.factor", "", "want a number from 1 on, have %d", *p.Backoff.Factor)
		}
		out.Factor = float64(*p.Backoff.Factor)
	}
	return out
}

func (r *reading) difference(d ignoreDifference, at string) app.Difference {
	if d.Kind == "" {
		r.refuse(at+".kind", "\"*\" is every kind", "it needs a kind")
	}
	if len(d.JSONPointers)+len(d.JQPathExpressions)+len(d.ManagedFieldsManagers) == 0 {
		r.refuse(at, "name jsonPointers, jqPathExpressions or managedFieldsManagers", "it names no fields")
	}
	for i, pointer := range d.JSONPointers {
		if !strings.HasPrefix(pointer, "/") {
			r.refuse(fmt.Sprintf("%s.jsonPointers[%d]", at, i), "it begins with a slash, such as /spec/replicas", "%q is no JSON pointer", pointer)
		}
	}
	for _, part := range []struct{ field, pattern string }{{"group", d.Group}, {"kind", d.Kind}, {"name", d.Name}, {"namespace", d.Namespace}} {
		if strings.ContainsAny(part.pattern, "?[]{}") || (part.field == "group" || part.field == "kind") && strings.Contains(part.pattern, "*") && part.pattern != "*" {
			r.refuse(at+"."+part.field, "use several entries", "of patterns only \"*\" is read here, not %q", part.pattern)
		}
	}
	return app.Difference{
		Group: d.Group, Kind: d.Kind, Name: d.Name, Namespace: d.Namespace,
		Pointers: d.JSONPointers, JQ: d.JQPathExpressions, Managers: d.ManagedFieldsManagers,
	}
}

// sortedStrings returns what is in any of the lists, once each and in order.
func sortedStrings(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.SortFunc(all, cmp.Compare[string])
	return slices.Compact(all)
}
