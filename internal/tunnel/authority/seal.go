package authority

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// What the key signs, apart from certificates: each kind has a domain, so that one
// is never taken for another.
const (
	tokenDomain = "nave bootstrap token\x00"
	sealDomain  = "nave seal\x00"
)

// Seal signs a text that is given to an agent and comes back, so that the hub knows
// it for its own. It keeps nothing secret.
func (a *Authority) Seal(text []byte) ([]byte, error) {
	seal, err := a.state().signText(sealDomain, text)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return seal, nil
}

// Sealed reports whether a text was sealed by this authority, before or after its
// root was replaced, unless that root has been retired.
func (a *Authority) Sealed(text, seal []byte) bool {
	return a.state().signed(sealDomain, text, seal)
}

func (s *state) signText(domain string, text []byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, s.key, digestOf(domain, text))
}

// signed checks with public keys, so that the time it takes tells nothing.
func (s *state) signed(domain string, text, signature []byte) bool {
	digest := digestOf(domain, text)
	for _, root := range s.roots {
		if public, ok := root.PublicKey.(*ecdsa.PublicKey); ok && ecdsa.VerifyASN1(public, digest, signature) {
			return true
		}
	}
	return false
}

func digestOf(domain string, text []byte) []byte {
	sum := sha256.Sum256(append([]byte(domain), text...))
	return sum[:]
}
