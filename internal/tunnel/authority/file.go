package authority

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	keyBlock         = "PRIVATE KEY"
	certificateBlock = "CERTIFICATE"
	requestBlock     = "CERTIFICATE REQUEST"
)

// encode is the file of a state: the key, its root, that root signed by the older
// one, the older one.
func (s *state) encode() ([]byte, error) {
	key, err := encodeKey(s.key)
	if err != nil {
		return nil, err
	}
	certificates := s.roots[:1:1]
	if s.cross != nil {
		certificates = append(certificates, s.cross)
	}
	return append(key, encodeCertificates(append(certificates, s.roots[1:]...))...), nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}), nil
}

func encodeCertificates(certificates []*x509.Certificate) (out []byte) {
	for _, c := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	return out
}

// decode reads what encode wrote, and holds every part against the others.
func decode(data []byte) (*state, error) {
	s := &state{}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				return nil, errors.New("it ends in something that is no PEM block")
			}
			break
		}
		switch block.Type {
		case keyBlock:
			key, err := decodeKey(block.Bytes)
			if err != nil || s.key != nil {
				return nil, errors.Join(err, wrongIf(s.key != nil, "it holds more than one key"))
			}
			s.key = key
		case certificateBlock:
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate: %w", err)
			}
			if certificate.CheckSignatureFrom(certificate) == nil {
				s.roots = append(s.roots, certificate)
			} else {
				s.cross = certificate
			}
		default:
			return nil, fmt.Errorf("it holds a block of type %q", block.Type)
		}
	}
	return s, s.validate()
}

func (s *state) validate() error {
	if s.key == nil || len(s.roots) == 0 {
		return errors.New("it is not complete: a key and its root certificate are needed")
	}
	if !s.key.PublicKey.Equal(s.roots[0].PublicKey) {
		return errors.New("the key is not that of the first root")
	}
	for _, root := range s.roots {
		if len(root.Subject.Organization) != 1 || root.Subject.Organization[0] != s.roots[0].Subject.Organization[0] {
			return errors.New("the roots are not all of one fleet")
		}
	}
	s.fleet = s.roots[0].Subject.Organization[0]
	if !isName(s.fleet) {
		return fmt.Errorf("%q cannot be the name of a fleet", s.fleet)
	}
	if len(s.roots) > 2 || (len(s.roots) == 2) != (s.cross != nil) {
		return errors.New("it has an older root without the newer one signed by it, or the reverse")
	}
	if s.cross != nil && (s.cross.CheckSignatureFrom(s.roots[1]) != nil || !s.key.PublicKey.Equal(s.cross.PublicKey)) {
		return errors.New("its older root has not signed its key")
	}
	return nil
}

func decodeKey(der []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	return key, wrongIf(!ok || key.Curve != elliptic.P256(), "key: not ECDSA P-256")
}

func wrongIf(wrong bool, text string) error {
	if wrong {
		return errors.New(text)
	}
	return nil
}
