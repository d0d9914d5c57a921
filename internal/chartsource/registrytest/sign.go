package registrytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// Signer has a key of Cosign.
type Signer struct {
	Public []byte // in PEM
	key    *ecdsa.PrivateKey
}

// NewSigner makes a key.
func NewSigner(tb testing.TB) Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return Signer{pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), key}
}

// Sign returns the layer that says that a manifest is signed.
func (s Signer) Sign(tb testing.TB, manifest string) Layer {
	tb.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, manifest)
	sum := sha256.Sum256(payload)
	signature, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	return Layer{
		Kind: "application/vnd.dev.cosign.simplesigning.v1+json", Data: payload,
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)},
	}
}

// SignatureTag is where Cosign puts the signatures of a manifest.
func SignatureTag(manifest string) string { return strings.Replace(manifest, ":", "-", 1) + ".sig" }
