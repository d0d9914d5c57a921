package commitsig

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"nave.dev/internal/keyring"
)

// Keyring holds the OpenPGP keys that may sign, all of them trusted alike.
type Keyring struct{ keys openpgp.EntityList }

// ParseKeyring reads public keys as gpg --export writes them, armored or not; see keyring.Parse for what it refuses.
func ParseKeyring(data []byte) (*Keyring, error) {
	keys, err := keyring.Parse(data)
	if err != nil {
		return nil, err
	}
	return &Keyring{keys}, nil
}

// Has reports whether a key of the keyring, or a subkey, is called by a long key id or fingerprint.
func (k *Keyring) Has(id string) bool {
	return slices.ContainsFunc(k.keys, func(e *openpgp.Entity) bool {
		return isCalled(fingerprint(e.PrimaryKey), id) ||
			slices.ContainsFunc(e.Subkeys, func(s openpgp.Subkey) bool { return isCalled(fingerprint(s.PublicKey), id) })
	})
}

// SignedBy reports whether the commit is verified and signed by an OpenPGP key that is called by a long key id, of 16
// hexadecimal digits, or by a fingerprint: its own, or that of the key that it is a subkey of.
func (r Result) SignedBy(id string) bool {
	return r.Verified() && r.Primary != "" && (isCalled(r.Fingerprint, id) || isCalled(r.Primary, id))
}

func fingerprint(key *packet.PublicKey) string { return fmt.Sprintf("%X", key.Fingerprint) }

// isCalled compares a fingerprint with a name of the key. The id is the end of a fingerprint, from version 5 of keys on
// its beginning.
func isCalled(fingerprint, name string) bool {
	const idLength, oldLength = 16, 40
	id := fingerprint[:idLength]
	if len(fingerprint) == oldLength {
		id = fingerprint[oldLength-idLength:]
	}
	return strings.EqualFold(fingerprint, name) || strings.EqualFold(id, name)
}

// Verify checks a commit, given as the object that Git stores. As with git verify-commit a key counts as it is now: the
// commits of a key that has expired or was revoked since are not verified any more. SHA-1 and MD5 are refused, though
// gpg takes SHA-1, since whoever can make two commits with one sum has one signed and shows the other.
func (k *Keyring) Verify(commit []byte, now time.Time) (result Result) {
	c, reason := parseCommit(commit)
	if reason != "" {
		return Result{Reason: reason}
	}
	if !isOpenPGP(c.signature) {
		return Result{Reason: "the commit is not signed with OpenPGP"}
	}
	err := keyring.Try(func() error {
		result = k.verify(c, now)
		return nil
	})
	if err != nil {
		return Result{Reason: fmt.Sprintf("the signature cannot be read: %v", err)}
	}
	return result
}

func (k *Keyring) verify(c signedCommit, now time.Time) Result {
	raw, sig, err := readOpenPGP(c.signature)
	if err != nil {
		return Result{Reason: fmt.Sprintf("the signature is malformed: %v", err)}
	}
	result := Result{Fingerprint: fmt.Sprintf("%016X", *sig.IssuerKeyId)}
	candidates := k.keys.KeysById(*sig.IssuerKeyId)
	switch {
	case len(candidates) == 0:
		result.Reason = fmt.Sprintf("the key %s is not in the keyring", result.Fingerprint)
		return result
	case len(candidates) > 1:
		result.Reason = fmt.Sprintf("several keys of the keyring are called %s", result.Fingerprint)
		return result
	}
	key := candidates[0]
	result.Fingerprint, result.Primary = fingerprint(key.PublicKey), fingerprint(key.Entity.PrimaryKey)
	switch {
	case sig.Hash != crypto.SHA256 && sig.Hash != crypto.SHA384 && sig.Hash != crypto.SHA512 && sig.Hash != crypto.SHA224:
		result.Reason = fmt.Sprintf("signatures over %s are not safe", sig.Hash)
		return result
	case sig.CreationTime.Before(key.PublicKey.CreationTime):
		result.Reason = fmt.Sprintf("the signature is older than the key %s", result.Fingerprint)
		return result
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	signer, err := openpgp.CheckDetachedSignature(k.keys, bytes.NewReader(c.payload), bytes.NewReader(raw), config)
	if err != nil {
		result.Reason = fmt.Sprintf("the signature of the key %s does not count: %v", result.Fingerprint, err)
		return result
	}
	result.Signer = result.Fingerprint // a key of OpenPGP 6 may have no name
	if identity := signer.PrimaryIdentity(); identity != nil && identity.Name != "" {
		result.Signer = identity.Name
	}
	return result
}

func isOpenPGP(signature []byte) bool { return bytes.HasPrefix(signature, []byte("-----BEGIN PGP ")) }

// maxSignature bounds an armored signature, in bytes. One of the largest key and all that gpg writes beside it has 3 KiB;
// signatures within signatures make reading one cost the square of its size. What it costs to verify one is up to the
// key, which is not the author's to choose.
const maxSignature = 16 << 10

// readOpenPGP takes an armored signature apart. It must be one signature of bytes: one of text says the same of several
// commits, and of several signatures it is not ours to choose.
func readOpenPGP(armored []byte) (raw []byte, sig *packet.Signature, err error) {
	if len(armored) > maxSignature {
		return nil, nil, fmt.Errorf("it is larger than %d bytes", maxSignature)
	}
	text := bytes.NewReader(armored)
	block, err := armor.Decode(text)
	if err != nil {
		return nil, nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, nil, fmt.Errorf("it is a %q", block.Type)
	}
	if raw, err = io.ReadAll(block.Body); err != nil {
		return nil, nil, err
	}
	body := bytes.NewReader(raw)
	p, err := packet.Read(body)
	if err != nil {
		return nil, nil, err
	}
	sig, ok := p.(*packet.Signature)
	switch {
	case !ok:
		return nil, nil, errors.New("it holds something else than a signature")
	case body.Len() > 0:
		return nil, nil, errors.New("it holds more than one signature")
	case sig.SigType != packet.SigTypeBinary:
		return nil, nil, errors.New("it is not one of bytes")
	case sig.IssuerKeyId == nil:
		return nil, nil, errors.New("it does not name its key")
	}
	return raw, sig, nil
}
