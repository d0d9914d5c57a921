package render

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

// recorded is what Argo CD makes of a directory of its own test data, and what is made of it here.
type recorded struct {
	path   string
	params app.Render
	// objects is how many are rendered, if refused is empty; that is part of the refusal otherwise.
	objects int
	refused string
	// verdict is "same", "different" or "unsupported"; why says what Argo CD does where it is not the same.
	verdict, why string
	// source of what Argo CD does: a test of it, its documentation, or a reading of the code that it runs.
	source string
}

const (
	same, different, unsupported = "same", "different", "unsupported"

	noName       = "has no metadata.name"
	fetchesChart = "Argo CD downloads the dependency while it renders; here it has to be in charts/"
	nameless     = "Argo CD hands the object on, and the API server refuses it"
	overrides    = "Argo CD merges .argocd-source files into the Application"
)

// asDirectory are the options of a source of type directory; so have most tests.
func asDirectory(recurse bool) app.Render {
	return app.Render{Directory: &app.Directory{Recurse: recurse}}
}

func filtered(include, exclude string) app.Render {
	return app.Render{Directory: &app.Directory{Recurse: true, Include: include, Exclude: exclude}}
}

func withJsonnet(libraries ...string) app.Render {
	return app.Render{Directory: &app.Directory{Jsonnet: app.Jsonnet{
		ExternalVariables: []app.JsonnetVariable{{Name: "extVarString", Value: "extVarString"}, {Name: "extVarCode", Value: `"extVarCode"`, Code: true}},
		TopLevelArguments: []app.JsonnetVariable{{Name: "tlaString", Value: "tlaString"}, {Name: "tlaCode", Value: `"tlaCode"`, Code: true}},
		Libraries:         libraries,
	}}}
}

func withHelm(options app.HelmOptions) app.Render {
	return app.Render{Directory: &app.Directory{}, Helm: options}
}

