// Package build turns an app's files into its bundle: objects, or a release of a chart. The main function is Run, which
// is pure: its result depends on nothing but the tree and the Job. It composes the three ways to render with what they
// have in common: substitution, hooks, namespaces, validation. It has no cache, no deadline and no process of its own.
package build

import (
	"encoding/json"
	"fmt"
	"path"
	"runtime/debug"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/render/chart"
	"nave.dev/internal/render/directory"
	"nave.dev/internal/render/kustomization"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Job is one app to render.
type Job struct {
	Path   string     `json:"path"` // of the app in the tree, "." for its root
	Params app.Render `json:"params"`
	Facts  app.Facts  `json:"facts"`
	// MaxObjects and MaxBytes bound the result; 0 means no bound.
	MaxObjects int   `json:"maxObjects,omitempty"`
	MaxBytes   int64 `json:"maxBytes,omitempty"`
	// Templates, or PostRender, are the one thing that is to be done, for a release.
	Templates  *app.Templates `json:"templates,omitempty"`
	PostRender *PostRender    `json:"postRender,omitempty"`
}

// PostRender is what a release's chart rendered to, as YAML, to be changed by its
// post-renderers.
type PostRender struct {
	Release   *app.Release `json:"release"`
	Manifests []byte       `json:"manifests"`
}

// Cluster is the ability of a tree to look up objects for templates of a release.
type Cluster interface {
	// Lookup is an app.Lookup.
	Lookup(apiVersion, kind, namespace, name string) (map[string]any, error)
}

// Output is what came of a Job.
type Output struct {
	Objects  []json.RawMessage `json:"objects"`
	Hooks    []json.RawMessage `json:"hooks,omitempty"`
	Warnings []string          `json:"warnings,omitempty"`
	// Encrypted are the files that encrypted objects came from.
	Encrypted []app.EncryptedFile `json:"encrypted,omitempty"`
	// Release and its Chart are what a job that asks for a release gives, and nothing else.
	Release *app.Release `json:"release,omitempty"`
	Chart   *app.Chart   `json:"chart,omitempty"`
	// Templates is what a job with Templates gives, by the name of each file, and Manifests
	// what one with PostRender does.
	Templates map[string]string `json:"templates,omitempty"`
	Manifests []byte            `json:"manifests,omitempty"`
}

// Fact is something about a cluster that a render looked at, with the value that it saw.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Run renders a job. It also returns the facts of the cluster on which the outcome depends, be it an output or an
// error. An error about the app's files is a manifest.Problem or manifest.Problems. What Run panics with (the libraries
// below it do, on input that they did not expect) is an error as well.
func Run(t tree.Tree, job Job) (out *Output, facts []Fact, err error) {
	f := &finisher{job: job, out: &Output{Objects: []json.RawMessage{}}, macs: map[string]manifest.Object{}}
	defer func() {
		if reason := recover(); reason != nil {
			out, facts = nil, f.facts
			err = manifest.Problem{File: job.Path, Message: fmt.Sprintf("rendering panics: %v", reason), Hint: crashSite(debug.Stack())}
		}
	}()
	switch {
	case job.Templates != nil:
		out, err := job.templates(t)
		return out, nil, err
	case job.PostRender != nil:
		manifests, err := postRender(job.PostRender.Release, job.PostRender.Manifests)
		return &Output{Manifests: manifests}, nil, err
	}
	files := &encryptedFiles{Tree: t, found: map[string][]byte{}}
	if err := f.refuseOverrides(files); err != nil {
		return nil, f.facts, err
	}
	if job.Params.Release != nil {
		return f.pack(files)
	}
	objects, err := f.render(files)
	if err == nil {
		err = f.finish(objects)
	}
	if err != nil {
		return nil, f.facts, err
	}
	f.carry(files)
	return f.out, f.facts, nil
}

// refuseOverrides refuses a directory of an Application in which files change the
// Application's options: to render without them would be something else.
func (f *finisher) refuseOverrides(t tree.Tree) error {
	if f.job.Params.Directory == nil {
		return nil
	}
	entries, err := t.List(f.job.Path)
	if err != nil {
		return nil // rendering says what is wrong with it
	}
	for _, entry := range entries {
		if entry.Name == ".argocd-source.yaml" || strings.HasPrefix(entry.Name, ".argocd-source-") {
			return manifest.Problem{File: path.Join(f.job.Path, entry.Name), Message: "changes the options of an Application beside it, which is not supported",
				Hint: "write the options into the Application, and remove the file"}
		}
	}
	return nil
}

// crashSite names the function that panicked.
func crashSite(stack []byte) string {
	_, after, _ := strings.Cut(string(stack), "panic(")
	lines := strings.Split(after, "\n")
	for _, line := range lines[min(2, len(lines)):] {
		if name, _, ok := strings.Cut(line, "("); ok && !strings.HasPrefix(line, "\t") && !strings.HasPrefix(name, "runtime") {
			return "in " + name
		}
	}
	return ""
}

// render runs the way to render that the job asks for, or that its files call for.
func (f *finisher) render(t tree.Tree) ([]manifest.Object, error) {
	job := f.job
	kind, err := KindOf(t, job)
	if err != nil {
		return nil, err
	}
	if job.Params.Kustomize != nil && kind != app.Kustomize && kind != app.Flux {
		return nil, manifest.Problem{File: job.Path, Message: fmt.Sprintf("is rendered as %s, and has options for Kustomize", kind),
			Hint: "leave them out, or add a kustomization.yaml"}
	}
	limits := manifest.Limits{Objects: job.MaxObjects, Bytes: job.MaxBytes}
	switch kind {
	case app.Plain:
		read, err := directory.Read(t, directory.Input{Dir: job.Path, Options: job.Params.Directory, Variables: job.Params.Variables, Limits: limits})
		f.out.Warnings = append(f.out.Warnings, read.Warnings...)
		return read.Objects, err
	case app.Kustomize:
		if job.Params.Kustomize == nil {
			return kustomization.Build(t, job.Path)
		}
		objects, warnings, err := kustomization.Edited(t, job.Path, job.Params.Kustomize)
		f.out.Warnings = append(f.out.Warnings, warnings...)
		return objects, err
	case app.Flux:
		objects, warnings, err := kustomization.AsFlux(t, job.Path, job.Params.Kustomize, job.Params.Ignore, limits)
		f.out.Warnings = append(f.out.Warnings, warnings...)
		return objects, err
	case app.Helm:
		rendered, err := chart.Render(t, chart.Input{
			Dir: job.Path, Options: job.Params.Helm, Namespace: job.Params.Namespace, Facts: job.Facts, Limits: limits,
			Refs: job.Params.Refs, CreateOnly: job.Params.CreateOnly,
		})
		if rendered.Version {
			f.look(FactVersion)
		}
		if rendered.APIs {
			f.look(FactAPIs)
		}
		f.out.Warnings = append(f.out.Warnings, rendered.Warnings...)
		return rendered.Objects, err
	}
	return nil, fmt.Errorf("rendering %q: there is no kind %q", job.Path, kind)
}

// KindOf decides how to render a job, and that there is something to render.
func KindOf(t tree.Tree, job Job) (app.Kind, error) {
	at, err := t.Stat(job.Path)
	if err != nil {
		return "", fmt.Errorf("looking for %q: %w", job.Path, err)
	}
	switch at {
	case tree.Absent:
		return "", manifest.Problem{File: job.Path, Message: "is not in the repository", Hint: "an app whose path is missing is kept as it was last accepted; to remove it, remove its Delivery"}
	case tree.File:
		return "", manifest.Problem{File: job.Path, Message: "is a file", Hint: "name its directory"}
	}
	if job.Params.Kind != app.Auto {
		return job.Params.Kind, nil
	}
	chartFile, err := t.Stat(path.Join(job.Path, "Chart.yaml"))
	if err != nil {
		return "", fmt.Errorf("looking for a chart in %q: %w", job.Path, err)
	}
	// Where there is both, Nave takes the chart and Argo CD the kustomization.
	if chartFile == tree.File && job.Params.Directory == nil {
		return app.Helm, nil
	}
	is, err := kustomization.Is(t, job.Path)
	switch {
	case err != nil:
		return "", fmt.Errorf("looking for a kustomization in %q: %w", job.Path, err)
	case is:
		return app.Kustomize, nil
	case chartFile == tree.File:
		return app.Helm, nil
	}
	return app.Plain, nil
}
