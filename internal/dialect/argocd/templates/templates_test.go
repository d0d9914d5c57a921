package templates

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var given = map[string]any{
	"name": "web", "empty": "", "number": float64(3), "list": []any{"a", "b"},
	"metadata": map[string]any{"labels": map[string]any{"env": "prod"}},
}

func TestGoTemplates(t *testing.T) {
	for _, test := range []struct{ reason, template, want string }{
		{"no template", "plain $ {", "plain $ {"},
		{"a parameter", "{{ .name }}-{{ .metadata.labels.env }}", "web-prod"},
		{"functions of sprig", `{{ .name | upper | quote }} {{ default "x" .empty }} {{ join "," .list }} {{ dig "metadata" "labels" "none" "d" . }}`, `"WEB" x a,b d`},
		{"conditions and loops", `{{ range $i, $x := .list }}{{ if $i }}+{{ end }}{{ $x }}{{ else }}none{{ end }}`, "a+b"},
		{"normalize", `{{ normalize "-Hello_World/9." }}`, "hello-world-9"},
		{"slugify by default", `{{ slugify "Feature/Some_long name" }}`, "feature-some-long-name"},
		{"slugify cuts between words", `{{ slugify 10 "very pineapple-like" }}`, "very"},
		{"slugify cuts anywhere", `{{ slugify 10 false "very pineapple-like" }}`, "very-pinea"},
		{"toYaml", `{{ toYaml .metadata }}`, "labels:\n  env: prod"},
		{"fromYaml", `{{ (fromYaml "a: {b: c}").a.b }} {{ index (fromYamlArray "[x, z]") 1 }}`, "c z"},
		{"printf", `{{ printf "%s-%03d" .name 7 }} {{ print 1 2 }}`, "web-007 1 2"},
		{"a template in it", `{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" .name }}`, "<web>"},
		{"a mapping is changed", `{{ $d := dict "a" 1 }}{{ $_ := set $d "b" 2 }}{{ $_ = merge $d (dict "c" 3) }}{{ toJson $d }}`, `{"a":1,"b":2,"c":3}`},
		{"what is not there", `{{ .none }}`, "<no value>"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			s, err := New(true, nil, NewBudget())
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Fill(test.template, given)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestReferences(t *testing.T) {
	s, err := New(false, nil, NewBudget())
	if err != nil {
		t.Fatal(err)
	}
	for template, want := range map[string]string{
		"{{name}}-{{ name }}": "web-web", "{{none}} {{ none }}": "{{none}} {{ none }}", "{{number}}": "{{number}}",
		"{{empty}}|": "|", "{{name": "{{name", "{{}}": "{{}}", "{{ .name | upper }}": "{{ .name | upper }}",
	} {
		if got, err := s.Fill(template, given); got != want || err != nil {
			t.Errorf("%s became %q, %v, want %q", template, got, err, want)
		}
	}
}

// hostile are templates that would take the reader's process with them.
var hostile = map[string]string{
	"a loop over a large number":          `{{ range 1000000000000 }}{{ end }}`,
	"a loop in a loop":                    `{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}`,
	"a loop over a large list":            `{{ range until 1000000000 }}{{ end }}`,
	"a list of large steps":               `{{ range untilStep 0 1000000000 1 }}{{ end }}`,
	"a sequence":                          `{{ seq 1 1000000000 }}`,
	"a template that calls itself":        `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`,
	"one that calls itself twice":         `{{ define "x" }}{{ if . }}{{ template "x" (rest .) }}{{ template "x" (rest .) }}{{ end }}{{ end }}{{ template "x" (until 60) }}`,
	"a text that doubles":                 `{{ $x := "aaaaaaaaaa" }}{{ range 60 }}{{ $x = print $x $x }}{{ end }}`,
	"one that is repeated":                `{{ repeat 1000000000 "x" }}`,
	"one that is indented":                `{{ indent 1000000000 "x" }}`,
	"a wide number":                       `{{ printf "%999999999d" 1 }}`,
	"a wide number by argument":           `{{ printf "%*d" 999999999 1 }}`,
	"many wide numbers":                   `{{ printf "%1000000d%1000000d" 1 2 }}`,
	"one argument many times":             `{{ printf (repeat 50000 "%[1]s") (repeat 300000 "x") }}`,
	"many wide places":                    `{{ printf (repeat 20000 "%[1]999d") 1 }}`,
	"replacements that grow":              `{{ $x := repeat 100000 "a" }}{{ $x | replace "a" $x }}`,
	"replacements with the whole text":    `{{ $x := repeat 100000 "a" }}{{ regexReplaceAll "a" $x $x }}`,
	"a joined list":                       `{{ $x := repeat 100000 "a" }}{{ join $x (until 10000) }}`,
	"a list that doubles":                 `{{ $x := list 1 }}{{ range 60 }}{{ $x = list $x $x }}{{ end }}{{ $x }}`,
	"a mapping in itself":                 `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`,
	"a mapping in itself, by a list":      `{{ $d := dict }}{{ $_ := set $d "d" (list $d) }}{{ $d }}`,
	"a mapping in one that is in it":      `{{ $in := dict }}{{ $d := dict "in" $in }}{{ $_ := set $in "d" $d }}{{ $d }}`,
	"a mapping that is merged into it":    `{{ $in := dict }}{{ $d := dict "in" $in }}{{ $_ := merge $d (dict "in" (dict "x" $d)) }}{{ $d }}`,
	"its inner one merged into the inner": `{{ $in := dict "a" 1 }}{{ $d := dict "in" $in }}{{ $_ := merge $d (dict "in" (dict "x" $in)) }}{{ $d }}`,
	"the parameters in themselves":        `{{ $_ := set . "self" . }}{{ . }}`,
	"a long list of different entries":    `{{ $x := until 10000 }}{{ range 1000 }}{{ $_ := uniq $x }}{{ end }}`,
	"much output":                         `{{ range 100000 }}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{{ end }}`,
	"the environment":                     `{{ env "HOME" }}`,
	"the network":                         `{{ getHostByName "localhost" }}`,
	"the clock":                           `{{ now }}`,
	"chance":                              `{{ randAlphaNum 5 }}`,
	"keys":                                `{{ genPrivateKey "rsa" }}`,
	"a panic":                             `{{ index .list 99 }}`,
	"a panic in a function":               `{{ repeat -1 "x" }}{{ div 1 0 }}`,
	"no template":                         `{{ if }}`,
}

func TestHostile(t *testing.T) {
	for reason, template := range hostile {
		t.Run(reason, func(t *testing.T) {
			s, err := New(true, nil, NewBudget())
			if err != nil {
				t.Fatal(err)
			}
			parameters := map[string]any{"list": []any{"a"}}
			out, err := s.Fill(template, parameters)
			if err == nil {
				t.Errorf("it became %d bytes", len(out))
			}
			if measure(parameters).tooLarge() {
				t.Error("the parameters have themselves in them")
			}
		})
	}
}

// TestBudget says that templates of one set share what they may do.
func TestBudget(t *testing.T) {
	s, err := New(true, nil, NewBudget())
	if err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		if _, err = s.Fill(`{{ range 10000 }}{{ end }}`, given); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "too much work") {
		t.Errorf("the error is %v", err)
	}
}

// TestReferencesBounded says that plain references are bounded as Go templates are,
// in the length of one text and in that of all.
func TestReferencesBounded(t *testing.T) {
	for _, goTemplate := range []bool{false, true} {
		s, err := New(goTemplate, nil, NewBudget())
		if err != nil {
			t.Fatal(err)
		}
		one, parameters := "{{a}}", map[string]any{"a": strings.Repeat("x", maxOutput/2)}
		if goTemplate {
			one = "{{.a}}"
		}
		if out, err := s.Fill(strings.Repeat(one, 3), parameters); err == nil {
			t.Errorf("three times half of the most are %d bytes", len(out))
		}
		for range 10_000 {
			if _, err = s.Fill(one, parameters); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "too much work") {
			t.Errorf("all together: %v", err)
		}
	}
}

func TestOptions(t *testing.T) {
	s, err := New(true, []string{"missingkey=error"}, NewBudget())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Fill("{{ .none }}", given); err == nil {
		t.Errorf("it became %q", out)
	}
	if out, filled, err := s.Try("{{ .none }}", given); filled || err != nil || out != "{{ .none }}" {
		t.Errorf("tried: %q, %v, %v", out, filled, err)
	}
	if _, err := New(true, []string{"missingkey=panic"}, NewBudget()); err == nil {
		t.Error("an option that is none")
	}
}

func FuzzFill(f *testing.F) {
	// Those that use up a whole budget are in TestHostile.
	for _, reason := range []string{"a mapping in itself", "a panic in a function", "replacements that grow", "no template"} {
		f.Add(hostile[reason], true)
	}
	f.Add("{{name}} {{", false)
	f.Fuzz(func(t *testing.T, template string, goTemplate bool) {
		s, err := New(goTemplate, nil, NewBudget())
		if err != nil {
			t.Fatal(err)
		}
		parameters := map[string]any{"name": "web", "list": []any{"a", map[string]any{"b": "c"}}}
		out, _ := s.Fill(template, parameters)
		if len(out) > maxOutput+len(template) {
			t.Errorf("%d bytes", len(out))
		}
		if measure(parameters).tooLarge() {
			t.Error("the parameters have become too large")
		}
	})
}
