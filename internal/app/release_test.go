package app

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func chartOf(files ...string) Chart {
	var c Chart
	for i := 0; i < len(files); i += 2 {
		c.Files = append(c.Files, ChartFile{Name: files[i], Data: []byte(files[i+1])})
	}
	return c
}

func aRelease() *Release {
	return &Release{
		Name: "cart", Namespace: "shop", Chart: chartOf("Chart.yaml", "name: cart", "templates/a.yaml", "a: b"),
		Values:     map[string]any{"replicas": int64(1) << 60, "share": 0.5, "list": []any{1, "two"}},
		ValuesFrom: []ValuesFrom{{Kind: "Secret", Namespace: "shop", Name: "s", Target: "password"}},
		Upgrade:    ReleaseAction{Remediation: Remediation{Retries: 3}},
	}
}

func TestReleaseBundle(t *testing.T) {
	want, err := NewReleaseBundle(aRelease())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		reason       string
		change       func(*Release)
		same, wanted bool // the digest of the bundle, and what the release should be
	}{
		{"the same", func(*Release) {}, true, true},
		{"files in another order", func(r *Release) {
			r.Chart = chartOf("templates/a.yaml", "a: b", "Chart.yaml", "name: cart")
		}, true, true},
		{"numbers of another type", func(r *Release) { r.Values["list"] = []any{float64(1), "two"} }, true, true},
		{"another value", func(r *Release) { r.Values["share"] = 0.6 }, false, false},
		{"another default", func(r *Release) { r.Defaults = map[string]any{"a": "b"} }, false, false},
		{"another file", func(r *Release) { r.Chart.Files[1].Data = []byte("a: c") }, false, false},
		{"a file that runs into the next", func(r *Release) { r.Chart = chartOf("Chart.yaml", "name: carttemplates/a.yaml", "a: b", "") }, false, false},
		{"another reference", func(r *Release) { r.ValuesFrom[0].Optional = true }, false, false},
		{"another name", func(r *Release) { r.Name = "cart2" }, false, false},
		{"a patch", func(r *Release) { r.PostRenderers = []PostRenderer{{Images: []string{"a=b"}}} }, false, false},
		{"how it is brought about", func(r *Release) { r.Upgrade.Remediation.Retries, r.Timeout = 4, time.Hour }, false, true},
		{"what is done about drift", func(r *Release) { r.Drift = DriftCorrected }, false, true},
	}
	for _, test := range tests {
		r := aRelease()
		test.change(r)
		have, err := NewReleaseBundle(r)
		if err != nil {
			t.Errorf("%s: %v", test.reason, err)
			continue
		}
		if (have.Digest == want.Digest) != test.same || (have.Release.Wanted() == want.Release.Wanted()) != test.wanted {
			t.Errorf("%s: bundle %s, wanted %s; of the first %s and %s", test.reason, have.Digest, have.Release.Wanted(), want.Digest, want.Release.Wanted())
		}
	}
}

func TestReleaseBundleRefuses(t *testing.T) {
	for reason, change := range map[string]func(*Release){
		"no name":      func(r *Release) { r.Name = "" },
		"no namespace": func(r *Release) { r.Namespace = "" },
		"no chart":     func(r *Release) { r.Chart = Chart{} },
		"no JSON":      func(r *Release) { r.Values["a"] = func() {} },
	} {
		r := aRelease()
		change(r)
		if bundle, err := NewReleaseBundle(r); err == nil {
			t.Errorf("%s: %+v", reason, bundle)
		}
	}
}

func TestEncodeReleaseBundle(t *testing.T) {
	want, err := NewReleaseBundle(aRelease())
	if err != nil {
		t.Fatal(err)
	}
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	have, err := DecodeBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	for _, other := range []string{
		strings.Replace(string(data), `"share":0.5`, `"share":0.6`, 1),
		strings.Replace(string(data), `"templates/a.yaml"`, `"templates/b.yaml"`, 1),
		strings.Replace(string(data), `"chart":`, `"art":`, 1),
		strings.Replace(string(data), `"objects":null`, `"objects":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}]`, 1),
	} {
		if other == string(data) {
			t.Fatal("nothing was changed")
		}
		if bundle, err := DecodeBundle([]byte(other)); err == nil {
			t.Errorf("other content under the same name: %+v", bundle)
		}
	}
}
