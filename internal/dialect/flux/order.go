package flux

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/cel"
)

// order enters what each app waits for: what it says, and what those above it wait
// for, since its object is not there before its app is applied.
func (q *question) order() {
	own, all := map[string][]string{}, map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(q.wanted)) {
		if w := q.wanted[name]; w.malformed == nil {
			own[name] = q.waits(w)
		}
	}
	waits := map[string][]string{} // all, and by expressions that ask whether another is ready
	for name := range own {
		for _, of := range q.ancestry(name) {
			all[name] = append(all[name], own[of]...)
			if above := q.wanted[of]; above != nil {
				waits[name] = append(waits[name], asked(above.ready)...)
			}
		}
		waits[name] = append(waits[name], all[name]...)
	}
	for name := range own {
		if circle := circle(waits, name); circle != nil {
			q.wanted[name].malformed = fmt.Errorf("spec.dependsOn: it waits for itself: %s", strings.Join(circle, " > "))
		}
	}
	for name, w := range q.wanted {
		if w.malformed != nil {
			continue
		}
		o := &w.child.Options
		top := q.Narrowed(q.top(w))
		o.DependsOn = slices.Concat(top.DependsOn, all[name])
		slices.Sort(o.DependsOn)
		o.DependsOn = slices.Compact(o.DependsOn)
		o.After = top.After
		for above := q.wanted[w.App]; above != nil; above = q.wanted[above.App] {
			o.Ready = append(o.Ready, above.ready...)
		}
		o.Ready = append(o.Ready, w.ready...)
		if w.release != nil || w.options.ServiceAccount != q.allowed(w.App).ServiceAccount {
			// The namespace that it is in, or the account and its rights, may be among the
			// objects that come with it.
			o.After = append(slices.Clip(o.After), app.Precedence{App: w.App, Wave: app.AllWaves})
		}
	}
}

// asked returns the apps of which an expression asks whether they are ready. One that
// asks for less may be true before.
func asked(rules []app.Readiness) (apps []string) {
	for _, r := range rules {
		compiled, err := cel.Compile(r.Expression, "self", "dep") // which was read before
		if err == nil && slices.Contains(compiled.Fields("dep", "status"), "conditions") {
			apps = append(apps, r.App)
		}
	}
	return apps
}

// top returns the app, of the Delivery or of another dialect, that an app comes of.
func (q *question) top(w *wanted) string {
	for q.wanted[w.App] != nil {
		w = q.wanted[w.App]
	}
	return w.App
}

// waits returns the apps that one waits for by its own dependencies.
func (q *question) waits(w *wanted) (apps []string) {
	for i, d := range w.spec.DependsOn {
		field := fmt.Sprintf("spec.dependsOn[%d]", i)
		namespace := d.Namespace
		if namespace == "" {
			namespace = w.id.Namespace
		}
		name := q.key(appName(w.id.Kind, namespace, d.Name))
		other := q.wanted[name]
		refuse := func(format string, args ...any) {
			w.malformed = errors.Join(w.malformed, fmt.Errorf(field+": "+format, args...))
		}
		switch {
		case other == nil:
			refuse("there is no %s %s/%s among the objects of the Delivery", w.id.Kind, namespace, d.Name)
			continue
		case other.cluster != w.cluster && !q.selves[name]:
			refuse("%s %s/%s is on another cluster", w.id.Kind, namespace, d.Name)
			continue
		}
		if q.selves[name] {
			name = q.Delivery
		}
		if d.ReadyExpr == "" {
			apps = append(apps, q.ready(name)...)
			continue
		}
		if err := checkReady(d.ReadyExpr); err != nil {
			refuse("readyExpr: %w", err)
			continue
		}
		w.ready = append(w.ready, app.Readiness{App: name, Expression: d.ReadyExpr, Self: told(w), Dependency: told(other)})
	}
	slices.Sort(apps)
	return slices.Compact(apps)
}

// checkReady refuses an expression that asks for more than is known of an app.
func checkReady(expression string) error {
	compiled, err := cel.Compile(expression, "self", "dep")
	if err != nil {
		return err
	}
	for _, field := range compiled.Fields("dep", "status") {
		if field != "conditions" && field != "observedGeneration" {
			return fmt.Errorf("it asks for dep.status.%s, and of a status only conditions and observedGeneration are known", field)
		}
	}
	if fields := compiled.Fields("self", "status"); len(fields) > 0 {
		return fmt.Errorf("it asks for self.status.%s, which is not known", fields[0])
	}
	return nil
}

// told is an object as an expression sees it.
func told(w *wanted) map[string]any {
	out := map[string]any{}
	for _, field := range []string{"apiVersion", "kind", "metadata", "spec"} {
		if value, ok := w.Manifest.Object[field]; ok {
			out[field] = value
		}
	}
	return out
}

// ready returns the apps that are ready when one is, as Flux means it: with it those
// whose objects it waits for.
func (q *question) ready(name string) []string {
	apps := []string{name}
	w := q.wanted[name]
	if w == nil {
		return apps
	}
	for _, child := range q.children[name] {
		checked := func(c checked) bool {
			return c.Kind == child.id.Kind && c.Name == child.id.Name && (c.Namespace == child.id.Namespace || c.Namespace == "" && w.id.Namespace == child.id.Namespace)
		}
		if child.cluster == w.cluster && (w.spec.Wait || slices.ContainsFunc(w.spec.HealthChecks, checked)) {
			apps = append(apps, q.ready(child.name)...)
		}
	}
	return apps
}

// circle returns the apps by which one waits for itself, or nil.
func circle(waits map[string][]string, name string) []string {
	seen := map[string]bool{}
	var follow func(at string, way []string) []string
	follow = func(at string, way []string) []string {
		for _, next := range waits[at] {
			if next == name {
				return append(way, next)
			}
			if !seen[next] {
				seen[next] = true
				if found := follow(next, append(slices.Clip(way), next)); found != nil {
					return found
				}
			}
		}
		return nil
	}
	return follow(name, []string{name})
}
