package render

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
)

// fleet is a repository of apps with a base and an overlay of four objects each, with hashes computed once, as Git has
// them.
type fleet struct {
	fstest.MapFS
	hashes    map[string]string
	directory fs.FileInfo
}

// Stat looks a path up; that of MapFS searches all of them.
func (f *fleet) Stat(name string) (fs.FileInfo, error) {
	if _, ok := f.hashes[name]; !ok {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	if _, file := f.MapFS[name]; !file {
		return f.directory, nil
	}
	return f.MapFS.Stat(name)
}

func (f *fleet) Hash(name string) (string, bool) {
	hash, ok := f.hashes[name]
	return hash, ok
}

// newFleet makes a repository of n apps. salt goes into a file that no app reads.
func newFleet(n int, salt string) *fleet {
	f := &fleet{MapFS: fstest.MapFS{}, hashes: map[string]string{}}
	put := func(name, data string) { f.MapFS[name] = &fstest.MapFile{Data: []byte(data)} }
	put("README.md", salt)
	for i := range n {
		name := fmt.Sprintf("app-%04d", i)
		put("apps/"+name+"/base/kustomization.yaml", "resources: [all.yaml]\n")
		put("apps/"+name+"/base/all.yaml", fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {selector: {app: %[1]s}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %[1]s}
spec: {rules: [{host: %[1]s.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 0
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - {name: web, image: nginx, resources: {requests: {cpu: 10m}}}
`, name))
		put("apps/"+name+"/overlays/prod/kustomization.yaml", "resources: [../../base]\nnamespace: shop\nimages: [{name: nginx, newTag: '1'}]\npatches: [{path: patch.yaml}]\n")
		put("apps/"+name+"/overlays/prod/patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: "+name+"}\nspec: {template: {spec: {containers: [{name: web, env: [{name: A, value: b}]}]}}}\n")
	}
	parts := map[string][][]byte{}
	for _, name := range slices.Sorted(maps.Keys(f.MapFS)) {
		data := f.MapFS[name].Data
		f.hashes[name] = object.Digest(data)
		for dir := name; dir != "."; {
			dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)]
			if dir == "" {
				dir = "."
			}
			parts[dir] = append(parts[dir], []byte(name), data)
		}
	}
	for dir, content := range parts {
		f.hashes[dir] = object.Digest(content...)
	}
	f.directory, _ = f.MapFS.Stat("apps")
	return f
}

func (f *fleet) request(i int) Request {
	return Request{Files: f, Hashes: f, Path: fmt.Sprintf("apps/app-%04d/overlays/prod", i), Params: app.Render{Namespace: "shop"}}
}

// BenchmarkCold renders overlays of four objects that nobody rendered before.
func BenchmarkCold(b *testing.B) {
	for name, options := range map[string]Options{"in-process": {}, "worker": {WorkerCommand: workerCommand(b)}} {
		b.Run(name, func(b *testing.B) {
			f := newFleet(1, "")
			r := New(options)
			defer r.Close()
			if _, err := r.Render(b.Context(), f.request(0)); err != nil { // Kustomize's schema is loaded, a worker started
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				request := f.request(0)
				request.Params.Namespace = fmt.Sprintf("shop-%d", i)
				if result, err := r.Render(b.Context(), request); err != nil || result.FromCache {
					b.Fatal(result, err)
				}
				i++
			}
		})
	}
}

// BenchmarkWarm asks again for an overlay after a commit that does not concern it.
func BenchmarkWarm(b *testing.B) {
	f := newFleet(1, "")
	r := New(Options{})
	if _, err := r.Render(b.Context(), f.request(0)); err != nil {
		b.Fatal(err)
	}
	commits := []*fleet{newFleet(1, "one"), newFleet(1, "two")}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if result, err := r.Render(b.Context(), commits[i%2].request(0)); err != nil || !result.FromCache {
			b.Fatal(result, err)
		}
		i++
	}
}

// BenchmarkFleet is a commit to the README of a repository of 1,200 apps: from memory, and after a restart from disk.
func BenchmarkFleet(b *testing.B) {
	const apps = 1200
	dir := b.TempDir()
	first := newFleet(apps, "")
	r := New(Options{CacheDir: dir})
	for i := range apps {
		if _, err := r.Render(b.Context(), first.request(i)); err != nil {
			b.Fatal(err)
		}
	}
	commits := []*fleet{newFleet(apps, "one"), newFleet(apps, "two")}
	all := func(b *testing.B, r *Renderer, f *fleet) {
		for i := range apps {
			if result, err := r.Render(b.Context(), f.request(i)); err != nil || !result.FromCache {
				b.Fatal(result, err)
			}
		}
	}
	b.Run("memory", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			all(b, r, commits[i%2])
			i++
		}
	})
	b.Run("restart", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			all(b, New(Options{CacheDir: dir}), commits[0])
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	f := newFleet(1, "")
	data, err := fs.ReadFile(f, "apps/app-0000/base/all.yaml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := new(manifest.Decoder).Decode("all.yaml", data); problems != nil {
			b.Fatal(problems)
		}
	}
}
