package app

import (
	"strings"
	"testing"
)

func TestArtifactRef(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for reason, test := range map[string]struct {
		of         Artifact
		ref, named string
	}{
		"a digest counts first":       {Artifact{Digest: digest, Versions: "1.x", Tag: "main"}, digest, digest},
		"a range counts before a tag": {Artifact{Versions: "1.x", Tag: "main"}, "1.x", ""},
		"a tag":                       {Artifact{Tag: "main"}, "main", "main"},
		"nothing":                     {Artifact{}, "latest", "latest"},
	} {
		if test.of.Ref() != test.ref || test.of.Named() != test.named {
			t.Errorf("%s: %q and %q", reason, test.of.Ref(), test.of.Named())
		}
	}
}

func TestArtifactValidate(t *testing.T) {
	for want, a := range map[string]Artifact{
		"not the name":           {Name: "../secret"},
		"is not sha256:":         {Name: "web", Digest: "sha512:00"},
		"not a regular":          {Name: "web", Filter: "("},
		"of at most 1024 bytes":  {Name: "web", Filter: strings.Repeat("a", 1025)},
		`"a/b" is not a tag`:     {Name: "web", Tag: "a/b"},
		`"latest?" is not a tag`: {Name: "web", Tag: "latest?"},
	} {
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, not %q", a, err, want)
		}
	}
}

func FuzzParseArtifact(f *testing.F) {
	f.Add(Artifact{Name: "web", Versions: ">=1 <2", Filter: "-rc$", Files: true, Layer: "application/x+gzip"}.String())
	f.Add("artifact:web?tag=v1&tag=v2")
	f.Add("chart:web:1.0.0")
	f.Fuzz(func(t *testing.T, text string) {
		if a, ok := ParseArtifact(text); ok && a.String() != text {
			t.Errorf("%q was read as %q", text, a)
		}
	})
}
