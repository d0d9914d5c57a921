package argocd

import (
	"fmt"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/dialect/manifest"
)

// helm reads the options of a chart.
func (r *reading) helm(h helmSource, at string, refs map[string]string, out *app.HelmOptions) {
	if h.ReleaseName != "" {
		out.ReleaseName = h.ReleaseName
	}
	out.ValueFiles = h.ValueFiles
	out.IgnoreMissingValueFiles = h.IgnoreMissingValueFiles
	out.SkipCRDs, out.SkipTests, out.SkipSchemaValidation = h.SkipCRDs, h.SkipTests, h.SkipSchemaValidation
	out.Namespace, out.KubeVersion, out.APIVersions = h.Namespace, h.KubeVersion, h.APIVersions
	for i, file := range h.ValueFiles {
		r.file(file, fmt.Sprintf("%s.valueFiles[%d]", at, i), refs)
	}
	switch {
	case len(h.ValuesObject) > 0:
		out.Values, _ = manifest.Numbers(h.ValuesObject).(map[string]any)
		if h.Values != "" {
			r.warn(at+".values", "valuesObject is there too, and only that counts")
		}
	case h.Values != "":
		if err := yaml.Unmarshal([]byte(h.Values), &out.Values); err != nil {
			r.refuse(at+".values", "", "this is no mapping in YAML%s", manifest.Reason(err))
		}
	}
	for i, p := range h.Parameters {
		if p.Name == "" {
			r.refuse(fmt.Sprintf("%s.parameters[%d].name", at, i), "", "a parameter needs a name")
		}
		out.Parameters = append(out.Parameters, app.Parameter{Name: p.Name, Value: p.Value, Text: p.ForceString})
	}
	for i, p := range h.FileParameters {
		r.file(p.Path, fmt.Sprintf("%s.fileParameters[%d].path", at, i), refs)
	}
	out.FileParameters = h.FileParameters
	switch h.Version {
	case "", "v3", "3":
	default:
		r.refuse(at+".version", "remove it", "charts are rendered as Helm 3 does, not as %q", h.Version)
	}
	if h.PassCredentials {
		r.warn(at+".passCredentials", "credentials are never sent to another host than that of their source")
	}
}

// file checks the path of a file that a chart is given.
func (r *reading) file(path, at string, refs map[string]string) {
	if strings.Contains(path, "://") {
		r.refuse(at, "put the file into a repository, and name that as another source with a ref", "files are not fetched from %q", path)
		return
	}
	name, ok := strings.CutPrefix(path, "$")
	if !ok {
		return
	}
	name, _, _ = strings.Cut(name, "/")
	if _, known := refs[name]; known || strings.HasPrefix(strings.Trim(name, "{}"), "ARGOCD_") {
		return
	}
	r.refuse(at, fmt.Sprintf("give the source that is meant a ref: %s", name), "no source has the ref %q", name)
}

// kustomize reads what is added to a kustomization.
func (r *reading) kustomize(k kustomizeSource, at string) *app.KustomizeOptions {
	out := &app.KustomizeOptions{
		NamePrefix: k.NamePrefix, NameSuffix: k.NameSuffix, Namespace: k.Namespace, Images: k.Images,
		CommonLabels: k.CommonLabels, ForceLabels: k.ForceCommonLabels,
		LabelWithoutSelector: k.LabelWithoutSelector, LabelIncludeTemplates: k.LabelIncludeTemplates,
		CommonAnnotations: k.CommonAnnotations, EnvironmentInAnnotations: k.CommonAnnotationsEnvsubst, ForceAnnotations: k.ForceCommonAnnotations,
		Patches: k.Patches, Components: k.Components, IgnoreMissingComponents: k.IgnoreMissingComponents,
	}
	for i, replica := range k.Replicas {
		field := fmt.Sprintf("%s.replicas[%d].count", at, i)
		var count int64
		var err error
		switch value := replica.Count.(type) {
		case int64:
			count = value
		case float64:
			if count = int64(value); float64(count) != value {
				err = fmt.Errorf("no whole number")
			}
		case string:
			count, err = strconv.ParseInt(value, 10, 32)
		default:
			err = fmt.Errorf("no number")
		}
		if err != nil || count < 0 {
			r.refuse(field, "", "want a number, have %s", manifest.Describe(replica.Count))
		}
		out.Replicas = append(out.Replicas, app.Replicas{Name: replica.Name, Count: count})
	}
	if k.Version != "" {
		r.warn(at+".version", "kustomizations are built by the Kustomize that Nave has in it, not by %q", k.Version)
	}
	if k.KubeVersion != "" {
		r.refuse(at+".kubeVersion", "remove it: the cluster's own is used", "it cannot be chosen for a kustomization")
	}
	if len(k.APIVersions) > 0 {
		r.refuse(at+".apiVersions", "remove them: the cluster's own are used", "they cannot be chosen for a kustomization")
	}
	return out
}

// directory reads how plain manifests are found.
func directory(d directorySource) *app.Directory {
	return &app.Directory{
		Recurse: d.Recurse, Include: d.Include, Exclude: d.Exclude,
		Jsonnet: app.Jsonnet{
			ExternalVariables: d.Jsonnet.ExtVars,
			TopLevelArguments: d.Jsonnet.TLAs,
			Libraries:         d.Jsonnet.Libs,
		},
	}
}
