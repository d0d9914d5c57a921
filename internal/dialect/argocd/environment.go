package argocd

import (
	"maps"
	"os"
	"slices"
	"strings"

	"nave.dev/internal/app"
)

// Fill returns the origin's Render with the build environment's variables filled
// in, as Argo CD does: in the parameters and the paths of files of a chart, in
// what Jsonnet is given, and in images, common labels and, where it is asked for,
// common annotations of a kustomization. The commit, or a chart's version, is what
// the origin's revision resolved to.
func Fill(origin app.Origin, commit string) app.Render {
	r := origin.Render
	if origin.Environment == nil {
		return r
	}
	variables := maps.Clone(origin.Environment)
	variables["ARGOCD_APP_REVISION"] = commit
	variables["ARGOCD_APP_REVISION_SHORT"] = commit[:min(len(commit), 7)]
	variables["ARGOCD_APP_REVISION_SHORT_8"] = commit[:min(len(commit), 8)]
	return eachText(r, func(text string) string { return expand(text, variables) })
}

// expand replaces $NAME and ${NAME}; $$ is a plain $, and a name that nobody knows
// is nothing. A path that begins with the name of another source keeps it.
func expand(text string, variables map[string]string) string {
	return os.Expand(text, func(name string) string {
		if name == "$" {
			return "$"
		}
		return variables[name]
	})
}

// names reports whether some text of a render in which variables count has any.
func namesVariables(r app.Render) bool {
	found := false
	eachText(r, func(text string) string {
		found = found || strings.Contains(text, "$")
		return text
	})
	return found
}

// eachText returns a render with fill applied to the texts in which variables count.
func eachText(r app.Render, fill func(string) string) app.Render {
	file := func(path string) string {
		name, rest, _ := strings.Cut(path, "/")
		if _, ref := r.Refs[strings.TrimPrefix(name, "$")]; ref && strings.HasPrefix(name, "$") {
			return name + "/" + fill(rest)
		}
		return fill(path)
	}
	r.Helm.ValueFiles = slices.Clone(r.Helm.ValueFiles)
	for i := range r.Helm.ValueFiles {
		r.Helm.ValueFiles[i] = file(r.Helm.ValueFiles[i])
	}
	r.Helm.Parameters = slices.Clone(r.Helm.Parameters)
	for i := range r.Helm.Parameters {
		r.Helm.Parameters[i].Value = fill(r.Helm.Parameters[i].Value)
	}
	r.Helm.FileParameters = slices.Clone(r.Helm.FileParameters)
	for i := range r.Helm.FileParameters {
		r.Helm.FileParameters[i].Path = file(r.Helm.FileParameters[i].Path)
	}
	if r.Directory != nil {
		d := *r.Directory
		variables := func(list []app.JsonnetVariable) []app.JsonnetVariable {
			list = slices.Clone(list)
			for i := range list {
				list[i].Value = fill(list[i].Value)
			}
			return list
		}
		d.Jsonnet.ExternalVariables = variables(d.Jsonnet.ExternalVariables)
		d.Jsonnet.TopLevelArguments = variables(d.Jsonnet.TopLevelArguments)
		r.Directory = &d
	}
	if r.Kustomize != nil {
		k := *r.Kustomize
		entries := func(in map[string]string) map[string]string {
			if in == nil {
				return nil
			}
			out := make(map[string]string, len(in))
			for key, value := range in {
				out[key] = fill(value)
			}
			return out
		}
		k.Images = slices.Clone(k.Images)
		for i := range k.Images {
			k.Images[i] = fill(k.Images[i])
		}
		k.CommonLabels = entries(k.CommonLabels)
		if k.EnvironmentInAnnotations {
			k.CommonAnnotations = entries(k.CommonAnnotations)
			k.EnvironmentInAnnotations = false
		}
		r.Kustomize = &k
	}
	return r
}
