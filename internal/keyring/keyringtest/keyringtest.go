// Package keyringtest makes OpenPGP keys for tests, and signs as gpg does for Git. Nothing is kept of them.
package keyringtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key is one that may sign, by a subkey.
type Key struct {
	tb     testing.TB
	entity *openpgp.Entity
}

// New makes a key that was made an hour ago, and is valid for so long from then on; 0 is for ever.
func New(tb testing.TB, name string, lifetime time.Duration) *Key {
	tb.Helper()
	made := time.Now().Add(-time.Hour)
	config := &packet.Config{Time: func() time.Time { return made }, KeyLifetimeSecs: uint32(lifetime.Seconds())}
	entity, err := openpgp.NewEntity(name, "", name+"@example.com", config)
	if err == nil {
		err = entity.AddSigningSubkey(config)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return &Key{tb, entity}
}

// Fingerprint returns that of the key itself, which is not what signs.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// Public returns a keyring with some keys.
func Public(keys ...*Key) string {
	var out bytes.Buffer
	for _, k := range keys {
		if err := k.entity.Serialize(&out); err != nil {
			k.tb.Fatal(err)
		}
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err == nil {
		_, err = w.Write(out.Bytes())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // nothing is written but to memory
	}
	return text.String()
}

// Sign returns an armored signature of a text, as of the time at which the key was made.
func (k *Key) Sign(text string) string {
	k.tb.Helper()
	var out bytes.Buffer
	config := &packet.Config{Time: func() time.Time { return k.entity.PrimaryKey.CreationTime }}
	if err := openpgp.ArmoredDetachSign(&out, k.entity, strings.NewReader(text), config); err != nil {
		k.tb.Fatal(err)
	}
	return out.String()
}
