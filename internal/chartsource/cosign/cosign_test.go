package cosign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

var digest = "sha256:" + strings.Repeat("ab", 32)

// payload is what Cosign signs of a manifest.
func payload(digest string) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.example.com/web"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, digest)
}

func sign(tb testing.TB, key crypto.Signer, payload []byte) Statement {
	tb.Helper()
	sum := sha256.Sum256(payload)
	message, how := sum[:], crypto.SignerOpts(crypto.SHA256)
	if _, whole := key.(ed25519.PrivateKey); whole {
		message, how = payload, crypto.Hash(0)
	}
	signature, err := key.Sign(rand.Reader, message, how)
	if err != nil {
		tb.Fatal(err)
	}
	return Statement{payload, signature}
}

func public(tb testing.TB, keys ...crypto.Signer) (data []byte) {
	tb.Helper()
	for _, key := range keys {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			tb.Fatal(err)
		}
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return data
}

func ec(tb testing.TB, curve elliptic.Curve) crypto.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func rsaKey(tb testing.TB) crypto.Signer {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func TestVerifyByKinds(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := ec(t, elliptic.P256())
	for kind, key := range map[string]crypto.Signer{
		"P-256": ec(t, elliptic.P256()), "P-384": ec(t, elliptic.P384()), "P-521": ec(t, elliptic.P521()), "RSA": rsaKey(t), "Ed25519": edwards,
	} {
		s := sign(t, key, payload(digest))
		if err := Verify([]Statement{sign(t, other, payload(digest)), s}, public(t, key), digest); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for i := range s.Signature {
			bad := Statement{s.Payload, bytes.Clone(s.Signature)}
			bad.Signature[i] ^= 1
			if Verify([]Statement{bad}, public(t, key), digest) == nil {
				t.Errorf("%s: byte %d of the signature does not count", kind, i)
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, other := ec(t, elliptic.P256()), ec(t, elliptic.P256())
	good := sign(t, key, payload(digest))
	elsewhere := "sha256:" + strings.Repeat("cd", 32)
	for reason, test := range map[string]struct {
		statements []Statement
		keys       []byte
		want       string
	}{
		"unsigned":            {nil, public(t, key), "it is not signed by Cosign"},
		"by somebody else":    {[]Statement{sign(t, other, payload(digest))}, public(t, key), "no key that is trusted has signed it"},
		"tampered with":       {[]Statement{{payload(digest + " "), good.Signature}}, public(t, key), "no key that is trusted has signed it"},
		"replayed":            {[]Statement{sign(t, key, payload(elsewhere))}, public(t, key), `is about "` + elsewhere + `", and not about this artifact`},
		"replayed with noise": {[]Statement{sign(t, key, payload(elsewhere)), sign(t, other, payload(digest))}, public(t, key), "not about this artifact"},
		"of another kind":     {[]Statement{sign(t, key, []byte(`{"critical":{"image":{"docker-manifest-digest":"`+digest+`"},"type":"atomic"}}`))}, public(t, key), `what is signed is "atomic"`},
		"of nothing":          {[]Statement{sign(t, key, []byte("web"))}, public(t, key), "cannot be read"},
		"no signature":        {[]Statement{{Payload: payload(digest)}}, public(t, key), "no key that is trusted has signed it"},
		"no keys":             {[]Statement{good}, nil, "or none"},
	} {
		if err := Verify(test.statements, test.keys, digest); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have %v, want %q", reason, err, test.want)
		}
	}
	if err := Verify([]Statement{good}, public(t, other, key), digest); err != nil {
		t.Errorf("by the second of two keys: %v", err)
	}
}

func TestKeysRefused(t *testing.T) {
	private, err := x509.MarshalPKCS8PrivateKey(ec(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	small, err := x509.MarshalPKIXPublicKey(ec(t, elliptic.P224()).Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for want, data := range map[string][]byte{
		"or none":               []byte("hello"),
		"more than public keys": append(public(t, ec(t, elliptic.P256())), "and more"...),
		"no PUBLIC KEY":         block("PRIVATE KEY", private),
		"key 1":                 block("PUBLIC KEY", []byte("x")),
		"is not accepted":       block("PUBLIC KEY", small),
	} {
		if keys, err := Keys(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %d keys and %v, want %q", len(keys), err, want)
		}
	}
}

func TestLayers(t *testing.T) {
	layer := func(kind, size, signature string) string {
		return fmt.Sprintf(`{"mediaType": %q, "size": %s, "digest": %q, "annotations": {%q: %q}}`, kind, size, digest, annotation, signature)
	}
	found, err := Layers([]byte(`{"layers": [` + strings.Join([]string{
		layer(payloadMedia, "10", "c2ln"), layer("application/x", "10", "c2ln"), layer(payloadMedia, "10", "???"), layer(payloadMedia, "10", ""),
	}, ",") + `]}`))
	if err != nil || len(found) != 1 || string(found[0].Signature) != "sig" {
		t.Errorf("%+v, %v", found, err)
	}
	for want, data := range map[string]string{
		"not valid":    "{",
		"65537 bytes":  `{"layers": [` + layer(payloadMedia, "65537", "c2ln") + `]}`,
		"-1 bytes":     `{"layers": [` + layer(payloadMedia, "-1", "c2ln") + `]}`,
		"more than 50": `{"layers": [` + strings.TrimSuffix(strings.Repeat(layer(payloadMedia, "1", "c2ln")+",", 51), ",") + `]}`,
	} {
		if _, err := Layers([]byte(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %q", err, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := ec(f, elliptic.P256())
	good, keys := sign(f, key, payload(digest)), public(f, key)
	f.Add(payload(digest), []byte("x"), []byte(`{"layers": [{}]}`), keys)
	f.Fuzz(func(t *testing.T, text, signature, manifest, more []byte) {
		if Verify([]Statement{{text, signature}}, keys, digest) == nil && !bytes.Equal(text, good.Payload) {
			t.Errorf("%q is signed", text)
		}
		if found, err := Layers(manifest); err == nil && len(found) > maxStatements {
			t.Errorf("%d signatures", len(found))
		}
		if trusted, err := Keys(more); err == nil && len(trusted) == 0 {
			t.Error("no keys are keys")
		}
	})
}
