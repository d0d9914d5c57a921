package flux

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/dialect/manifest"
)

// takeRelease reads a HelmRelease. What it has in common with a Kustomization is read
// as of one.
func (w *wanted) takeRelease() {
	var h helmRelease
	unknown, err := manifest.Decode(w.Manifest.Object, &h)
	w.malformed = err
	for _, field := range unknown {
		w.warnings = append(w.warnings, field+": Flux has no such field, and leaves it out")
	}
	w.release = &h.Spec
	w.spec = kustomizationSpec{
		DependsOn: h.Spec.DependsOn, KubeConfig: h.Spec.KubeConfig, Suspend: h.Spec.Suspend, ServiceAccountName: h.Spec.ServiceAccountName,
		HealthCheckExprs: h.Spec.HealthCheckExprs, Prune: true,
	}
}

// maxReleaseName is how long the name of a release may be.
const maxReleaseName = 53

// releaseName is the name that a release has in Helm.
func (r *reading) releaseName() string {
	name := r.id.Name
	if r.release.TargetNamespace != "" {
		name = r.release.TargetNamespace + "-" + name
	}
	name = cmp.Or(r.release.ReleaseName, name)
	if len(name) <= maxReleaseName {
		return name
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:12] // as Flux shortens it
	return name[:maxReleaseName-1-len(sum)] + "-" + sum
}

// releaseOrigin reads the chart of a release, and what is made of it.
func (r *reading) releaseOrigin() {
	from, err := r.chart()
	if err != nil {
		r.problems = append(r.problems, err)
		return
	}
	if from.suspend {
		r.note("spec.chart", "its source is suspended, and so is this")
		r.child.Options.Suspend = true
	}
	from.Render.Kind = app.Helm
	from.Render.Release = r.helmRelease()
	from.Render.Release.ReplaceDefaults = len(from.Render.Helm.ValueFiles) > 0
	from.Render.Helm.Values, _ = manifest.Numbers(r.release.Values).(map[string]any)
	r.child.Origins = []app.Origin{from.Origin}
}

// chart returns where the chart of a release is.
func (r *reading) chart() (files, error) {
	spec := r.release
	switch {
	case (spec.Chart == nil) == (spec.ChartRef == nil):
		return files{}, errors.New("spec: it needs a chart or a chartRef, and one of them")
	case spec.Chart != nil:
		from, err := r.chartOf(spec.Chart.Spec, r.id.Namespace)
		if err != nil {
			err = fmt.Errorf("spec.chart.spec.%w", err)
		}
		return from, err
	}
	from, err := r.referred(*spec.ChartRef)
	if err != nil {
		err = fmt.Errorf("spec.chartRef: %w", err)
	}
	return from, err
}

// referred returns where the chart is that a reference names.
func (r *reading) referred(ref reference) (files, error) {
	namespace := cmp.Or(ref.Namespace, r.id.Namespace)
	switch ref.Kind {
	case "OCIRepository":
		return r.inRegistry(sourceID(ref, r.id.Namespace), true)
	case "HelmChart":
		s, err := r.chartSource(sourceID(ref, namespace))
		if err != nil {
			return files{}, err
		}
		from, err := r.chartOf(helmChartSpec{
			Chart: s.Chart, Version: s.Version, SourceRef: s.SourceRef, ValuesFiles: s.ValuesFiles, IgnoreMissingValuesFiles: s.IgnoreMissingValuesFiles, Verify: s.Verify,
		}, namespace)
		from.suspend = from.suspend || s.Suspend
		return from, err
	case "ExternalArtifact":
		from, err := r.filesOf(ref, r.id.Namespace)
		from.Path = "."
		return from, err
	}
	return files{}, fmt.Errorf("kind %q has no chart\nhint: OCIRepository, HelmChart or ExternalArtifact", ref.Kind)
}

