// Package cosign checks the signatures that cosign sign --key leaves beside an artifact in a registry: Statements, each a
// payload in the form of "simple signing" that names the digest of a manifest, with a signature of it. Verify is the main
// function. It knows keys alone: no certificates, transparency logs or other forms of signatures. The package fetches
// nothing and trusts no key by itself; it uses the standard library, as what it needs of Cosign's own is a few lines.
package cosign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	payloadMedia = "application/vnd.dev.cosign.simplesigning.v1+json"
	annotation   = "dev.cosignproject.cosign/signature"
	claimType    = "cosign container image signature"
)

// What one artifact's signatures may be.
const (
	maxStatements = 50
	maxPayload    = 64 << 10 // bytes
)

// Tag is where Cosign puts the signatures of the manifest with a digest, sha256:DIGITS, in its repository.
func Tag(digest string) string { return strings.ReplaceAll(digest, ":", "-") + ".sig" }

// Statement is one that is signed.
type Statement struct {
	Payload   []byte `json:"payload"`
	Signature []byte `json:"signature"`
}

// Layer is where the payload of a Statement is, and the signature of it.
type Layer struct {
	ocispec.Descriptor
	Signature []byte
}

// Layers reads the manifest at a Tag. Layers of other kinds are left out.
func Layers(manifest []byte) ([]Layer, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return nil, fmt.Errorf("the manifest of its signatures is not valid: %w", err)
	}
	var found []Layer
	for _, l := range m.Layers {
		signature, err := base64.StdEncoding.DecodeString(l.Annotations[annotation])
		if l.MediaType != payloadMedia || err != nil || len(signature) == 0 {
			continue
		}
		if l.Size < 0 || l.Size > maxPayload {
			return nil, fmt.Errorf("what is signed has %d bytes, and may have %d", l.Size, maxPayload)
		}
		if found = append(found, Layer{l, signature}); len(found) > maxStatements {
			return nil, fmt.Errorf("it has more than %d signatures", maxStatements)
		}
	}
	return found, nil
}

// Verify reports an error unless a statement is signed by one of the keys, and names a digest, sha256:DIGITS. A statement
// about another artifact does not count, whoever signed it.
func Verify(statements []Statement, keys []byte, digest string) error {
	trusted, err := Keys(keys)
	if err != nil {
		return err
	}
	if len(statements) == 0 {
		return errors.New("it is not signed by Cosign\nhint: cosign sign --key; signatures in the form of bundles are not read")
	}
	var problems []error
	for _, s := range statements {
		problem := errors.New("no key that is trusted has signed it")
		if slices.ContainsFunc(trusted, func(key crypto.PublicKey) bool { return signedBy(key, s) }) {
			problem = about(s.Payload, digest)
		}
		if problem == nil {
			return nil
		}
		if !slices.ContainsFunc(problems, func(other error) bool { return other.Error() == problem.Error() }) {
			problems = append(problems, problem)
		}
	}
	return errors.Join(problems...)
}

// about returns an error unless a payload is about a digest.
func about(payload []byte, digest string) error {
	var claim struct {
		Critical struct {
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
	}
	switch err := json.Unmarshal(payload, &claim); {
	case err != nil:
		return fmt.Errorf("what is signed cannot be read: %w", err)
	case claim.Critical.Type != claimType:
		return fmt.Errorf("what is signed is %q, and no %s", claim.Critical.Type, claimType)
	case claim.Critical.Image.Digest != digest:
		return fmt.Errorf("what is signed is about %q, and not about this artifact", claim.Critical.Image.Digest)
	}
	return nil
}

// signedBy reports whether a key has signed a statement.
func signedBy(key crypto.PublicKey, s Statement) bool {
	sum := sha256.Sum256(s.Payload)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum[:], s.Signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], s.Signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, s.Payload, s.Signature)
	}
	return false
}

// minRSA is how many bits a key of RSA has at least, and maxRSA at most.
const minRSA, maxRSA = 2048, 8192

// Keys reads public keys in PEM, as cosign generate-key-pair writes them: of ECDSA on the curves of NIST with 256 bits and
// more, of RSA with 2048 to 8192 bits, and Ed25519.
func Keys(data []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("reading the keys of Cosign: a block is a %.40q, and no PUBLIC KEY", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err == nil {
			err = usable(key)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the keys of Cosign: key %d: %w", len(keys)+1, err)
		}
		keys, data = append(keys, key), rest
	}
	if len(keys) == 0 || len(bytes.TrimSpace(data)) > 0 {
		return nil, errors.New("reading the keys of Cosign: there is more than public keys in PEM, or none")
	}
	return keys, nil
}

// usable returns an error for a key that is not one to rely on.
func usable(key any) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() || key.Curve == elliptic.P521() {
			return nil
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= minRSA && bits <= maxRSA {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("a %T of its kind or size is not accepted", key)
}
