package provenance

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// newKey makes a key.
func newKey(tb testing.TB) *openpgp.Entity {
	tb.Helper()
	key, err := openpgp.NewEntity("Tess", "", "tess@example.com", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// ring is the public part of keys.
func ring(tb testing.TB, armored bool, keys ...*openpgp.Entity) []byte {
	tb.Helper()
	var out bytes.Buffer
	for _, key := range keys {
		if err := key.Serialize(&out); err != nil {
			tb.Fatal(err)
		}
	}
	if !armored {
		return out.Bytes()
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return text.Bytes()
}

// sign makes a statement as helm package --sign does.
func sign(tb testing.TB, key *openpgp.Entity, body string) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, key.PrivateKey, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write([]byte(body)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

var claim = Claim{Chart: "team/web", Version: "1.0.0", Digest: strings.Repeat("ab", 32)}

const metadata = "apiVersion: v2\nname: web\nversion: 1.0.0\n\n...\n"

func TestVerify(t *testing.T) {
	key, other := newKey(t), newKey(t)
	good := sign(t, key, metadata+"files:\n  web-1.0.0.tgz: sha256:"+claim.Digest+"\n")
	for reason, test := range map[string]struct {
		statement, keyring []byte
		want               string
	}{
		"signed":            {good, ring(t, false, key), ""},
		"by one of several": {good, ring(t, true, other, key), ""},
		"by a stranger":     {good, ring(t, false, other), "checking the signature"},
		"no keyring":        {good, nil, "reading the keyring: it holds no key"},
		"no keys":           {good, []byte("hello"), "reading the keyring"},
		"unsigned":          {[]byte(metadata), ring(t, false, key), "not a signed message"},
		"changed":           {bytes.Replace(good, []byte("name: web"), []byte("name: wob"), 1), ring(t, false, key), "checking the signature"},
		"more after it":     {append(bytes.Clone(good), good...), ring(t, false, key), "more than one message"},
		"another version":   {sign(t, key, metadata+"files:\n  web-0.9.0.tgz: sha256:"+claim.Digest+"\n"), ring(t, false, key), "says nothing of web-1.0.0.tgz"},
		"another archive":   {sign(t, key, metadata+"files:\n  web-1.0.0.tgz: sha256:00\n"), ring(t, false, key), "has the digest sha256:00"},
		"no digests":        {sign(t, key, "name: web\n"), ring(t, false, key), "states no digests"},
		"no YAML":           {sign(t, key, metadata+"files: [\n"), ring(t, false, key), "reading its provenance file"},
	} {
		t.Run(reason, func(t *testing.T) {
			err := Verify(test.statement, test.keyring, claim)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("have %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	key := newKey(f)
	keys := ring(f, false, key)
	f.Add(sign(f, key, metadata+"files: {}\n"), keys)
	f.Fuzz(func(t *testing.T, statement, given []byte) {
		if Verify(statement, given, claim) == nil || Verify(statement, keys, claim) == nil {
			t.Error("verified what nobody signed")
		}
	})
}
