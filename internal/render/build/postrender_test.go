package build

import (
	"strings"
	"testing"

	"nave.dev/internal/app"
)

func TestPostRender(t *testing.T) {
	const rendered = `apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {image: "1"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: j, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: [{name: c, image: busybox}]}}}
`
	patch := app.PostRenderer{Patches: []app.KustomizePatch{{Patch: `[{"op": "replace", "path": "/data/image", "value": "2"}]`, Target: &app.Selector{Kind: "ConfigMap"}}}}
	images := app.PostRenderer{Images: []string{"busybox=other:3"}}
	for _, test := range []struct {
		reason  string
		release app.Release
		want    []string // in the output
		not     []string
	}{
		{"a patch, then images, also of hooks", app.Release{PostRenderers: []app.PostRenderer{patch, images}}, []string{`image: "2"`, "image: other:3"}, nil},
		{"hooks are left", app.Release{PostRenderers: []app.PostRenderer{images}, KeepHooks: true}, []string{"image: busybox", "helm.sh/hook: pre-install"}, []string{"other:3"}},
		{"metadata", app.Release{CommonMetadata: app.Metadata{Labels: map[string]string{"team": "x"}}}, []string{"team: x", "helm.sh/hook: pre-install"}, nil},
	} {
		out, err := postRender(&test.release, []byte(rendered))
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if !PostRenders(&test.release) {
			t.Errorf("%s: it has no post-renderers", test.reason)
		}
		for _, text := range test.want {
			if !strings.Contains(string(out), text) {
				t.Errorf("%s: no %q in\n%s", test.reason, text, out)
			}
		}
		for _, text := range test.not {
			if strings.Contains(string(out), text) {
				t.Errorf("%s: %q in\n%s", test.reason, text, out)
			}
		}
	}
	if PostRenders(&app.Release{}) {
		t.Error("a release without post-renderers has some")
	}
}
