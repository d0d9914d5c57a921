package v1alpha1

import "testing"

func TestChartVersion(t *testing.T) {
	for _, c := range []ChartVersion{{"redis", "~18.1"}, {"team/redis", ">=1 <2 || 3.x"}} {
		if got, ok := ParseChartVersion(c.String()); !ok || got != c {
			t.Errorf("%q is %+v, %t", c, got, ok)
		}
	}
	for _, text := range []string{"", "branch:main", "chart:redis", "chart:redis:", "chart::1.0.0", "semver:1.x"} {
		if got, ok := ParseChartVersion(text); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if _, err := ParseRevision(ChartVersion{"redis", "1.x"}.String()); err == nil {
		t.Error("a chart is a revision")
	}
}
