package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"
)

func pemBytes(t testing.TB, data []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no PEM: %q", data)
	}
	return block.Bytes
}

func TestParseIdentity(t *testing.T) {
	long := strings.Repeat("a", 254)
	tests := []struct {
		reason, uri string
		want        Identity
	}{
		{"as it is written", "nave://test/prod-1/12", Identity{"test", "prod-1", 12}},
		{"names may have dots", "nave://a.b/c.d/1", Identity{"a.b", "c.d", 1}},
		{"another scheme", "http://test/prod/1", Identity{}},
		{"a name of a path", "nave://test/../1", Identity{}},
		{"a name that is empty", "nave://test//1", Identity{}},
		{"a user in front of the fleet", "nave://a@test/prod/1", Identity{}},
		{"a part too many", "nave://test/prod/1/2", Identity{}},
		{"an escape", "nave://test/pr%6fd/1", Identity{}},
		{"upper case, which is another name to some", "nave://test/Prod/1", Identity{}},
		{"a number with a sign", "nave://test/prod/+1", Identity{}},
		{"a number with a zero", "nave://test/prod/01", Identity{}},
		{"numbers begin at 1", "nave://test/prod/0", Identity{}},
		{"a number too large", "nave://test/prod/9223372036854775808", Identity{}},
		{"a name too long", "nave://test/" + long + "/1", Identity{}},
	}
	for _, test := range tests {
		got, err := ParseIdentity(test.uri)
		if (test.want != Identity{}) != (err == nil) || err == nil && got != test.want {
			t.Errorf("%s: %q is %+v, error %v", test.reason, test.uri, got, err)
		}
	}
}

// request makes a request for a certificate as a stranger would.
func request(t testing.TB, template x509.CertificateRequest, key any, uris ...string) []byte {
	t.Helper()
	for _, uri := range uris {
		parsed, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, parsed)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: der})
}

func TestReadRequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := request(t, x509.CertificateRequest{}, key, "nave://test/prod/1")
	broken := pemBytes(t, good)
	broken[len(broken)-1] ^= 1
	tests := []struct {
		reason string
		data   []byte
		want   string // of the error; empty for none
	}{
		{"as agents make it", good, ""},
		{"a signature that is not the key's", pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: broken}), "request"},
		{"nobody is named", request(t, x509.CertificateRequest{}, key), "does not name one"},
		{"two are named", request(t, x509.CertificateRequest{}, key, "nave://test/prod/1", "nave://test/dev/1"), "does not name one"},
		{"a host is named as well", request(t, x509.CertificateRequest{DNSNames: []string{ServerName}}, key, "nave://test/prod/1"), "does not name one"},
		{"a key of another curve", request(t, x509.CertificateRequest{}, large, "nave://test/prod/1"), "no key"},
		{"a key that costs more to check", request(t, x509.CertificateRequest{}, other, "nave://test/prod/1"), "no key"},
		{"something else in PEM", []byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"), "not PEM"},
		{"larger than any", append(good, make([]byte, maxRequest)...), "more than"},
	}
	for _, test := range tests {
		got, err := ReadRequest(test.data)
		if test.want == "" && (err != nil || got.Identity != Identity{"test", "prod", 1}) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %+v, error %v", test.reason, got.Identity, err)
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("nave://test/prod/1")
	f.Add("nave://test/prod/-1")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err == nil && (id.String() != s || id.Validate() != nil) {
			t.Errorf("%q was read as %q", s, id)
		}
	})
}

func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	if err := Init(dir, "test", start); err != nil {
		f.Fatal(err)
	}
	hub, err := Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	good, claims, err := hub.Token("prod", 1, 0, start)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("nave1.e30.AAAA." + checksum("nave1.e30.AAAA"))
	f.Fuzz(func(t *testing.T, token string) {
		got, err := hub.Verify(token, start.Add(time.Minute))
		if err == nil && got != claims {
			t.Errorf("%q counts, as %+v", token, got)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	key, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	good, err := NewRequest(key, Identity{"test", "prod", 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pemBytes(f, good))
	f.Fuzz(func(t *testing.T, der []byte) {
		got, err := ReadRequest(pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: der}))
		if err == nil && got.Identity.Validate() != nil {
			t.Errorf("%+v was read", got.Identity)
		}
	})
}

func FuzzDecode(f *testing.F) {
	dir := f.TempDir()
	if err := Init(dir, "test", start); err != nil {
		f.Fatal(err)
	}
	s, err := load(dir + "/" + File)
	if err != nil {
		f.Fatal(err)
	}
	good, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := decode(data); err == nil && (s.key == nil || s.fleet == "") {
			t.Error("an authority without key or fleet was read")
		}
	})
}
