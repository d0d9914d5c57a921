package authority

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

const (
	// TokenLife is how long a token counts that was made with no other end.
	TokenLife = time.Hour

	tokenPrefix = "nave1"
	maxToken    = 2 << 10 // bytes; the longest names make about 1100
)

// ErrExpired is what Verify's error wraps for a token that was good once.
var ErrExpired = errors.New("the token has expired")

// Claims is what a bootstrap token says: whoever shows it first, until it ends,
// may have the certificate of one identity.
type Claims struct {
	Fleet   string    `json:"fleet"`
	Cluster string    `json:"cluster"`
	Number  int64     `json:"number"`
	ID      string    `json:"id"`  // of the token: 32 hexadecimal digits
	Expires time.Time `json:"end"` // to the second
}

// Identity is whom the token is for.
func (c Claims) Identity() Identity {
	return Identity{Fleet: c.Fleet, Cluster: c.Cluster, Number: c.Number}
}

// Token makes a bootstrap token for a cluster of the authority's fleet. A life of
// zero is TokenLife.
func (a *Authority) Token(cluster string, number int64, life time.Duration, now time.Time) (string, Claims, error) {
	if life == 0 {
		life = TokenLife
	}
	s := a.state()
	var id [16]byte
	rand.Read(id[:])
	claims := Claims{Fleet: s.fleet, Cluster: cluster, Number: number, ID: hex.EncodeToString(id[:]),
		Expires: now.Add(life).UTC().Truncate(time.Second)}
	if err := claims.Identity().Validate(); err != nil {
		return "", Claims{}, err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", Claims{}, err
	}
	signature, err := s.signText(tokenDomain, payload)
	if err != nil {
		return "", Claims{}, fmt.Errorf("signing a token: %w", err)
	}
	text := tokenPrefix + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + base64.RawURLEncoding.EncodeToString(signature)
	return text + "." + checksum(text), claims, nil
}

// ReadToken reads what a token claims, for the one who was given it: that it is
// whole is checked, that it is genuine is not.
func ReadToken(token string) (Claims, error) {
	claims, _, _, err := splitToken(token)
	return claims, err
}

// Verify reads a token that a stranger shows. Its error wraps ErrExpired for one
// that is genuine and too old, and then the claims are returned as well.
func (a *Authority) Verify(token string, now time.Time) (Claims, error) {
	claims, payload, signature, err := splitToken(token)
	if err != nil {
		return Claims{}, err
	}
	s := a.state()
	switch {
	case !s.signed(tokenDomain, payload, signature):
		return Claims{}, errors.New("the token is not one of this hub's authority")
	case claims.Fleet != s.fleet:
		return Claims{}, fmt.Errorf("the token is for fleet %q", claims.Fleet)
	case !now.Before(claims.Expires):
		return claims, fmt.Errorf("%w, at %s\nhint: make a new one with `nave cluster join %s`", ErrExpired, claims.Expires.Format(time.RFC3339), claims.Cluster)
	}
	return claims, nil
}

func splitToken(token string) (claims Claims, payload, signature []byte, err error) {
	token = strings.TrimSpace(token)
	parts := strings.Split(token, ".")
	switch {
	case len(token) > maxToken:
		return claims, nil, nil, errors.New("the token is longer than any token is")
	case parts[0] != tokenPrefix:
		return claims, nil, nil, fmt.Errorf("the token does not begin with %q", tokenPrefix+".")
	case len(parts) != 4 || checksum(strings.Join(parts[:3], ".")) != parts[3]:
		return claims, nil, nil, errors.New("the token was cut off or changed on its way\nhint: copy all of it, from \"nave1.\" to its last character")
	}
	payload, err = base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err == nil {
		signature, err = base64.RawURLEncoding.Strict().DecodeString(parts[2])
	}
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err == nil {
		err = claims.Identity().Validate()
	}
	if err == nil && (len(claims.ID) != 32 || strings.Trim(claims.ID, "0123456789abcdef") != "") {
		err = errors.New("its id is not one")
	}
	if err != nil {
		return Claims{}, nil, nil, fmt.Errorf("reading a token: %w", err)
	}
	return claims, payload, signature, nil
}

// checksum guards against a paste that lost its end, not against malice.
func checksum(s string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s))) }