var ofArgoCD = []recorded{
	{path: "Kustomization", params: asDirectory(false), refused: "is empty", verdict: same, source: "TestIdentifyAppSourceTypeByAppDirWithKustomizations has the type; Kustomize refuses it"},
	{path: "kustomization_yaml", params: asDirectory(false), refused: "is empty", verdict: same, source: "TestIdentifyAppSourceTypeByAppDirWithKustomizations"},
	{path: "kustomization_yml", params: asDirectory(false), refused: "is empty", verdict: same, source: "TestIdentifyAppSourceTypeByAppDirWithKustomizations"},
	{path: "invalid-kustomize", params: asDirectory(false), refused: "is empty", verdict: same, source: "TestListApps has the type; Kustomize refuses it"},

	{path: "app-include-exclude", params: filtered("subdir/deploymentSub.yaml", ""), objects: 1, verdict: same, source: "TestFindResources, include one match"},
	{path: "app-include-exclude", params: filtered("*.yaml", ""), objects: 2, verdict: same, source: "TestFindResources, include everything"},
	{path: "app-include-exclude", params: filtered("**/*.yaml", ""), objects: 1, verdict: same, source: "TestFindResources, include subdirectory"},
	{path: "app-include-exclude", params: filtered("nothing.yaml", ""), objects: 0, verdict: same, source: "TestFindResources, include no matches"},
	{path: "app-include-exclude", params: filtered("", "subdir/deploymentSub.yaml"), objects: 1, verdict: same, source: "TestFindResources, exclude one match"},
	{path: "app-include-exclude", params: filtered("", "*.yaml"), objects: 0, verdict: same, source: "TestFindResources, exclude everything"},
	{path: "app-include-exclude", params: filtered("", "nothing.yaml"), objects: 2, verdict: same, source: "TestFindManifests_Exclude_NothingMatches"},

	{path: "app-parameters/multi", params: asDirectory(false), refused: "changes the options of an Application", verdict: unsupported, why: overrides, source: "TestGetAppDetailsWithAppParameterFile"},
	{path: "app-parameters/single-app-only", params: asDirectory(false), refused: "changes the options of an Application", verdict: unsupported, why: overrides, source: "TestGetAppDetailsWithAppParameterFile"},
	{path: "app-parameters/single-global", params: asDirectory(false), refused: "changes the options of an Application", verdict: unsupported, why: overrides, source: "TestGetAppDetailsWithAppParameterFile"},
	{path: "app-parameters/single-global-helm", params: asDirectory(false), refused: "changes the options of an Application", verdict: unsupported, why: overrides, source: "TestGetAppDetailsWithAppParameterFile"},

	{path: "broken-schema-verification", params: asDirectory(false), refused: "is no schema", verdict: same, source: "Test_SkipSchemaValidation, without it"},
	{path: "broken-schema-verification", params: withHelm(app.HelmOptions{SkipSchemaValidation: true}), objects: 1, verdict: same, source: "Test_SkipSchemaValidation"},
	{path: "circular-link", params: asDirectory(true), objects: 0, verdict: same, source: "Test_findManifests; the links are not in the module, see TestLinksOfArgoCD"},
	{path: "concatenated", params: asDirectory(false), objects: 3, verdict: same, source: "TestGenerateYamlManifestInDir"},
	{path: "empty-list", params: asDirectory(false), objects: 1, verdict: same, source: "TestGenerateNullList, empty list"},
	{path: "null-list", params: asDirectory(false), objects: 1, verdict: same, source: "TestGenerateNullList, null list"},
	{path: "weird-list", params: asDirectory(false), refused: noName, verdict: different, why: nameless, source: "TestGenerateNullList, weird list: 2"},
	{path: "git-files-dirs", params: asDirectory(true), objects: 0, verdict: same, source: "code: YAML that is no manifest is passed over"},
	{path: "helm-with-dependencies", params: asDirectory(false), refused: "is not in charts/", verdict: unsupported, why: fetchesChart, source: "TestGetHelmRepo_NamedRepos"},
	{path: "helm-with-dependencies-alias", params: asDirectory(false), refused: "is not in charts/", verdict: unsupported, why: fetchesChart, source: "TestGetHelmRepo_NamedReposAlias"},
	{path: "oci-dependencies", params: asDirectory(false), refused: "is not in charts/", verdict: unsupported, why: fetchesChart, source: "TestGetHelmRepos_OCIDependenciesWithRepo"},
	{path: "helm-with-local-dependency", params: asDirectory(false), objects: 1, verdict: same, source: "Test_GenerateManifests_Commands, helm with dependencies"},
	{path: "in-bounds-link", params: asDirectory(false), refused: noName, verdict: different, why: nameless, source: "Test_findManifests: 1"},
	{path: "in-bounds-values-file-link", params: asDirectory(false), objects: 0, verdict: same, source: "TestListApps has the type; the chart has no templates"},
	{path: "out-of-bounds-values-file-link", params: asDirectory(false), objects: 0, verdict: same, source: "TestListApps has the type; the chart has no templates"},
	{path: "invalid-helm", params: asDirectory(false), refused: "chart.metadata.name is required", verdict: same, source: "TestManifestGenErrorCacheByNumRequests"},
	{path: "invalid-json", params: asDirectory(false), refused: "is not valid JSON", verdict: same, source: "Test_findManifests, invalid JSON"},
	{path: "invalid-manifests", params: asDirectory(true), refused: "is not valid YAML", verdict: same, source: "TestInvalidManifestsInDir"},
	{path: "invalid-manifests-skipped", params: asDirectory(true), objects: 0, verdict: same, source: "TestSkippedInvalidManifestsInDir"},
	{path: "invalid-metadata", params: asDirectory(true), refused: "which is no text", verdict: same, source: "TestInvalidMetadata"},
	{path: "irrelevant-yaml", params: asDirectory(false), refused: "relevant.yaml:1: ConfigMap: " + noName, verdict: different, why: nameless, source: "Test_findManifests, irrelevant YAML: 1"},
	{path: "json-list", params: asDirectory(false), refused: noName, verdict: different, why: "Argo CD refuses several objects in one JSON file; here they are read, and these have no names", source: "Test_findManifests, multiple JSON objects"},
	{path: "jsonnet", params: withJsonnet("jsonnet/vendor"), objects: 2, verdict: same, source: "TestGenerateJsonnetManifestInDir"},
	{path: "jsonnet", params: withJsonnet("../../../testdata/jsonnet/vendor"), refused: "outside of the repository", verdict: same, source: "TestGenerateJsonnetLibOutside"},
	{path: "jsonnet-1", params: withJsonnet("."), objects: 2, verdict: same, source: "TestGenerateJsonnetManifestInRootDir"},
	{path: "jsonnet-and-json", params: asDirectory(false), refused: noName, verdict: different, why: nameless, source: "Test_findManifests, jsonnet isn't counted against size limit: 2"},
	{path: "jsonnet-import-abs-outside", params: asDirectory(false), refused: "absolute path", verdict: same, source: "TestGenerateJsonnetImportAbsoluteOutsideRepoRoot"},
	{path: "jsonnet-import-device-outside", params: asDirectory(false), refused: "absolute path", verdict: same, source: "TestGenerateJsonnetImportDeviceFileOutsideRepoRoot"},
	{path: "jsonnet-import-traversal-outside", params: asDirectory(false), refused: "outside of the repository", verdict: same, source: "TestGenerateJsonnetImportTraversalOutsideRepoRoot"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"my-chart-values.yaml"}}), objects: 1, verdict: same, source: "TestHelmManifestFromChartRepoWithValueFile"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"../../../values.yaml"}}), refused: "outside of the repository", verdict: same, source: "TestGenerateHelmWithValuesDirectoryTraversalOutsideRepo"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"file://../../../../../values.yaml"}}), refused: "is a URL", verdict: same, source: "TestGenerateHelmWithValuesDirectoryTraversalOutsideRepo, remote protocol"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"https://example.com/v.yaml"}}), refused: "is a URL", verdict: unsupported, why: "Argo CD fetches value files while it renders", source: "TestGenerateHelmWithURL"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"does-not-exist.yaml"}}), refused: "there is no values file", verdict: same, source: "TestHelmWithMissingValueFiles"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"does-not-exist.yaml"}, IgnoreMissingValueFiles: true}), objects: 1, verdict: same, source: "TestHelmWithMissingValueFiles"},
	{path: "my-chart", params: withHelm(app.HelmOptions{ValueFiles: []string{"$ref/testdata/my-chart-values.yaml"}}), refused: "no source has the ref", verdict: same, source: "TestHelmChartReferencingExternalValues_InvalidRefs"},
	{path: "my-chart-2", params: withHelm(app.HelmOptions{ValueFiles: []string{"my-chart-2-values.yaml"}}), objects: 1, verdict: same, source: "TestListApps has the type; its values are those of TestHelmManifestFromChartRepoWithValueFileOutsideRepo"},
	{path: "nil-metadata-accessors", params: asDirectory(true), objects: 1, verdict: same, source: "TestNilMetadataAccessors"},
	{path: "non-manifest-file", params: asDirectory(false), objects: 0, verdict: same, source: "Test_findManifests, non-JSON/YAML is skipped"},
	{path: "partially-valid-yaml", params: asDirectory(false), refused: "has no apiVersion", verdict: same, source: "Test_findManifests, partially valid YAML file throws an error"},
	{path: "recurse", params: asDirectory(true), refused: noName, verdict: different, why: nameless, source: "TestRecurseManifestsInDir: 2"},
	{path: "several-files", params: asDirectory(false), refused: noName, verdict: different, why: nameless, source: "Test_findManifests: 10"},
	{path: "simple-chart", params: asDirectory(false), objects: 1, verdict: same, source: "TestListApps has the type"},
	{path: "utf-16", params: asDirectory(false), objects: 2, verdict: same, source: "TestGenerateFromUTF16"},
	{path: "valid-json", params: asDirectory(false), refused: noName, verdict: different, why: nameless, source: "Test_findManifests, valid JSON: 1"},
	{path: "values-files", params: asDirectory(false), objects: 0, verdict: same, source: "TestListApps has the type; the chart has no templates"},
	{path: "yaml-with-empty-document", params: asDirectory(false), refused: noName, verdict: different, why: nameless, source: "Test_findManifests, empty document: 1"},
}

