package desired

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// release is a Delivery of the chart in charts/api as a release of Helm.
func release(values string, fields ...string) string {
	helm := "helm: {values: " + values + ", release: {}}"
	return delivery("api", append([]string{"source: {path: charts/api}", helm}, fields...)...)
}

func TestPlanOfReleases(t *testing.T) {
	const (
		settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {color: {{ .Values.color }}}\n"
		service  = "apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\nspec: {ports: [{port: 80}]}\n"
		kept     = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n"
		hook     = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}\n" +
			"spec: {template: {spec: {containers: [{name: a, image: '{{ .Values.color }}'}], restartPolicy: Never}}}\n"
		secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: '{{ .Values.color }}'}\n"
		chosen = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chosen}\ndata: {found: '{{ lookup \"v1\" \"Secret\" \"shop\" \"db\" | len }}'}\n"
		once   = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: once, annotations: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}\ndata: {color: COLOR}\n"
		broken = "{{ fail \"no color\" }}"
	)
	many := func(n int) string {
		return "{{ range until " + string(rune('0'+n)) + " }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c{{ . }}}\n{{ end }}"
	}
	chart := func(version string) string { return "{apiVersion: v2, name: api, version: " + version + "}\n" }
	tests := []struct {
		reason        string
		before, after map[string]string // beside fleetFiles and the chart; the second is the change
		want          string
	}{
		{
			"one value", nil, map[string]string{"deliveries/api.yaml": release("{color: red}")}, `
api on all 3 clusters
  its release gets another revision
  updated   ConfigMap shop/api
              data.color: "blue" -> "red"

3 of 3 clusters change
`}, {
			"a value that no template has", nil, map[string]string{"deliveries/api.yaml": release("{color: blue, more: 1}")}, `
api on all 3 clusters
  its release gets another revision

3 of 3 clusters change
`}, {
			"another chart, with an object more and two less, of which one is kept", map[string]string{"charts/api/templates/kept.yaml": kept, "charts/api/templates/gone.yaml": service},
			map[string]string{"charts/api/Chart.yaml": chart("2.0.0"), "charts/api/templates/kept.yaml": "", "charts/api/templates/gone.yaml": "",
				"charts/api/templates/db.yaml": secret}, `
api on all 3 clusters
  its release gets another revision
  deleted   Service shop/api
  created   Secret shop/db
  orphaned  ConfigMap shop/kept: kept, as its annotation helm.sh/resource-policy: keep asks

3 of 3 clusters change
`}, {
			"more than may go unasked", map[string]string{"charts/api/templates/many.yaml": many(8)}, map[string]string{"charts/api/templates/many.yaml": many(2)}, `
api on all 3 clusters
  its release gets another revision; nothing of the revision is written while anything of it is held, or refused
  held      ConfigMap shop/c2: 6 of the app's 9 objects would go, more than 5
  held      ConfigMap shop/c3: 6 of the app's 9 objects would go, more than 5
  held      ConfigMap shop/c4: 6 of the app's 9 objects would go, more than 5
  held      ConfigMap shop/c5: 6 of the app's 9 objects would go, more than 5
  held      ConfigMap shop/c6: 6 of the app's 9 objects would go, more than 5
  held      ConfigMap shop/c7: 6 of the app's 9 objects would go, more than 5
  what is held goes with confirmPrune: 329e0fd3df2b7f159c661cb80c867424

3 of 3 clusters change
`}, {
			"a new release", map[string]string{"deliveries/api.yaml": ""}, map[string]string{"deliveries/api.yaml": release("{color: blue}")}, `
api on all 3 clusters
  is installed as a release of Helm
  created   ConfigMap shop/api

3 of 3 clusters change
`}, {
			"an app that becomes one", map[string]string{"deliveries/api.yaml": delivery("api", "source: {path: charts/api}", "helm: {values: {color: blue}}")},
			map[string]string{"deliveries/api.yaml": release("{color: red}")}, `
api on all 3 clusters
  becomes a release of Helm: nothing is deleted, and what exists is taken over if it says adopt
  updated   ConfigMap shop/api
              data.color: "blue" -> "red"

3 of 3 clusters change
`}, {
			"hooks are no objects", map[string]string{"charts/api/templates/hook.yaml": hook}, map[string]string{"deliveries/api.yaml": release("{color: red}")}, `
api on all 3 clusters
  its release gets another revision
  updated   ConfigMap shop/api
              data.color: "blue" -> "red"

3 of 3 clusters change
`}, {
			"templates that ask the cluster", map[string]string{"charts/api/templates/chosen.yaml": chosen}, map[string]string{"deliveries/api.yaml": release("{color: red}")}, `
api on all 3 clusters
  its release gets another revision; on the cluster it may come to something else: lookup of "v1 Secret shop/db" returns nothing: rendering has no cluster
  updated   ConfigMap shop/api
              data.color: "blue" -> "red"

3 of 3 clusters change
`}, {
			"templates that ask what was before", map[string]string{"charts/api/templates/asks.yaml": "{{ if .Release.IsUpgrade }}{{ end }}"},
			map[string]string{"deliveries/api.yaml": release("{color: red}")}, `
api on all 3 clusters
  its release gets another revision; on the cluster it may come to something else: its templates ask whether it is installed or upgraded, or for the revision
  updated   ConfigMap shop/api
              data.color: "blue" -> "red"

3 of 3 clusters change
`}, {
			"what Kustomizations only create", map[string]string{"charts/api/templates/once.yaml": strings.Replace(once, "COLOR", "blue", 1)},
			map[string]string{"charts/api/templates/once.yaml": strings.Replace(once, "COLOR", "red", 1)}, `
api on all 3 clusters
  its release gets another revision
  updated   ConfigMap shop/once
              data.color: "blue" -> "red"

3 of 3 clusters change
`}, {
			"another release", map[string]string{"charts/api/templates/gone.yaml": service}, map[string]string{
				"charts/api/templates/gone.yaml": "", "deliveries/api.yaml": strings.Replace(release("{color: blue}"), "helm: {", "helm: {releaseName: other, ", 1)}, `
api on all 3 clusters
  is installed as another release of Helm: the one before, shop/api, stays with its objects
  created   ConfigMap shop/other

3 of 3 clusters change
`}, {
			"another way to bring it about", nil, map[string]string{"deliveries/api.yaml": strings.Replace(release("{color: blue}"), "release: {}", "release: {retries: 3}", 1)}, `
api on all 3 clusters
  how its release is brought about changes, and no revision follows

3 of 3 clusters change
`}, {
			"templates that fail", nil, map[string]string{"charts/api/templates/broken.yaml": broken}, `
api on all 3 clusters
  its release gets another revision; which objects change cannot be told: chart/templates/broken.yaml:1: no color

3 of 3 clusters change
`}, {
			"what limits refuse", nil, map[string]string{"charts/api/templates/gone.yaml": service, "deliveries/api.yaml": release("{color: blue}", "limits: {kinds: [ConfigMap]}")}, `
api on all 3 clusters
  its options change: limits: (none) -> {"kinds":["ConfigMap"]}; its release gets another revision; nothing of the revision is written while anything of it is held, or refused
  failed    Service shop/api: limits allow the kinds ConfigMap, not Service

3 of 3 clusters change
`}}
	for _, test := range tests {
		r := newRepository(t)
		r.write(fleetFiles())
		r.write(map[string]string{"deliveries/api.yaml": release("{color: blue}"), "charts/api/Chart.yaml": chart("1.0.0"), "charts/api/templates/api.yaml": settings})
		r.commit(test.before)
		r.commit(test.after)
		have := planOf(t, r).String()
		if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
	}
}
