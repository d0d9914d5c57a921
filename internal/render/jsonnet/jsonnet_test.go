package jsonnet

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

func files(content map[string]string) *tree.Recorder {
	repository := fstest.MapFS{}
	for name, data := range content {
		repository[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return tree.Record(tree.Source{Files: repository})
}

func TestEvaluate(t *testing.T) {
	tests := []struct {
		reason  string
		files   map[string]string
		options app.Jsonnet
		want    string
	}{{
		reason: "external variables and arguments, as text and as code",
		files:  map[string]string{"a/x.jsonnet": `function(t, c) [t, c, std.extVar("e"), std.extVar("f")]`},
		options: app.Jsonnet{
			TopLevelArguments: []app.JsonnetVariable{{Name: "t", Value: "1+1"}, {Name: "c", Value: "1+1", Code: true}},
			ExternalVariables: []app.JsonnetVariable{{Name: "e", Value: "[]"}, {Name: "f", Value: "[2]", Code: true}},
		},
		want: `["1+1",2,"[]",[2]]`,
	}, {
		reason: "beside the file comes first, then the last library, then the others, then the app's directory",
		files: map[string]string{
			"a/sub/x.jsonnet":   `[import "1.libsonnet", import "2.libsonnet", import "3.libsonnet", importstr "4.txt"]`,
			"a/sub/1.libsonnet": `"beside"`, "l1/1.libsonnet": `"no"`,
			"l2/2.libsonnet": `"second"`, "l1/2.libsonnet": `"no"`, "a/2.libsonnet": `"no"`,
			"l1/3.libsonnet": `"first"`, "a/3.libsonnet": `"no"`,
			"a/4.txt": "app",
		},
		options: app.Jsonnet{Libraries: []string{"l1", "/l2"}},
		want:    `["beside","second","first","app"]`,
	}, {
		reason: "an import of an import starts from there, and may go up in the repository",
		files: map[string]string{
			"a/x.jsonnet": `import "../lib/y.libsonnet"`, "lib/y.libsonnet": `import "deep/z.libsonnet"`, "lib/deep/z.libsonnet": `std.thisFile`,
		},
		want: `"lib/deep/z.libsonnet"`,
	}}
	for _, test := range tests {
		file := "a/x.jsonnet"
		if _, ok := test.files[file]; !ok {
			file = "a/sub/x.jsonnet"
		}
		out, err := Evaluate(files(test.files), Input{File: file, Options: test.options, Search: []string{"a"}})
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if have := strings.Join(strings.Fields(string(out)), ""); have != test.want {
			t.Errorf("%s: %s, want %s", test.reason, have, test.want)
		}
	}
}

func TestEvaluateRefuses(t *testing.T) {
	tests := []struct {
		program, reason string
		libraries       []string
		want            manifest.Problem
	}{
		{program: "{\n  a: 1,\n  b\n}", reason: "a syntax error", want: manifest.Problem{File: "a/x.jsonnet", Line: 4}},
		{program: "\n{ a: error 'no' }", reason: "an error of its own", want: manifest.Problem{File: "a/x.jsonnet", Line: 2, Message: "jsonnet: no"}},
		{program: "import 'broken.libsonnet'", reason: "an error in what is imported", want: manifest.Problem{File: "a/broken.libsonnet", Line: 2}},
		{program: "{\n a: importstr '/dev/null' }", reason: "an absolute path", want: manifest.Problem{File: "a/x.jsonnet", Line: 2,
			Message: `jsonnet: imports "/dev/null" by an absolute path: a render reads only the commit that it is of`}},
		{program: "importstr '/dev/zero'", reason: "a device", want: manifest.Problem{File: "a/x.jsonnet", Line: 1}},
		{program: "import '../../x'", reason: "a way up and out", want: manifest.Problem{File: "a/x.jsonnet", Line: 1,
			Message: `jsonnet: imports "../../x", which is outside of the repository`}},
		{program: "importstr '../.nave-remote/other/secret'", reason: "another repository", want: manifest.Problem{File: "a/x.jsonnet", Line: 1,
			Message: `jsonnet: imports "../.nave-remote/other/secret", which is outside of the repository`}},
		{program: "import '.'", reason: "a directory", want: manifest.Problem{File: "a/x.jsonnet", Line: 1, Message: `jsonnet: imports "a", which is a directory`}},
		{program: "import 'gone'", reason: "nothing", want: manifest.Problem{File: "a/x.jsonnet", Line: 1, Message: `jsonnet: imports "gone", which is neither beside it nor in "a"`}},
		{program: "1", libraries: []string{"../lib"}, reason: "a library outside", want: manifest.Problem{File: "a/x.jsonnet", Message: `the Jsonnet library "../lib" is outside of the repository`}},
		{program: "std.native('exec')('id')", reason: "a function of the host", want: manifest.Problem{File: "a/x.jsonnet", Line: 1}},
		{program: "local f(x) = f(x + 1) + 1; f(1)", reason: "endless calls", want: manifest.Problem{File: "a/x.jsonnet", Line: 1, Message: "jsonnet: max stack frames exceeded."}},
		{program: "std.extVar('gone')", reason: "an unknown variable", want: manifest.Problem{Line: 1, File: "a/x.jsonnet", Message: "jsonnet: Undefined external variable: gone"}},
	}
	for _, test := range tests {
		repository := files(map[string]string{"a/x.jsonnet": test.program, "a/broken.libsonnet": "{\n  a: error 'x' }"})
		_, err := Evaluate(repository, Input{File: "a/x.jsonnet", Options: app.Jsonnet{Libraries: test.libraries}, Search: []string{"a"}})
		var have manifest.Problem
		if !errors.As(err, &have) {
			t.Errorf("%s: error %v, want a problem", test.reason, err)
			continue
		}
		t.Logf("%s: %v", test.reason, have)
		have.Hint = ""
		if test.want.Message == "" {
			have.Message = ""
		}
		if diff := cmp.Diff(test.want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
		for _, read := range repository.Reads() {
			if strings.HasPrefix(read.Path, "..") || strings.HasPrefix(read.Path, "/") || strings.HasPrefix(read.Path, tree.RemoteDir) {
				t.Errorf("%s: asked for %q", test.reason, read.Path)
			}
		}
	}
}

// A miss counts: what is added to a library later may come before what was found.
func TestMissesAreNoted(t *testing.T) {
	repository := files(map[string]string{"a/x.jsonnet": "import 'y.libsonnet'", "vendor/y.libsonnet": "1"})
	if _, err := Evaluate(repository, Input{File: "a/x.jsonnet", Options: app.Jsonnet{Libraries: []string{"vendor", "lib"}}}); err != nil {
		t.Fatal(err)
	}
	noted := map[string]string{}
	for _, read := range repository.Reads() {
		if read.Op == tree.OpStat {
			noted[read.Path] = read.Digest
		}
	}
	want := map[string]string{"a/y.libsonnet": "absent", "lib/y.libsonnet": "absent", "vendor/y.libsonnet": "file"}
	if diff := cmp.Diff(want, noted); diff != "" {
		t.Errorf("look-ups (-want +have):\n%s", diff)
	}
}