// repositoryOfArgoCD reads the test data of Argo CD's repository server, and adds what a module archive leaves out.
func repositoryOfArgoCD(t *testing.T) fstest.MapFS {
	t.Helper()
	listed, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3").Output()
	dir := filepath.Join(strings.TrimSpace(string(listed)), "reposerver/repository/testdata")
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		t.Skipf("Argo CD's module is not in the module cache; run go mod download github.com/argoproj/argo-cd/v3: %v", err)
	}
	files := fstest.MapFS{}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const service = "{ new(params):: { apiVersion: 'v1', kind: 'Service', metadata: { name: params.name } } }"
	for _, dir := range []string{"jsonnet", "jsonnet-1"} {
		files[dir+"/vendor/nested/service.libsonnet"] = &fstest.MapFile{Data: []byte(service)}
	}
	return files
}

// TestDirectoriesOfArgoCD renders all test data of Argo CD's repository server.
func TestDirectoriesOfArgoCD(t *testing.T) {
	files := repositoryOfArgoCD(t)
	r := New(Options{})
	counts, seen := map[string]int{}, map[string]bool{}
	for _, want := range ofArgoCD {
		counts[want.verdict]++
		for dir := want.path; dir != "."; dir = path.Dir(dir) {
			seen[dir] = true
		}
		result, err := r.Render(t.Context(), Request{Files: files, Path: want.path, Params: want.params})
		switch {
		case want.refused != "" && (err == nil || !strings.Contains(err.Error(), want.refused)):
			t.Errorf("%s (%s): %v, want %q", want.path, want.source, err, want.refused)
		case want.refused == "" && err != nil:
			t.Errorf("%s (%s): %v", want.path, want.source, err)
		case want.refused == "" && len(result.Bundle.Objects) != want.objects:
			t.Errorf("%s (%s): %d objects, want %d", want.path, want.source, len(result.Bundle.Objects), want.objects)
		}
		if (want.verdict == same) != (want.why == "") || want.source == "" {
			t.Errorf("%s: a verdict %q with the reason %q", want.path, want.verdict, want.why)
		}
	}
	for name := range files {
		if top, _, below := strings.Cut(name, "/"); below && !seen[top] {
			t.Errorf("nothing is expected of %s", name)
			seen[top] = true
		}
	}
	if diff := cmp.Diff(map[string]int{same: 45, different: 9, unsupported: 8}, counts); diff != "" {
		t.Errorf("verdicts (-want +have):\n%s", diff)
	}
}

