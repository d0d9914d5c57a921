package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
)

// issued is a certificate and when it was made.
type issued struct {
	certificate *tls.Certificate
	made        time.Time
}

// Named is a certificate for names and addresses by which people reach the hub. It
// is made anew after a third of its life, and its key is never written. The root is
// part of the chain, so that who sees it for the first time can compare its
// fingerprint.
func (a *Authority) Named(names []string, now time.Time) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := strings.Join(names, " ")
	if known, ok := a.named[key]; ok {
		if age := now.Sub(known.made); age >= 0 && age < serverLife/3 {
			return known.certificate, nil
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{
		NotBefore: now.Add(-Skew), NotAfter: now.Add(serverLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case name == ServerName: // by which agents know the hub, which is not this listener
			return nil, fmt.Errorf("%q is the name that agents know", name)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	leaf, err := sign(template, a.now.roots[0], &private.PublicKey, a.now.key)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{leaf.Raw}
	if a.now.cross != nil {
		chain = append(chain, a.now.cross.Raw)
	}
	for _, root := range a.now.roots {
		chain = append(chain, root.Raw)
	}
	made := issued{&tls.Certificate{Certificate: chain, PrivateKey: private, Leaf: leaf}, now}
	if a.named == nil {
		a.named = map[string]issued{}
	}
	a.named[key] = made
	return made.certificate, nil
}

// Fingerprint is the SHA-256 of the newest root, as people compare it.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.state().roots[0].Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
