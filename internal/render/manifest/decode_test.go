package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestDecodePlaces(t *testing.T) {
	cases := []struct {
		name, reason string
		file, data   string
		want         []string // line kind/name
		problems     []string
	}{
		{
			name: "documents", reason: "the line is that of the first content, comments aside",
			file: "a.yaml", data: "# c\n\n---\n# d\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---   # e\n\napiVersion: v1\nkind: B\n...\n---\n{apiVersion: v1, kind: C}",
			want: []string{"5 A/a", "10 B/", "14 C/"},
		},
		{
			name: "content beside the separator", reason: "YAML allows it",
			file: "a.yaml", data: "--- {apiVersion: v1, kind: A}\n--- # x\napiVersion: v1\nkind: B\n",
			want: []string{"1 A/", "3 B/"},
		},
		{
			name: "hyphens in text", reason: "they separate only where they stand alone at the start of a line",
			file: "a.yaml", data: "apiVersion: v1\nkind: A\ndata:\n  x: |\n    ---\n    y\n  z: a---b\n",
			want: []string{"1 A/"},
		},
		{name: "nothing", reason: "an empty file has no objects", file: "a.yaml", data: "# only this\n---\n---\n"},
		{name: "byte order mark", reason: "editors write it", file: "a.yaml", data: "\xef\xbb\xbfapiVersion: v1\nkind: A\n", want: []string{"1 A/"}},
		{name: "carriage returns", reason: "Windows writes them", file: "a.yaml", data: "apiVersion: v1\r\nkind: A\r\n---\r\napiVersion: v1\r\nkind: B\r\n", want: []string{"1 A/", "4 B/"}},
		{
			name: "lists", reason: "typed lists are taken apart like List, a custom resource with another shape is not",
			file: "a.yaml", data: "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\napiVersion: v1\nkind: AllowList\nspec: {items: [1]}\n",
			want: []string{"1 ConfigMap/a", "6 AllowList/"},
		},
		{
			name: "list without items", reason: "it is as empty as one with none; what has a spec is no list",
			file: "a.yaml", data: "apiVersion: v1\nkind: ConfigMapList\nitems:\n---\napiVersion: v1\nkind: AllowList\nitems:\nspec: {}\n",
			want: []string{"5 AllowList/"},
		},
		{
			name: "list of what is no object", reason: "the item is named",
			file: "a.yaml", data: "apiVersion: v1\nkind: List\nitems:\n- text\n- {kind: A}\n",
			problems: []string{"a.yaml:1: List: items[0] is no object but text", "a.yaml:1: A: has no apiVersion"},
		},
		{
			name: "JSON", reason: "a file may hold several values, and tabs",
			file: "a.json", data: "\n{\"apiVersion\": \"v1\",\n\t\"kind\": \"A\"}\n\n{\"apiVersion\": \"v1\", \"kind\": \"B\"}",
			want: []string{"2 A/", "5 B/"},
		},
		{name: "UTF-16", reason: "it is named", file: "a.yaml", data: "\xff\xfea\x00", problems: []string{"a.yaml:1: the file is UTF-16"}},
		{name: "binary", reason: "the line of the first bad byte helps to find it", file: "a.yaml", data: "a: b\nc: \xff\n", problems: []string{"a.yaml:2: the file is not UTF-8 text"}},
		{
			name: "syntax in a later document", reason: "lines count from the start of the file",
			file: "a.yaml", data: "apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n x: y\n",
			want: []string{"1 A/"}, problems: []string{"a.yaml:6: is not valid YAML: mapping values are not allowed in this context"},
		},
		{name: "kind that is no text", reason: "YAML reads numbers", file: "a.yaml", data: "apiVersion: 1\nkind: A\n", problems: []string{"a.yaml:1: apiVersion is no text but a number"}},
		{name: "metadata that is no mapping", reason: "nothing else would make sense of it", file: "a.yaml", data: "apiVersion: v1\nkind: A\nmetadata: [a]\n", problems: []string{"a.yaml:1: metadata is no mapping but a list"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			objects, problems := new(Decoder).Decode(c.file, []byte(c.data))
			var got []string
			for _, o := range objects {
				got = append(got, fmt.Sprintf("%d %s/%s", o.Line, o.GetKind(), o.GetName()))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
			var said []string
			for _, p := range problems {
				p.Hint = ""
				said = append(said, p.String())
			}
			if diff := cmp.Diff(c.problems, said); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: A\na0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), ", "))
	}
	_, problems := new(Decoder).Decode("a.yaml", []byte(b.String()))
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "excessive aliasing") {
		t.Errorf("problems %v, want one that names the aliases", problems)
	}
}

