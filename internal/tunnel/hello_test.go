package tunnel

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestDecodeHello(t *testing.T) {
	wrap := func(json string) string { return base64.RawURLEncoding.EncodeToString([]byte(json)) }
	tests := []struct {
		reason, header, want string // want: of the error; empty for none
	}{
		{"as it is", wrap(`{"protocol":{"major":1,"minor":0},"product":"v1"}`), ""},
		{"a later minor version says more", wrap(`{"protocol":{"major":1,"minor":7},"product":"v1","more":{"x":1}}`), ""},
		{"nothing", "", "reading the hello"},
		{"no base64", "%%%", "reading the hello"},
		{"no JSON", wrap("x"), "reading the hello"},
		{"no version", wrap(`{}`), "version 0.0"},
		{"a version below any", wrap(`{"protocol":{"major":1,"minor":-1}}`), "version 1.-1"},
		{"a version that is a book", wrap(`{"protocol":{"major":1},"product":"` + strings.Repeat("x", 129) + `"}`), "too long"},
		{"larger than any", strings.Repeat("x", maxHello+1), "more than"},
	}
	for _, test := range tests {
		_, err := decodeHello(test.header)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v", test.reason, err)
		}
	}
	forged, err := decodeHello(wrap(`{"protocol":{"major":1},"product":"v1\nlevel=error","instance":"a\u001b[2J"}`))
	if err != nil || strings.ContainsAny(forged.Product+forged.Instance, "\n\x1b") {
		t.Errorf("a line can be forged: %q, error %v", forged, err)
	}
}

func FuzzDecodeHello(f *testing.F) {
	good, err := Hello{Protocol: Protocol, Product: "v1", Instance: "a", Roots: "x"}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		h, err := decodeHello(header)
		if err != nil {
			return
		}
		if h.Protocol.Major < 1 || len(h.Product) > 128 || strings.ContainsAny(h.Product+h.Instance, "\r\n\x00") {
			t.Errorf("read was %+v", h)
		}
		again, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if second, err := decodeHello(again); err != nil && len(again) <= maxHello || err == nil && second != h {
			t.Errorf("%+v became %+v, error %v", h, second, err)
		}
	})
}

func FuzzReadRoots(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, roots []byte) {
		if _, err := readRoots(roots); err == nil && (len(roots) > maxHello || len(roots) == 0) {
			t.Error("roots without bounds were taken")
		}
	})
}
