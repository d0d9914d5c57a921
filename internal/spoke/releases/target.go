package releases

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/apply/difference"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
	"nave.dev/internal/release"
)

// target is an app as the engine wants it.
func (a *Applier) target(ctx context.Context, t apply.Target, round *round) (release.Target, error) {
	differences, err := ignored(t)
	if err != nil {
		return release.Target{}, err
	}
	rules, err := readRules(t.Bundle.Release.DriftIgnore)
	if err != nil {
		return release.Target{}, err
	}
	return release.Target{
		App: t.App, Release: t.Bundle.Release, Options: t.Options, ClaimedBy: t.ClaimedBy,
		Review: func(removal release.Removal) release.Review { return round.review(t, removal) },
		Ignored: func(id object.ID, want, live *unstructured.Unstructured) (places [][]any, err error) {
			all := []ownership.Ignored{differences.Of(ctx, id)}
			for _, rule := range rules {
				if rule.names(want) {
					all = append(all, rule.differences.Of(ctx, id))
				}
			}
			for _, ignored := range all {
				for _, u := range []*unstructured.Unstructured{want, live} {
					if ignored.Places == nil {
						continue
					}
					found, err := ignored.Places(u.Object)
					if err != nil {
						return nil, err
					}
					places = append(places, found...)
				}
			}
			return places, nil
		},
	}, nil
}

// ignored reads which fields others may set: by the options of the app, and by those
// of its release.
func ignored(t apply.Target) (difference.Differences, error) {
	all := t.Options.Differences
	for _, rule := range t.Options.IgnoreFields {
		d := app.Difference{Group: rule.Group, Kind: rule.Kind, Name: rule.Name}
		if rule.Kind == "*" {
			d.Group = "*"
		}
		for _, path := range rule.Paths {
			if strings.HasPrefix(path, "/") {
				d.Pointers = append(d.Pointers, path)
			} else {
				d.JQ = append(d.JQ, expression(path))
			}
		}
		all = append(all[:len(all):len(all)], d)
	}
	return difference.Read(all)
}

// expression returns a field's path in the language of jq.
func expression(path string) string {
	var out strings.Builder
	for rest := path; rest != ""; {
		switch {
		case strings.HasPrefix(rest, `["`):
			key, after, _ := strings.Cut(rest[2:], `"]`)
			fmt.Fprintf(&out, "[%q]?", key)
			rest = after
		case rest[0] == '[':
			inside, after, _ := strings.Cut(rest[1:], "]")
			key, value, named := strings.Cut(inside, "=")
			switch {
			case named:
				fmt.Fprintf(&out, "[]? | select(.[%q]? == %q) | .", key, value)
			case inside == "*":
				out.WriteString("[]?")
			default:
				fmt.Fprintf(&out, "[%s]?", inside)
			}
			rest = after
		default:
			rest = strings.TrimPrefix(rest, ".")
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end > 0 {
				fmt.Fprintf(&out, "[%q]?", rest[:end])
			}
			rest = rest[end:]
		}
	}
	return "." + out.String()
}

// Repair looks at some objects of an app, as apply.Client does.
func (a *Applier) Repair(ctx context.Context, t apply.Target, ids []object.ID) (apply.Result, error) {
	switch {
	case t.Bundle.Release == nil:
		return a.Client.Repair(ctx, t, ids)
	case t.Options.Suspend:
		return apply.Result{WaitsFor: "the app is suspended"}, nil
	}
	target, err := a.target(ctx, t, a.memory.begin(t))
	if err != nil {
		return apply.Result{}, err
	}
	checked, err := a.engine.Check(ctx, target, ids)
	result := apply.Result{Changes: checked.Changes}
	if checked.Foreign { // the next sync sees to it
		result.Changes = append(result.Changes, change.Entry{Object: ID(t.Bundle.Release), Action: change.Skipped, Reason: "its last revision is somebody else's"})
	}
	if checked.Outdated {
		result.Changes = append(result.Changes, change.Entry{Object: ID(t.Bundle.Release), Action: change.Skipped, Reason: "values on the cluster have changed"})
	}
	if err == nil {
		a.settle(ctx, t, checked.Live, &result)
	}
	return result, err
}

// Compare finds out what differs of an app, as apply.Client does. Of a release it tells
// of its objects, and not of what another revision would make of them.
func (a *Applier) Compare(ctx context.Context, t apply.Target) (apply.Result, error) {
	if t.Bundle.Release == nil {
		return a.Client.Compare(ctx, t)
	}
	target, err := a.target(ctx, t, a.memory.begin(t))
	if err != nil {
		return apply.Result{}, err
	}
	target.Release = reporting(target.Release)
	checked, err := a.engine.Check(ctx, target, nil)
	return apply.Result{Changes: checked.Changes}, err
}

// Diff returns what a sync would do, as apply.Client does. Of a release it tells what an
// upgrade that is due would change, or else as Compare.
func (a *Applier) Diff(ctx context.Context, t apply.Target) (change.Set, error) {
	if t.Bundle.Release == nil {
		return a.Client.Diff(ctx, t)
	}
	round := a.memory.begin(t)
	round.asking = true
	target, err := a.target(ctx, t, round)
	if err != nil {
		return nil, err
	}
	changes, due, err := a.engine.Preview(ctx, target)
	if due || err != nil {
		return changes, err
	}
	result, err := a.Compare(ctx, t)
	return result.Changes, err
}