// chartOf returns where a chart is by its name or path in a source.
func (r *reading) chartOf(c helmChartSpec, namespace string) (files, error) {
	signed, err := c.Verify.cosigned()
	if err != nil {
		return files{}, fmt.Errorf("verify.%w", err)
	}
	var from files
	switch c.SourceRef.Kind {
	case "HelmRepository":
		s, err := r.chartSource(sourceID(c.SourceRef, namespace))
		if err != nil {
			return files{}, fmt.Errorf("sourceRef: %w", err)
		}
		from = files{Origin: app.Origin{Repository: s.URL, Chart: c.Chart, Revision: cmp.Or(c.Version, "*"), Signed: signed}, suspend: s.Suspend}
		from.Render.Helm.ValueFiles = c.ValuesFiles
	case "GitRepository", "ExternalArtifact":
		if signed {
			return files{}, fmt.Errorf("verify: charts of a %s are not signed by themselves\nhint: verify the %s", c.SourceRef.Kind, c.SourceRef.Kind)
		}
		if from, err = r.filesOf(c.SourceRef, namespace); err != nil {
			return files{}, fmt.Errorf("sourceRef: %w", err)
		}
		if leads(strings.TrimPrefix(c.Chart, "/")) {
			return files{}, fmt.Errorf("chart: %q leads out of the source", c.Chart)
		}
		from.Path = cmp.Or(strings.TrimPrefix(path.Clean("/"+c.Chart), "/"), ".")
		for _, file := range c.ValuesFiles { // which count from the top of the source
			from.Render.Helm.ValueFiles = append(from.Render.Helm.ValueFiles, "/"+strings.TrimPrefix(path.Clean(file), "/"))
		}
	default:
		return files{}, fmt.Errorf("sourceRef: kind %q has no charts that are read\nhint: HelmRepository or GitRepository", c.SourceRef.Kind)
	}
	from.Render.Helm.IgnoreMissingValueFiles = c.IgnoreMissingValuesFiles
	if c.Chart == "" {
		return files{}, errors.New("chart: it names none")
	}
	return from, nil
}

// helmRelease reads how the release is brought about.
func (r *reading) helmRelease() *app.Release {
	spec := r.release
	out := &app.Release{
		Name: r.releaseName(), Namespace: cmp.Or(spec.TargetNamespace, r.id.Namespace), Storage: cmp.Or(spec.StorageNamespace, r.id.Namespace),
		Timeout: r.duration("spec.timeout", spec.Timeout), Reinstall: spec.Upgrade.ChartNameChangeStrategy != "InPlaceUpdate",
		KeepHooks: spec.PostRenderStrategy == "nohooks",
	}
	if spec.PostRenderStrategy == "separate" {
		r.refuse("spec.postRenderStrategy", "combined or nohooks", "%q is not done", spec.PostRenderStrategy)
	}
	if m := spec.CommonMetadata; m != nil {
		out.CommonMetadata = app.Metadata{Labels: m.Labels, Annotations: m.Annotations}
	}
	if n := spec.MaxHistory; n != nil {
		if out.History = int(min(*n, 1<<20)); out.History <= 0 {
			out.History = -1
		}
	}
	out.Install, out.Upgrade = r.action("install", spec.Install), r.action("upgrade", spec.Upgrade)
	out.Rollback, out.Uninstall = r.action("rollback", spec.Rollback), r.action("uninstall", spec.Uninstall)
	out.Install.CRDs, out.Upgrade.CRDs = r.crds("install", spec.Install, app.CRDsCreate), r.crds("upgrade", spec.Upgrade, app.CRDsSkip)
	if last := spec.Upgrade.Remediation.RemediateLastFailure; last == nil {
		out.Upgrade.Remediation.Last = spec.Upgrade.Remediation.Retries > 0
	}
	out.Upgrade.Remediation.Uninstall = spec.Upgrade.Remediation.Strategy == "uninstall"
	r.tests(out)
	r.drift(out)
	for i, v := range spec.ValuesFrom {
		if v.Kind != "ConfigMap" && v.Kind != "Secret" {
			r.refuse(fmt.Sprintf("spec.valuesFrom[%d].kind", i), "ConfigMap or Secret", "%q has no values", v.Kind)
		}
		out.ValuesFrom = append(out.ValuesFrom, app.ValuesFrom{
			Kind: v.Kind, Namespace: r.id.Namespace, Name: v.Name, Key: v.ValuesKey, Target: v.TargetPath, Literal: v.Literal, Optional: v.Optional,
		})
	}
	for i, p := range spec.PostRenderers {
		if p.Kustomize == nil {
			continue
		}
		if len(p.Kustomize.PatchesStrategicMerge)+len(p.Kustomize.PatchesJSON6902) > 0 {
			r.refuse(fmt.Sprintf("spec.postRenderers[%d].kustomize", i), "use patches", "patches of former versions are not read")
		}
		added := app.PostRenderer{}
		for _, q := range p.Kustomize.Patches {
			added.Patches = append(added.Patches, q.read())
		}
		for _, image := range p.Kustomize.Images {
			added.Images = append(added.Images, image.text())
		}
		out.PostRenderers = append(out.PostRenderers, added)
	}
	return out
}

