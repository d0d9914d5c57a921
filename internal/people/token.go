package people

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

const (
	// tokenPrefix lets scanners of repositories and logs find tokens.
	tokenPrefix = "nave_"
	tokenSize   = 32 // bytes of chance
	sumSize     = sha256.Size
)

// newSecret makes a token, and what is kept of it. It is as hard to guess as a key,
// so that a plain sum of it says nothing.
func newSecret() (secret, sum string) {
	random := make([]byte, tokenSize)
	rand.Read(random) // never fails
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	return secret, sumOf(secret)
}

func sumOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// counts reports whether the token has not ended. One that was made in what is now
// the future counts as well: the clock was set back, and no person did wrong.
func (t Token) counts(now time.Time) bool { return now.Before(t.Expires) }
