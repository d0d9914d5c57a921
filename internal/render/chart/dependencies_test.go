package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/render/tree"
)

// chartRepository is a chart repository that a render may use, by what is asked of it.
type chartRepository map[string]fstest.MapFS

func (r chartRepository) Remote(repository, ref string) (string, error) {
	if repository != "https://charts.example.org/stable" {
		return "", errors.New("its repository is no source of the fleet\nhint: add it")
	}
	if r[ref] == nil {
		return "", errors.New("it has no " + ref)
	}
	return "stable@" + ref, nil
}

func (r chartRepository) Files(name string) (fs.FS, tree.Hashes, error) {
	return r[strings.TrimPrefix(name, "stable@")], nil, nil
}

// packed is a chart with one ConfigMap of its name, its version and what follows.
func packed(name, version, more string) fstest.MapFS {
	return fstest.MapFS{
		"Chart.yaml":       {Data: []byte("apiVersion: v2\nname: " + name + "\nversion: " + version + "\n" + more)},
		"templates/m.yaml": {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Chart.Name }}-" + version + "}\n")},
	}
}

func TestFetchedDependencies(t *testing.T) {
	const stable = "repository: 'https://charts.example.org/stable'"
	repository := chartRepository{
		"chart:redis:1.x":   packed("redis", "1.9.0", ""),
		"chart:redis:1.2.0": packed("redis", "1.2.0", ""),
		"chart:redis:2.x":   packed("redis", "2.0.0", ""),
		"chart:redis:*":     packed("redis", "2.0.0", ""),
		"chart:web:1.x":     packed("web", "1.0.0", "dependencies:\n- {name: redis, version: 1.x, "+stable+"}\n"),
		"chart:bad:1.x":     packed("bad", "1.0.0", "dependencies:\n- {name: gone, version: 1.x, repository: 'https://elsewhere.example.org'}\n"),
		"chart:up:1.x":      packed("up", "1.0.0", "dependencies:\n- {name: c, version: 1.x, repository: 'file://../../c'}\n"),
		"chart:loop:1.x":    packed("loop", "1.0.0", "dependencies:\n- {name: loop, version: 1.x, "+stable+"}\n"),
		"chart:broken:1.x":  {"Chart.yaml": {Data: []byte("{apiVersion: v2, name: broken, version: 1.0.0}")}, "templates/m.yaml": {Data: []byte("a: b\n{{ fail \"no\" }}")}},
	}
	metadata := func(dependencies ...string) string {
		return "apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies:\n- " + strings.Join(dependencies, "\n- ") + "\n"
	}
	lock := func(version string) string {
		return "dependencies:\n- {name: redis, version: " + version + ", repository: https://charts.example.org/stable/}\ndigest: sha256:0\n"
	}
	redis := "{name: redis, version: 1.x, " + stable + "}"
	elsewhere := "{name: gone, version: 1.x, condition: gone.enabled, repository: 'https://me:hunter2@elsewhere.example.org'}"
	for reason, test := range map[string]struct {
		files map[string]string
		want  string // names of objects, or a part of the error
	}{
		"by range":             {map[string]string{"c/Chart.yaml": metadata(redis)}, "[redis-1.9.0]"},
		"any version":          {map[string]string{"c/Chart.yaml": metadata("{name: redis, " + stable + "}")}, "[redis-2.0.0]"},
		"the lock's version":   {map[string]string{"c/Chart.yaml": metadata(redis), "c/Chart.lock": lock("1.2.0")}, "[redis-1.2.0]"},
		"an old lock":          {map[string]string{"c/Chart.yaml": metadata(redis), "c/Chart.lock": lock("0.9.0")}, "c/Chart.yaml:5: dependency \"redis\" 1.x is not in charts/: Chart.lock is older"},
		"requirements":         {map[string]string{"c/Chart.yaml": "{apiVersion: v1, name: c, version: 1.0.0}", "c/requirements.yaml": "dependencies: [" + redis + "]", "c/requirements.lock": lock("1.2.0")}, "[redis-1.2.0]"},
		"vendored wins":        {map[string]string{"c/Chart.yaml": metadata(redis), "c/charts/any/Chart.yaml": "{apiVersion: v2, name: redis, version: 1.0.0}"}, "[]"},
		"alias":                {map[string]string{"c/Chart.yaml": metadata(redis, "{name: redis, alias: cache, version: 1.x, "+stable+"}")}, "[cache-1.9.0 redis-1.9.0]"},
		"two versions":         {map[string]string{"c/Chart.yaml": metadata(redis, "{name: redis, alias: cache, version: 2.x, "+stable+"}")}, "[cache-2.0.0 redis-1.9.0]"},
		"of a dependency":      {map[string]string{"c/Chart.yaml": metadata("{name: web, version: 1.x, " + stable + "}")}, "[redis-1.9.0 web-1.0.0]"},
		"of a local chart":     {map[string]string{"c/Chart.yaml": metadata("{name: lib, version: 1.0.0, repository: 'file://../lib'}"), "lib/Chart.yaml": "{apiVersion: v2, name: lib, version: 1.0.0, dependencies: [" + redis + "]}"}, "[redis-1.9.0]"},
		"of a vendored one":    {map[string]string{"c/Chart.yaml": metadata("{name: lib, version: 1.0.0}"), "c/charts/lib/Chart.yaml": "{apiVersion: v2, name: lib, version: 1.0.0, dependencies: [" + redis + "]}"}, "[]"},
		"no source":            {map[string]string{"c/Chart.yaml": metadata(redis, elsewhere)}, "c/Chart.yaml:6: dependency \"gone\" 1.x is not in charts/: its repository is no source of the fleet\n  hint: add it"},
		"off and no source":    {map[string]string{"c/Chart.yaml": metadata(redis, elsewhere), "c/values.yaml": "gone: {enabled: false}"}, "[redis-1.9.0]"},
		"no source, below":     {map[string]string{"c/Chart.yaml": metadata("{name: bad, version: 1.x, " + stable + "}")}, ".nave-remote/stable@chart:bad:1.x/Chart.yaml:5: dependency \"gone\" 1.x is not in charts/"},
		"no such version":      {map[string]string{"c/Chart.yaml": metadata("{name: redis, version: 9.x, " + stable + "}")}, "it has no chart:redis:9.x"},
		"a name of Helm's":     {map[string]string{"c/Chart.yaml": metadata("{name: redis, version: 1.x, repository: '@stable'}")}, "its repository is no URL of a chart repository"},
		"a path for a name":    {map[string]string{"c/Chart.yaml": metadata("{name: a/redis, version: 1.x, " + stable + "}")}, "\"a/redis\" is not the name of a chart"},
		"out of its archive":   {map[string]string{"c/Chart.yaml": metadata("{name: up, version: 1.x, " + stable + "}")}, "is outside of the repository"},
		"into another archive": {map[string]string{"c/Chart.yaml": metadata("{name: x, version: 1.x, repository: 'file://../.nave-remote/stable@chart:redis:1.x'}")}, "is outside of the repository"},
		"a circle":             {map[string]string{"c/Chart.yaml": metadata("{name: loop, version: 1.x, " + stable + "}")}, "lead on and on"},
		"place of a template":  {map[string]string{"c/Chart.yaml": metadata("{name: broken, alias: it, version: 1.x, " + stable + "}")}, ".nave-remote/stable@chart:broken:1.x/templates/m.yaml:2: "},
	} {
		t.Run(reason, func(t *testing.T) {
			files := chartWith(test.files).(tree.Source)
			files.Remotes = repository
			recorder := tree.Record(files)
			out, err := Render(recorder, Input{Dir: "c"})
			got := fmt.Sprint(err)
			if err == nil {
				names := []string{}
				for _, o := range out.Objects {
					names = append(names, o.GetName())
				}
				got = fmt.Sprint(names)
			}
			if !strings.Contains(got, test.want) || strings.Contains(got, "hunter2") {
				t.Errorf("got %s, want %s", got, test.want)
			}
			for _, read := range recorder.Reads() {
				if strings.Contains(read.Path, "hunter2") {
					t.Errorf("a password is in what is recorded: %q", read.Path)
				}
			}
			if manifest := tree.NewManifest(recorder.Reads(), files); manifest != nil {
				if _, same := manifest.Holds(files); !same {
					t.Error("the same files are another input")
				}
			}
		})
	}
}

// Another version for the range is another input of the render, and one that none asked for is not.
func TestFetchedDependenciesAreReads(t *testing.T) {
	repository := chartRepository{"chart:redis:1.x": packed("redis", "1.0.0", "")}
	files := chartWith(map[string]string{
		"c/Chart.yaml": "{apiVersion: v2, name: c, version: 1.0.0, dependencies: [{name: redis, version: 1.x, repository: 'https://charts.example.org/stable'}]}",
	}).(tree.Source)
	files.Remotes = repository
	recorder := tree.Record(files)
	if _, err := Render(recorder, Input{Dir: "c"}); err != nil {
		t.Fatal(err)
	}
	manifest := tree.NewManifest(recorder.Reads(), files)
	repository["chart:redis:2.x"] = packed("redis", "2.0.0", "")
	if _, same := manifest.Holds(files); !same {
		t.Error("a version that is not used makes a difference")
	}
	repository["chart:redis:1.x"] = packed("redis", "1.1.0", "")
	if _, same := manifest.Holds(files); same {
		t.Error("a new version makes no difference")
	}
}
