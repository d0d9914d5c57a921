package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Met is how a hub is trusted.
type Met struct {
	// Roots are those to trust it by, as PEM; empty are those of the system.
	Roots []byte
	// Fingerprint is that of the roots, if nobody but the hub itself vouches for them: a
	// person has to compare it. It is empty if the hub is trusted already.
	Fingerprint string
}

// Meet asks a hub at HOST:PORT for its certificate and finds out how it is trusted: by
// the roots that are given, or else by those of the system, or else by the root that
// it shows. It sends nothing secret.
func Meet(ctx context.Context, server string, roots []byte) (Met, error) {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return Met{}, fmt.Errorf("%q is not HOST:PORT", server)
	}
	chain, err := shown(ctx, server)
	if err != nil {
		return Met{}, err
	}
	options := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, certificate := range chain[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if len(roots) > 0 {
		options.Roots = x509.NewCertPool()
		if !options.Roots.AppendCertsFromPEM(roots) {
			return Met{}, errors.New("there is no certificate among the roots\nhint: a file of PEM")
		}
	}
	_, err = chain[0].Verify(options)
	if err == nil {
		return Met{Roots: roots}, nil
	}
	if wrongName := (x509.HostnameError{}); errors.As(err, &wrongName) || len(roots) > 0 {
		return Met{}, fmt.Errorf("%s is not trusted: %w\nhint: nave hub --api-name, or the certificate of --tls-cert, has the name by which it is reached", server, err)
	}
	for _, root := range chain {
		if !bytes.Equal(root.RawIssuer, root.RawSubject) && root != chain[len(chain)-1] {
			continue
		}
		options.Roots = x509.NewCertPool()
		options.Roots.AddCert(root)
		if _, err = chain[0].Verify(options); err == nil {
			sum := sha256.Sum256(root.Raw)
			return Met{Roots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), Fingerprint: "sha256:" + hex.EncodeToString(sum[:])}, nil
		}
	}
	return Met{}, fmt.Errorf("%s is not trusted: %w\nhint: name its roots by --roots-file", server, err)
}

// shown returns the certificates that a hub shows, its own first.
func shown(ctx context.Context, server string) (chain []*x509.Certificate, err error) {
	asked := client(&tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
		chain = state.PeerCertificates
		return nil
	}})
	defer asked.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+server+"/", nil)
	if err != nil {
		return nil, err
	}
	response, err := asked.Do(request)
	if err == nil {
		response.Body.Close()
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("reaching the hub: %w\nhint: nave hub --api ADDRESS serves people", err)
	}
	return chain, nil
}
