// Package keyring reads files of OpenPGP public keys for those who verify by them. Parse bounds what such a file may
// cost, and Try what a hostile signature may: the library has no limits, and panics on some malformed packets. Nothing
// is verified here.
package keyring

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// What a keyring may hold. Reading one verifies the signatures by which keys bind names and subkeys to themselves, so
// whoever writes the file chooses the work: the parameters of a DSA key alone can make one signature take minutes.
// These are more than gpg makes, and bound a file to a few seconds.
const (
	maxSize    = 1 << 20 // bytes, armored or not
	maxPackets = 10_000  // keys, names and signatures
	maxRSA     = 8192    // bits
)

// Parse reads public keys as gpg --export writes them, armored or not. A key that no self-signature binds to a name is
// left out, and so is one of a kind that is not known. A keyring without keys is an error: nothing could be verified by
// it. So is one with a key of DSA, or with more than it may hold.
func Parse(data []byte) (keys openpgp.EntityList, err error) {
	err = Try(func() (err error) {
		keys, err = parse(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the keyring: %w", err)
	}
	return keys, nil
}

func parse(data []byte) (openpgp.EntityList, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("it is larger than %d bytes\nhint: export only the keys of those who may sign, with --export-options export-minimal", maxSize)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP")) {
		block, err := armor.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if block.Type != openpgp.PublicKeyType {
			return nil, fmt.Errorf("it is a %q, and public keys are wanted", block.Type)
		}
		if data, err = io.ReadAll(block.Body); err != nil {
			return nil, err
		}
	}
	if err := affordable(data); err != nil {
		return nil, err
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err == nil && len(keys) == 0 {
		err = errors.New("it holds no key")
	}
	return keys, err
}

// affordable reports an error for packets whose signatures would take too long to verify. It verifies none. What
// cannot be read is for the library to judge.
func affordable(data []byte) error {
	packets := packet.NewReader(bytes.NewReader(data))
	for n := 0; ; n++ {
		if n > maxPackets {
			return fmt.Errorf("it holds more than %d packets\nhint: export only the keys of those who may sign, with --export-options export-minimal", maxPackets)
		}
		p, err := packets.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		key, ok := p.(*packet.PublicKey)
		if private, is := p.(*packet.PrivateKey); is {
			key, ok = &private.PublicKey, true
		}
		if err != nil || !ok {
			continue
		}
		if key.PubKeyAlgo == packet.PubKeyAlgoDSA {
			return fmt.Errorf("the key %X is one of DSA, which is not supported", key.Fingerprint)
		}
		if of, ok := key.PublicKey.(*rsa.PublicKey); ok && of.N.BitLen() > maxRSA {
			return fmt.Errorf("the key %X has %d bits, and at most %d are supported", key.Fingerprint, of.N.BitLen(), maxRSA)
		}
	}
}

// Try calls f, and returns a panic of it as an error. What others wrote is verified within: the library panics on some
// packets that are malformed, and one commit must not end the process.
func Try(f func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("it is malformed: %v", reason)
		}
	}()
	return f()
}
