package chart

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
	"nave.dev/internal/render/tree"
)

// chartWith is a tree with one chart in "c".
func chartWith(files map[string]string) tree.Tree {
	m := fstest.MapFS{"c/Chart.yaml": {Data: []byte("{apiVersion: v2, name: c, version: 1.0.0}")}}
	for name, data := range files {
		m[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return tree.Source{Files: m}
}

func value(expression string) map[string]string {
	return map[string]string{"c/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: " + expression + "}\n"}
}

func TestUnstableFunctions(t *testing.T) {
	cases := []struct {
		expression string
		function   string // that is named; "" where the chart is stable
	}{
		{`{{ randAlphaNum 5 | quote }}`, "randAlphaNum"},
		{`{{ include "x" . | quote }}{{ define "x" }}{{ uuidv4 }}{{ end }}`, "uuidv4"},
		{`{{ tpl "{{ randNumeric 30 }}" . | quote }}`, "randNumeric"},
		{`{{ (genCA "ca" 365).Cert | b64enc }}`, "genCA"},
		{`{{ htpasswd "u" "p" | quote }}`, "htpasswd"},
		{`{{ list 1 2 3 4 5 6 7 8 9 | join "," | shuffle | quote }}`, "shuffle"},
		{`{{ now | date "2006" | quote }}`, "now"},
		{`{{ now | date "15" | quote }}`, "now"},
		{`{{ date "2006-01-02" "" | quote }}`, "date"},
		{`{{ htmlDate 1.0 | quote }}`, "htmlDate"},
		{`{{ dateInZone "Jan" "" "UTC" | quote }}`, "dateInZone"},
		{`{{ ago (toDate "2006-01-02" "2020-01-01") | quote }}`, "ago"},
		{`{{ durationRound (toDate "2006-01-02" "2020-01-01") | quote }}`, "durationRound"},
		{`{{ toDate "2006-01-02" "2020-05-01" | date "Jan 2006" | quote }}`, ""},
		{`{{ durationRound "2h10m5s" | quote }}`, ""},
		{`{{ derivePassword 1 "long" "pw" "user" "site" | quote }}`, ""},
		{`{{ "abc" | sha256sum | quote }}`, ""},
		{`{{ now | date "dhms" | quote }}`, ""},
	}
	for _, c := range cases {
		t.Run(c.expression, func(t *testing.T) {
			_, err := Render(chartWith(value(c.expression)), Input{Dir: "c"})
			switch {
			case c.function == "" && err != nil:
				t.Errorf("a stable chart is refused: %v", err)
			case c.function != "" && (err == nil || !strings.Contains(err.Error(), "data.x, because its templates use "+c.function)):
				t.Errorf("error %v, want one that names data.x and %s", err, c.function)
			}
		})
	}
}

func TestDatesDoNotShowTheZoneOfTheMachine(t *testing.T) {
	out, err := Render(chartWith(value(`{{ date "15:04 MST" (int64 0) | quote }}`)), Input{Dir: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Objects[0].Object["data"].(map[string]any)["x"]; got != "00:00 UTC" {
		t.Errorf("rendered %q, want 00:00 UTC", got)
	}
}

func TestFactsSeen(t *testing.T) {
	cases := []struct {
		name          string
		files         map[string]string
		values        map[string]any
		version, apis bool
	}{
		{name: "none", files: value("a")},
		{name: "version", files: value("{{ .Capabilities.KubeVersion.Minor | quote }}"), version: true},
		{name: "APIs", files: value(`{{ .Capabilities.APIVersions.Has "v1" | quote }}`), version: true, apis: true},
		{name: "all", files: value(`{{ .Capabilities | toString | len }}`), version: true, apis: true},
		{name: "kubeVersion", files: map[string]string{"c/Chart.yaml": "{apiVersion: v2, name: c, version: 1.0.0, kubeVersion: '>=1.20'}"}, version: true},
		{name: "subchart", files: map[string]string{"c/charts/s/Chart.yaml": "{apiVersion: v2, name: s, version: 1.0.0}", "c/charts/s/templates/_x.tpl": "{{ .Capabilities.KubeVersion }}"}, version: true},
		{name: "values", files: value("{{ tpl .Values.x . }}"), values: map[string]any{"x": "{{ .Capabilities.APIVersions | len }}"}, version: true, apis: true},
		{name: "documentation", files: map[string]string{"c/README.md": "Capabilities", "c/templates/NOTES.txt": "{{ .Capabilities.KubeVersion }}"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, err := Render(chartWith(c.files), Input{Dir: "c", Options: app.HelmOptions{Values: c.values}})
			if err != nil {
				t.Fatal(err)
			}
			if out.Version != c.version || out.APIs != c.apis {
				t.Errorf("version %t, APIs %t, want %t, %t", out.Version, out.APIs, c.version, c.apis)
			}
			if warned := len(out.Warnings) > 0; warned != (c.version || c.apis) {
				t.Errorf("warnings %q, want some exactly where unknown facts are used", out.Warnings)
			}
		})
	}
}

func TestKubeVersion(t *testing.T) {
	chart := chartWith(map[string]string{"c/Chart.yaml": "{apiVersion: v2, name: c, version: 1.0.0, kubeVersion: '>=1.30.0'}"})
	for version, refused := range map[string]bool{"v1.29.9": true, "v1.30.1-eks-123": false} {
		_, err := Render(chart, Input{Dir: "c", Facts: app.Facts{KubernetesVersion: version}})
		if (err != nil) != refused {
			t.Errorf("%s: error %v, want one: %t", version, err, refused)
		}
	}
}

func TestLocalDependencies(t *testing.T) {
	library := map[string]string{
		"lib/Chart.yaml":       "{apiVersion: v2, name: lib, version: 1.0.0, dependencies: [{name: deep, version: 1.0.0, repository: 'file://../deep'}]}",
		"lib/templates/l.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lib}\n",
		"deep/Chart.yaml":      "{apiVersion: v2, name: deep, version: 1.0.0}",
		"deep/templates/d.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: deep-{{ .Values.name }}}
`,
	}
	with := func(dependency string, more ...string) map[string]string {
		files := map[string]string{"c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies:\n- " + dependency + "\n", "c/values.yaml": "lib: {deep: {name: x}}\nother: {deep: {name: z}}\n"}
		for name, data := range library {
			files[name] = data
		}
		for i := 0; i+1 < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		return files
	}
	cases := []struct {
		name  string
		files map[string]string
		want  string // names of objects, or a part of the error
	}{
		{"nested", with("{name: lib, version: 1.0.0, repository: 'file://../lib'}"), "[deep-x lib]"},
		{"alias", with("{name: lib, alias: other, version: 1.0.0, repository: 'file://../lib'}"), "[deep-z lib]"},
		{"vendored wins", with("{name: lib, version: 2.0.0, repository: 'file://../lib'}", "c/charts/lib/Chart.yaml", "{apiVersion: v2, name: lib, version: 2.0.0}"), "[]"},
		{"tags", with("{name: lib, version: 1.0.0, repository: 'file://../lib', tags: [extra]}", "c/values.yaml", "tags: {extra: false}"), "[]"},
		{"outside", with("{name: lib, version: 1.0.0, repository: 'file://../../lib'}"), "c/Chart.yaml:5: dependency \"lib\" is outside of the repository"},
		{"absolute", with("{name: lib, version: 1.0.0, repository: 'file:///etc'}"), "is outside of the repository"},
		{"absent", with("{name: lib, version: 1.0.0, repository: 'file://../gone'}"), "there is no chart in \"gone\""},
		{"circle", with("{name: lib, version: 1.0.0, repository: 'file://../lib'}", "deep/Chart.yaml", "{apiVersion: v2, name: deep, version: 1.0.0, dependencies: [{name: lib, version: 1.0.0, repository: 'file://../lib'}]}"), "lead on and on"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, err := Render(chartWith(c.files), Input{Dir: "c"})
			got := fmt.Sprint(err)
			if err == nil {
				names := []string{}
				for _, o := range out.Objects {
					names = append(names, o.GetName())
				}
				got = fmt.Sprint(names)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNumbersPrintAlike(t *testing.T) {
	template := value("{{ .Values.count | quote }}")
	template["c/n.yaml"] = "count: 1000000"
	var rendered []any
	for _, options := range []app.HelmOptions{{ValueFiles: []string{"n.yaml"}}, {Values: map[string]any{"count": int64(1000000)}}, {Values: map[string]any{"count": 1e6}}} {
		out, err := Render(chartWith(template), Input{Dir: "c", Options: options})
		if err != nil {
			t.Fatal(err)
		}
		rendered = append(rendered, out.Objects[0].Object["data"].(map[string]any)["x"])
	}
	if rendered[0] != rendered[1] || rendered[1] != rendered[2] {
		t.Errorf("the same number prints as %q, depending on where it is stated", rendered)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("{apiVersion: v2, name: c, version: 1.0.0}", "a: b", `{"properties": {"a": {"type": "string"}}}`)
	f.Add("{apiVersion: v2, name: c, version: 1.0.0, dependencies: [{name: x, repository: 'file://..'}]}", "- a", `{"$ref": "file:///etc/passwd"}`)
	f.Add("name: c\ndependencies: [null]\n", "---\na: b\n---\na: {c: d}\n", "true")
	f.Add("{apiVersion: v1, name: c, version: 1, kubeVersion: '>=1', type: library}", "global: {a: null}", `{"$id": "http://x/", "$ref": "y"}`)
	f.Fuzz(func(t *testing.T, metadata, values, schema string) {
		recorder := tree.Record(tree.Source{Files: fstest.MapFS{
			"c/Chart.yaml": {Data: []byte(metadata)}, "c/values.yaml": {Data: []byte(values)}, "c/values.schema.json": {Data: []byte(schema)},
			"c/templates/a.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: {{ .Values | toJson | quote }}}\n")},
		}})
		out, err := Render(recorder, Input{Dir: "c"})
		if err == nil && len(out.Objects) > 1 {
			t.Errorf("%d objects of one template", len(out.Objects))
		}
		for _, read := range recorder.Reads() {
			if !strings.HasPrefix(read.Path, "c") && read.Digest != "absent" {
				t.Errorf("%s was read", read.Path)
			}
		}
	})
}

func TestCreateOnlyMayDiffer(t *testing.T) {
	files := map[string]string{
		"c/Chart.yaml":       "{apiVersion: v2, name: c, version: 1.0.0}",
		"c/templates/a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: {{ randAlphaNum 20 }}}\n",
	}
	in := Input{Dir: "c"}
	if _, err := Render(chartWith(files), in); err == nil || !strings.Contains(err.Error(), "stringData.password") || !strings.Contains(err.Error(), "createOnly") {
		t.Errorf("without a rule: %v", err)
	}
	in.CreateOnly = app.ObjectRules{{Kind: "Secret", Name: "a"}}
	if out, err := Render(chartWith(files), in); err != nil || len(out.Objects) != 1 {
		t.Errorf("with a rule: %v", err)
	}
	files["c/templates/b.yaml"] = "apiVersion: v1\nkind: Secret\nmetadata: {name: b}\nstringData: {password: {{ randAlphaNum 20 }}}\n"
	if _, err := Render(chartWith(files), in); err == nil || !strings.Contains(err.Error(), "Secret b") {
		t.Errorf("another object: %v", err)
	}
}
