package people

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds of a password, in bytes. The longer one bounds what a stranger can have
// the hub hash.
const (
	leastPassword = 12
	mostPassword  = 1024
)

// cost is how much work a guess is.
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// present is the cost of hashes that are made now: one of those that OWASP's
// Password Storage Cheat Sheet calls equal, with little memory, since it is the
// hub's.
var present = cost{memory: 19 << 10, passes: 2, threads: 1}

// most bounds what a line of the file can make the hub do.
var most = cost{memory: 256 << 10, passes: 16, threads: 16}

const (
	saltSize = 16
	keySize  = 32
)

// hash is a hashed password with what it was made with.
type hash struct {
	cost
	salt, key []byte
}

func derive(password string, salt []byte, c cost, size int) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, uint32(size))
}

// newHash hashes a password with a salt of its own.
func newHash(password string) (string, error) {
	if len(password) < leastPassword || len(password) > mostPassword {
		return "", fmt.Errorf("a password has %d to %d bytes, and this one has %d", leastPassword, mostPassword, len(password))
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	return hash{present, salt, derive(password, salt, present, keySize)}.String(), nil
}

// String is the hash in the form of PHC, as other programs have it too.
func (h hash) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads, encode(h.salt), encode(h.key))
}

// parseHash reads what String wrote. An error does not repeat it.
func parseHash(text string) (h hash, err error) {
	errForm := errors.New("is not a hash of Argon2id in the form $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, errForm
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.passes, &h.threads); err != nil {
		return h, errForm
	}
	var wrong [2]error
	h.salt, wrong[0] = base64.RawStdEncoding.DecodeString(parts[4])
	h.key, wrong[1] = base64.RawStdEncoding.DecodeString(parts[5])
	switch {
	case errors.Join(wrong[:]...) != nil || h.String() != text:
		return h, errForm
	case h.passes < 1 || h.threads < 1 || h.memory < 8*uint32(h.threads), h.passes > most.passes || h.threads > most.threads || h.memory > most.memory:
		return h, fmt.Errorf("costs more than m=%d,t=%d,p=%d, or nothing", most.memory, most.passes, most.threads)
	case len(h.salt) < 8 || len(h.salt) > 64 || len(h.key) < 16 || len(h.key) > 64:
		return h, errForm
	}
	return h, nil
}

// matches reports whether a password is the one that a text is the hash of. It does
// about the same work where there is none.
func matches(password, text string) bool {
	h, err := parseHash(text)
	if err != nil {
		h = hash{present, make([]byte, saltSize), make([]byte, keySize)}
	}
	key := derive(password, h.salt, h.cost, len(h.key))
	return subtle.ConstantTimeCompare(key, h.key) == 1 && err == nil
}