// action reads one of the actions.
func (r *reading) action(name string, a action) app.ReleaseAction {
	field := "spec." + name
	out := app.ReleaseAction{
		Timeout: r.duration(field+".timeout", a.Timeout), NoWait: a.DisableWait, NoJobs: a.DisableWaitForJobs || a.DisableWait, NoHooks: a.DisableHooks,
		NoOpenAPI: a.DisableOpenAPIValidation, NoSchema: a.DisableSchemaValidation, Replace: a.Replace || a.Force, Adopt: !a.DisableTakeOwnership,
		CreateNamespace: a.CreateNamespace, CleanUp: a.CleanupOnFail, ReuseValues: a.PreserveValues, KeepHistory: a.KeepHistory,
		Propagation: a.DeletionPropagation, LegacyWait: r.release.WaitStrategy != nil && r.release.WaitStrategy.Name == "legacy",
	}
	switch a.ServerSideApply {
	case nil, "auto", "":
	case true, "enabled":
		out.Apply = app.ApplyServer
	case false, "disabled":
		out.Apply = app.ApplyClient
	default:
		r.refuse(field+".serverSideApply", "enabled, disabled or auto; of install true or false", "%v is not known", a.ServerSideApply)
	}
	if a.Recreate {
		r.note(field+".recreate", "it does nothing, in Flux as well as here")
	}
	m := a.Remediation
	out.Remediation = app.Remediation{Retries: int(min(max(m.Retries, -1), 1<<20)), PassTests: r.release.Test.IgnoreFailures}
	if m.IgnoreTestFailures != nil {
		out.Remediation.PassTests = *m.IgnoreTestFailures
	}
	if m.RemediateLastFailure != nil {
		out.Remediation.Last = *m.RemediateLastFailure
	}
	if s := a.Strategy; s != nil {
		switch s.Name {
		case "RetryOnFailure":
			out.Remediation.Again = cmp.Or(r.duration(field+".strategy.retryInterval", s.RetryInterval), 5*time.Minute)
		case "RemediateOnFailure":
		default:
			r.refuse(field+".strategy.name", "RemediateOnFailure or RetryOnFailure", "%q is not known", s.Name)
		}
	}
	return out
}

// crds reads what becomes of a chart's definitions.
func (r *reading) crds(name string, a action, usual app.CRDPolicy) app.CRDPolicy {
	if a.SkipCRDs {
		return app.CRDsSkip
	}
	switch a.CRDs {
	case "":
		return usual
	case "Skip":
		return app.CRDsSkip
	case "Create":
		return app.CRDsCreate
	case "CreateReplace":
		return app.CRDsReplace
	}
	r.refuse("spec."+name+".crds", "Skip, Create or CreateReplace", "%q is no policy", a.CRDs)
	return usual
}

// tests reads which tests run.
func (r *reading) tests(out *app.Release) {
	t := r.release.Test
	out.Tests = app.ReleaseTests{Run: t.Enable, Timeout: r.duration("spec.test.timeout", t.Timeout)}
	for _, filter := range t.Filters {
		if filter.Exclude {
			out.Tests.Except = append(out.Tests.Except, filter.Name)
		} else {
			out.Tests.Only = append(out.Tests.Only, filter.Name)
		}
	}
}

// drift reads what is done about changes by others. Who reports drift of the Delivery
// does not correct it here.
func (r *reading) drift(out *app.Release) {
	d := r.release.DriftDetection
	if d == nil {
		return
	}
	switch {
	case d.Mode == "enabled" && r.options.CorrectDrift:
		out.Drift = app.DriftCorrected
	case d.Mode == "enabled" || d.Mode == "warn":
		out.Drift = app.DriftReported
	case d.Mode != "" && d.Mode != "disabled":
		r.refuse("spec.driftDetection.mode", "enabled, warn or disabled", "%q is not known", d.Mode)
	}
	for i, rule := range d.Ignore {
		for j, pointer := range rule.Paths {
			if pointer != "" && !strings.HasPrefix(pointer, "/") {
				r.refuse(fmt.Sprintf("spec.driftDetection.ignore[%d].paths[%d]", i, j), "it begins with a slash, such as /spec/replicas", "%q is no JSON pointer", pointer)
			}
		}
		added := app.DriftRule{Pointers: slices.Clone(rule.Paths)}
		if rule.Target != nil {
			added.Target = rule.Target.read()
		}
		out.DriftIgnore = append(out.DriftIgnore, added)
	}
}