func TestLimits(t *testing.T) {
	one := "apiVersion: v1\nkind: A\nmetadata: {name: a}\n"
	for name, limits := range map[string]Limits{"objects": {Objects: 3}, "bytes": {Bytes: 200}} {
		d := &Decoder{Limits: limits}
		if _, problems := d.Decode("a.yaml", []byte(one+"---\n"+one)); problems != nil {
			t.Errorf("%s: %v", name, problems)
		}
		if _, problems := d.Decode("b.yaml", []byte(one+"---\n"+one+"---\n"+one)); problems == nil || problems[0].File != "b.yaml" {
			t.Errorf("%s: problems %v, want one: files count together", name, problems)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n- x\n", "{\"apiVersion\": \"v1\"}", "a: &a [*a]", "--- |\n x\n...\n", "\xff", "? [a]\n: b\n",
		"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [1]}]\n", "kind: A\napiVersion: v1\nx: .nan\ny: 0x1F\nz: 2001-01-01\n<<: {a: b}\n",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, data string, asJSON bool) {
		file := "a.yaml"
		if asJSON {
			file = "a.json"
		}
		d := &Decoder{Limits: Limits{Objects: 100, Bytes: 1 << 20}}
		objects, problems := d.Decode(file, []byte(data))
		lines := 1 + strings.Count(data, "\n")
		if len(objects) > 100 {
			t.Errorf("%d objects, the limit is 100", len(objects))
		}
		for _, o := range objects {
			if o.GetKind() == "" || o.GetAPIVersion() == "" {
				t.Errorf("an object without kind or apiVersion: %v", o.Object)
			}
			if o.Line < 1 || o.Line > lines {
				t.Errorf("line %d of %d", o.Line, lines)
			}
			if _, err := json.Marshal(o.Object); err != nil {
				t.Error(err)
			}
		}
		for _, p := range problems {
			if p.Message == "" || p.Line < 1 || p.Line > lines+1 {
				t.Errorf("problem %q at line %d of %d", p.Message, p.Line, lines)
			}
		}
		// Where a whole file is one document, it is what kubectl would read.
		if !asJSON && len(objects) == 1 && len(problems) == 0 && !strings.Contains(data, "---") && !strings.Contains(data, "...") && !strings.HasSuffix(objects[0].GetKind(), "List") {
			want, err := yaml.YAMLToJSON([]byte(strings.TrimPrefix(data, "\xef\xbb\xbf")))
			if err != nil {
				return
			}
			got, err := json.Marshal(objects[0].Object)
			if err != nil {
				t.Fatal(err)
			}
			var a, b any
			if json.Unmarshal(want, &a) != nil || json.Unmarshal(got, &b) != nil || !cmp.Equal(a, b) && bytes.IndexByte(want, 'e') < 0 {
				t.Errorf("decoded %s, kubectl reads %s", got, want)
			}
		}
	})
}

func TestEvaluated(t *testing.T) {
	tests := []struct {
		reason, data string
		want         string
		problems     string
	}{
		{reason: "one object", data: ` {"apiVersion": "v1", "kind": "A"} `, want: "A"},
		{reason: "a list, of which what is null is nothing", data: `[{"apiVersion": "v1", "kind": "A"}, null, {"apiVersion": "v1", "kind": "B"}]`, want: "A B"},
		{reason: "nothing", data: "null\n"},
		{reason: "a list of no objects", data: `[[]]`, problems: "a.jsonnet: is no object but a list"},
		{reason: "what is not JSON", data: `[`, problems: "a.jsonnet: does not come to valid JSON: unexpected end of JSON input"},
		{reason: "too many", data: `[{"apiVersion": "v1", "kind": "A"}, {"apiVersion": "v1", "kind": "B"}, {"apiVersion": "v1", "kind": "C"}]`,
			problems: "a.jsonnet: the app has more than 2 objects\n  hint: " + hintSplit},
	}
	for _, test := range tests {
		objects, problems := (&Decoder{Limits: Limits{Objects: 2}}).Evaluated("a.jsonnet", []byte(test.data))
		var kinds []string
		for _, o := range objects {
			kinds = append(kinds, o.GetKind())
		}
		have := ""
		if len(problems) > 0 {
			have = problems[0].String()
		}
		if strings.Join(kinds, " ") != test.want || !strings.HasPrefix(have, test.problems) || (have == "") != (test.problems == "") {
			t.Errorf("%s: %v and %q, want %q and %q", test.reason, kinds, have, test.want, test.problems)
		}
	}
}
