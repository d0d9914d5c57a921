package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// maxRequest bounds a request for a certificate, in bytes; one takes about 400.
const maxRequest = 8 << 10

// Request is a request for a certificate whose maker was shown to have the key.
type Request struct {
	Identity Identity
	// Key tells one key from another: its public half, in DER.
	Key []byte

	public *ecdsa.PublicKey
}

// NewKey makes the key of an agent, as PEM.
func NewKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return encodeKey(key)
}

// NewRequest asks for a certificate of an identity for a key of NewKey, as PEM.
func NewRequest(key []byte, id Identity) ([]byte, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(key)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("reading a key: no PEM of a private key")
	}
	private, err := decodeKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(id.String())
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{uri}}, private)
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: requestBlock, Bytes: der}), nil
}

// ReadRequest reads what NewRequest wrote, also if a stranger wrote it: anything
// but a signed request with a key of P-256 for one identity is an error.
func ReadRequest(data []byte) (Request, error) {
	if len(data) > maxRequest {
		return Request{}, fmt.Errorf("the request for a certificate has %d bytes, more than %d", len(data), maxRequest)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != requestBlock {
		return Request{}, errors.New("the request for a certificate is not PEM of one")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return Request{}, fmt.Errorf("the request for a certificate: %w", err)
	}
	public, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return Request{}, errors.New("the request for a certificate has no key of ECDSA P-256")
	}
	if err := csr.CheckSignature(); err != nil {
		return Request{}, fmt.Errorf("the request for a certificate: %w", err)
	}
	id, err := named(csr.URIs, len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses))
	if err != nil {
		return Request{}, fmt.Errorf("the request for a certificate: %w", err)
	}
	return Request{Identity: id, Key: csr.RawSubjectPublicKeyInfo, public: public}, nil
}

// Sign makes the certificate that was asked for, as PEM, for client
// authentication only. Who may have it is the caller's to check.
func (a *Authority) Sign(request Request, life time.Duration, now time.Time) ([]byte, error) {
	s := a.state()
	if request.Identity.Fleet != s.fleet {
		return nil, fmt.Errorf("%s is not of fleet %q", request.Identity, s.fleet)
	}
	uri, err := url.Parse(request.Identity.String())
	if err != nil {
		return nil, err
	}
	certificate, err := sign(&x509.Certificate{
		NotBefore: now.Add(-Skew), NotAfter: now.Add(life),
		URIs:        []*url.URL{uri},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, s.roots[0], request.public, s.key)
	if err != nil {
		return nil, err
	}
	return encodeCertificates([]*x509.Certificate{certificate}), nil
}

// Server is the hub's certificate at a time, with the chain that leads to the
// older root as well. Its key is made here and never written.
func (a *Authority) Server(now time.Time) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := now.Sub(a.made); a.server != nil && age >= 0 && age < serverLife/3 {
		return a.server, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	leaf, err := sign(&x509.Certificate{
		NotBefore: now.Add(-Skew), NotAfter: now.Add(serverLife),
		DNSNames:    []string{ServerName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.now.roots[0], &key.PublicKey, a.now.key)
	if err != nil {
		return nil, err
	}
	chain := [][]byte{leaf.Raw}
	if a.now.cross != nil {
		chain = append(chain, a.now.cross.Raw)
	}
	a.server, a.made = &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, now
	return a.server, nil
}
