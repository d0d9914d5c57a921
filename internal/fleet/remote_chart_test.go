package fleet

import (
	"strings"
	"testing"
	"testing/fstest"

	"nave.dev/api/v1alpha1"
)

func TestChartSource(t *testing.T) {
	f, problems := Load(fstest.MapFS{"fleet.yaml": {Data: []byte(`apiVersion: nave.dev/v1alpha1
kind: Fleet
metadata: {name: shop}
spec:
  sources:
  - {name: charts, type: helm, url: "oci://registry.example.com/charts", deliveries: [web]}
`)}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	same := func(s v1alpha1.Source) bool { return s.Name == "charts" }
	if s, err := f.ChartSource("web", "registry.example.com/charts", same); err != nil || s.Name != "charts" {
		t.Errorf("found %+v, %v", s, err)
	}
	none := func(v1alpha1.Source) bool { return false }
	for _, test := range []struct {
		delivery, repository string
		same                 func(v1alpha1.Source) bool
		want                 string
	}{
		{"api", "registry.example.com/charts", same, `source "charts" may not be used by Delivery "api", only by web`},
		{"web", "registry.example.com/other", none, `spec.sources: {name: other, type: helm, url: "oci://registry.example.com/other", deliveries: [web]}`},
		{"web", "https://charts.example.com/stable", none, `{name: stable, type: helm, url: "https://charts.example.com/stable", deliveries: [web]}`},
	} {
		if _, err := f.ChartSource(test.delivery, test.repository, test.same); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have %v, want %q", test.repository, err, test.want)
		}
	}
}