// TestLinksOfArgoCD rebuilds the links of Argo CD's test data, which no module archive holds, and some more: what leads
// out of the repository is refused and does no harm, what leads nowhere is passed over.
func TestLinksOfArgoCD(t *testing.T) {
	const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
	tests := []struct {
		reason string
		links  map[string]string
		path   string
		params app.Render
		// objects are the names of what is rendered; refused is part of the refusal.
		objects, refused string
	}{
		{"circular-link", map[string]string{"app/a.json": "b.json", "app/b.json": "a.json"}, "app", asDirectory(false), "", "cannot be read"},
		{"out-of-bounds-link", map[string]string{"app/out.yaml": "../../outside.yaml"}, "app", asDirectory(false), "", "cannot be read"},
		{"an absolute link", map[string]string{"app/out.yaml": "/etc/hostname"}, "app", asDirectory(false), "", "cannot be read"},
		{"a device", map[string]string{"app/out.yaml": "/dev/zero"}, "app", asDirectory(false), "", "cannot be read"},
		{"in-bounds-link", map[string]string{"app/in.yaml": "../cm.yaml"}, "app", asDirectory(false), "in", ""},
		{"link-to-nowhere", map[string]string{"app/gone.yaml": "gone"}, "app", asDirectory(false), "", ""},
		{"a link to the directory itself", map[string]string{"app/again": "."}, "app", asDirectory(true), "", ""},
		{"a directory outside", map[string]string{"app/out": "../.."}, "app", asDirectory(true), "", ""},
		{"in-bounds-values-file-link", map[string]string{"chart/v.yaml": "../values.yaml"}, "chart", withHelm(app.HelmOptions{ValueFiles: []string{"v.yaml"}}), "chart", ""},
		{"out-of-bounds-values-file-link", map[string]string{"chart/v.yaml": "../../outside.yaml"}, "chart", withHelm(app.HelmOptions{ValueFiles: []string{"v.yaml"}}), "", "reading"},
		{"a value file by a pattern", map[string]string{"chart/v.yaml": "../../outside.yaml"}, "chart", withHelm(app.HelmOptions{ValueFiles: []string{"v*.yaml"}}), "", "reading"},
		{"a file as a value", map[string]string{"chart/f.txt": "../../outside.yaml"}, "chart", withHelm(app.HelmOptions{FileParameters: []app.FileParameter{{Name: "a", Path: "f.txt"}}}), "", "reading"},
		{"an import of Jsonnet", map[string]string{"program/l.libsonnet": "../../outside.yaml"}, "program", asDirectory(false), "", "escapes"},
		{"a patch of Kustomize", map[string]string{"overlay/p.yaml": "../../outside.yaml"}, "overlay", app.Render{Kustomize: &app.KustomizeOptions{Patches: []app.KustomizePatch{{Path: "p.yaml"}}}}, "", "escapes"},
		{"a component of Kustomize", map[string]string{"overlay/c": "../.."}, "overlay", app.Render{Kustomize: &app.KustomizeOptions{Components: []string{"c"}}}, "", "escapes"},
	}
	for _, test := range tests {
		top := t.TempDir()
		written := map[string]string{
			"outside.yaml": fmt.Sprintf(configMap, "outside"), "kustomization.yaml": "kind: Component\n",
			"repository/cm.yaml": fmt.Sprintf(configMap, "in"), "repository/app/.keep": "", "repository/values.yaml": "a: b",
			"repository/chart/Chart.yaml": "{apiVersion: v2, name: chart, version: 1.0.0}", "repository/chart/templates/a.yaml": fmt.Sprintf(configMap, "chart"),
			"repository/program/a.jsonnet": "import 'l.libsonnet'", "repository/overlay/kustomization.yaml": "resources: [a.yaml]\n",
			"repository/overlay/a.yaml": fmt.Sprintf(configMap, "outside"),
		}
		for name, data := range written {
			if err := os.MkdirAll(filepath.Join(top, filepath.Dir(name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(top, name), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for link, target := range test.links {
			if err := os.Symlink(target, filepath.Join(top, "repository", link)); err != nil {
				t.Skipf("this file system has no symbolic links, which the test is about: %v", err)
			}
		}
		root, err := os.OpenRoot(filepath.Join(top, "repository"))
		if err != nil {
			t.Fatal(err)
		}
		result, err := New(Options{}).Render(t.Context(), Request{Files: root.FS(), Path: test.path, Params: test.params})
		names := []string{}
		if err == nil {
			for _, o := range result.Bundle.Objects {
				names = append(names, o.GetName())
			}
		}
		if test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) || test.refused == "" && err != nil {
			t.Errorf("%s: error %v, want %q", test.reason, err, test.refused)
		}
		if have := strings.Join(names, " "); have != test.objects {
			t.Errorf("%s: objects %q, want %q", test.reason, have, test.objects)
		}
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}
}
