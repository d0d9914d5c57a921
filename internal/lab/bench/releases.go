package bench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"nave.dev/internal/lab"
)

// recordSize is how many bytes a record of Helm has in a Secret: what one of the bench's
// chart has, in thousands.
const recordSize = 4 << 10

// sharedChart is the directory of the chart that all releases are of.
const sharedChart = "charts/web/"

// helmReleases measures 200 HelmReleases on a cluster. The floor applies the objects
// that they come to, and one Secret for each that is as long as Helm's record.
func helmReleases(ctx context.Context, s *site) ([]Figure, error) {
	return s.thenCommits(ctx, fleet{apps: 200, by: releases}, "a value of one release", func(f fleet) ([]Figure, error) { return s.upgrades(ctx, f) })
}

// upgrades measures how long a value of one release takes to be on the cluster, and
// what an upgrade asks and writes.
func (s *site) upgrades(ctx context.Context, f fleet) ([]Figure, error) {
	w, err := s.watched(ctx, f)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var took []time.Duration
	requests := counts{}
	commits := min(edits, f.apps)
	for app := range commits {
		revision := fmt.Sprintf("edit-%d", app)
		want := map[place]string{}
		for _, cluster := range s.clusters {
			want[place{cluster, "Deployment", namespaceOf(app), appName(app)}] = revision
		}
		before := s.meter.read()
		reached := w.expect(want)
		_, pushed, err := s.change(ctx, files{"bootstrap/" + appName(app) + ".yaml": helmRelease(app, revision)}, revision)
		if err != nil {
			return nil, err
		}
		times, err := w.await(ctx, reached, convergence)
		if err != nil {
			return nil, err
		}
		took = append(took, last(times).Sub(pushed))
		if err := s.lab.AwaitFleet(ctx, quietly); err != nil { // Helm waits, and records that it is done
			return nil, err
		}
		if err := lab.Pause(ctx, time.Second); err != nil { // requests that follow belong to it
			return nil, err
		}
		for what, n := range s.meter.read().since(before) {
			requests[what] += n
		}
	}
	s.kept = fleet{} // the repository is another one now
	upgrades := float64(commits * len(s.clusters))
	each := func(name string, verbs ...string) Figure {
		return Figure{Name: name + " an upgrade", Value: float64(requests.sum(verb(verbs...))) / upgrades}
	}
	return []Figure{
		seconds("after the push, p50", quantile(took, 0.5)),
		seconds("after the push, p99", quantile(took, 0.99)).within(treeBar),
		each("applies", "apply"),
		each("other writes", "create", "update", "patch", "delete"),
		each("gets", "get"),
		each("lists", "list"),
		each("watches", "watch"),
	}, nil
}

// helmRelease returns one of the shared chart. Helm waits for nothing: no controller
// sees to the objects while two halves of a run are compared.
func helmRelease(app int, revision string) string {
	return fmt.Sprintf(`apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: %s
  namespace: %s
spec:
  interval: 10m
  chart:
    spec:
      chart: ./%s
      sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}
  install: {disableWait: true}
  upgrade: {disableWait: true}
  values: {revision: %s}
`, appName(app), namespaceOf(app), strings.TrimSuffix(sharedChart, "/"), revision)
}

// shared writes the chart that all releases are of.
func (f fleet) shared(all files) {
	all[sharedChart+"Chart.yaml"] = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
	all[sharedChart+"values.yaml"] = "revision: 1\n"
	for name, text := range four("{{ .Release.Name }}", "") {
		all[sharedChart+"templates/"+name] = strings.Replace(text, revisionKey+`: "1"`, revisionKey+": {{ .Values.revision | quote }}", 1)
	}
}

// released returns what the releases come to on a cluster, with marks as long as
// Helm's, and a record for each.
func (f fleet) released(cluster string) (objects []stated, err error) {
	for app := range f.apps {
		var text strings.Builder
		for _, document := range four(appName(app), namespaceOf(app)) {
			text.WriteString("---\n" + document)
		}
		content := make([]byte, recordSize*3/4)
		rand.Read(content) // never fails
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\nmetadata:\n  name: sh.floor.release.v1.%s.v1\n  namespace: %s\n  annotations: {}\ndata:\n  release: %s\n",
			appName(app), namespaceOf(app), base64.StdEncoding.EncodeToString(content))
		found, err := decode(cluster, []byte(text.String()))
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}
