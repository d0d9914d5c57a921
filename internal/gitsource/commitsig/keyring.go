package commitsig

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Keyring holds the OpenPGP keys that may sign, all of them trusted alike.
type Keyring struct{ keys openpgp.EntityList }

// ParseKeyring reads public keys as gpg --export writes them, armored or not. A key that no self-signature binds to a
// name is an error, and so is a keyring without keys: nothing could be verified by it.
func ParseKeyring(data []byte) (*Keyring, error) {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(data))
	if err == nil && len(keys) == 0 {
		err = errors.New("it holds no key")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keyring: %w", err)
	}
	return &Keyring{keys}, nil
}

// Verify checks a commit, given as the object that Git stores. As with git verify-commit a key counts as it is now: the
// commits of a key that has expired or was revoked since are not verified any more. SHA-1 and MD5 are refused, though
// gpg takes SHA-1, since whoever can make two commits with one sum has one signed and shows the other.
func (k *Keyring) Verify(commit []byte, now time.Time) Result {
	c, reason := parseCommit(commit)
	if reason != "" {
		return Result{Reason: reason}
	}
	if !bytes.HasPrefix(c.signature, []byte("-----BEGIN PGP ")) {
		return Result{Reason: "the commit is not signed with OpenPGP"}
	}
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
	result.Fingerprint = fmt.Sprintf("%X", key.PublicKey.Fingerprint)
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

// readOpenPGP takes an armored signature apart. It must be one signature of bytes: one of text says the same of several
// commits, and of several signatures it is not ours to choose.
func readOpenPGP(armored []byte) (raw []byte, sig *packet.Signature, err error) {
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
