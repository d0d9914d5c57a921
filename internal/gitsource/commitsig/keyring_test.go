package commitsig

import (
	"bytes"
	"crypto"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var keyMade = time.Date(2024, 6, 15, 12, 0, 0, 0, time.UTC)

// at is how the library is told of the time; a key lives that long, or for ever.
func at(t time.Time, lifetime time.Duration) *packet.Config {
	return &packet.Config{Time: func() time.Time { return t }, KeyLifetimeSecs: uint32(lifetime.Seconds())}
}

func newKey(tb testing.TB, config *packet.Config) *openpgp.Entity {
	tb.Helper()
	key, err := openpgp.NewEntity("Tess", "", "tess@example.com", config)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func ring(tb testing.TB, keys ...*openpgp.Entity) *Keyring {
	tb.Helper()
	var out bytes.Buffer
	for _, key := range keys {
		if err := key.Serialize(&out); err != nil {
			tb.Fatal(err)
		}
	}
	parsed, err := ParseKeyring(out.Bytes())
	if err != nil {
		tb.Fatal(err)
	}
	return parsed
}

// signWith makes a commit that is signed by a key.
func signWith(tb testing.TB, key *openpgp.Entity, config *packet.Config, text bool) []byte {
	tb.Helper()
	sign := openpgp.ArmoredDetachSign
	if text {
		sign = openpgp.ArmoredDetachSignText
	}
	var out bytes.Buffer
	if err := sign(&out, key, strings.NewReader(head+body), config); err != nil {
		tb.Fatal(err)
	}
	return withSignature(out.Bytes())
}

const head, body = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ncommitter A <a> 1718452800 +0000\n", "\nmessage\n"

func withSignature(armored []byte) []byte {
	return fmt.Appendf(nil, "%sgpgsig %s\n%s", head, bytes.ReplaceAll(bytes.TrimSpace(armored), []byte("\n"), []byte("\n ")), body)
}

// signAt makes a commit that a key signed at a time that the library would not sign at.
func signAt(tb testing.TB, key *openpgp.Entity, made time.Time) []byte {
	tb.Helper()
	sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: made, IssuerKeyId: &key.PrimaryKey.KeyId}
	sum, err := sig.PrepareSign(nil)
	if err != nil {
		tb.Fatal(err)
	}
	sum.Write([]byte(head + body))
	var out bytes.Buffer
	w, err := armor.Encode(&out, openpgp.SignatureType, nil)
	for _, err := range []error{err, sig.Sign(sum, key.PrivateKey, nil), sig.Serialize(w), w.Close()} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return withSignature(out.Bytes())
}

func TestKeyringVerify(t *testing.T) {
	usual, day := at(keyMade, 0), 24*time.Hour
	key, other, short := newKey(t, usual), newKey(t, usual), newKey(t, at(keyMade, day))
	revoked := newKey(t, usual)
	stolen := signWith(t, revoked, usual, false)
	if err := revoked.RevokeKey(packet.KeyCompromised, "stolen", usual); err != nil {
		t.Fatal(err)
	}
	signingSubkey := newKey(t, usual)
	if err := signingSubkey.AddSigningSubkey(usual); err != nil {
		t.Fatal(err)
	}
	good := signWith(t, key, usual, false)
	cases := map[string]struct {
		reason string
		commit []byte
		ring   *Keyring
		now    time.Time
		why    string // contained in the reason; empty if it is verified
	}{
		"good":    {"as Git does it", good, ring(t, other, key), keyMade.Add(day), ""},
		"subkey":  {"the usual key signs by a subkey", signWith(t, signingSubkey, usual, false), ring(t, signingSubkey), keyMade.Add(day), ""},
		"unknown": {"a good signature of somebody else", good, ring(t, other), keyMade.Add(day), "is not in the keyring"},
		"changed": {"one letter of the message", bytes.Replace(good, []byte("message"), []byte("massage"), 1), ring(t, key), keyMade.Add(day), "does not count"},
		"valid":   {"before the end of the key", signWith(t, short, usual, false), ring(t, short), keyMade.Add(time.Hour), ""},
		"expired": {"the key is judged as it is now", signWith(t, short, usual, false), ring(t, short), keyMade.Add(2 * day), "key expired"},
		"revoked": {"a key that was stolen", stolen, ring(t, revoked), keyMade.Add(day), "made by revoked key"},
		"older":   {"a signature from before its key", signAt(t, key, keyMade.Add(-day)), ring(t, key), keyMade.Add(day), "older than the key"},
		"text":    {"line ends do not count in it", signWith(t, key, usual, true), ring(t, key), keyMade.Add(day), "not one of bytes"},
		"ssh":     {"another kind of signature", fixture(t, "ed25519.commit"), ring(t, key), keyMade.Add(day), "not signed with OpenPGP"},
		"none":    {"no signature", fixture(t, "unsigned.commit"), ring(t, key), keyMade.Add(day), "the commit is not signed"},
	}
	for name, c := range cases {
		got := c.ring.Verify(c.commit, c.now)
		if got.Verified() != (c.why == "") || !strings.Contains(got.Reason, c.why) {
			t.Errorf("%s: %s: got %+v, want %q", name, c.reason, got, c.why)
		}
		if got.Verified() && (got.Signer != "Tess <tess@example.com>" || len(got.Fingerprint) != 40) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestParseKeyringRefuses(t *testing.T) {
	for name, data := range map[string]string{"empty": "", "text": "no key", "a signers file": "a ssh-ed25519 AAAA"} {
		if _, err := ParseKeyring([]byte(data)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestKeyringVerifiesCommitsOfGit reads commits that git signed by gpg 2.2, with a key that is gone.
func TestKeyringVerifiesCommitsOfGit(t *testing.T) {
	keys, err := ParseKeyring(fixture(t, "keyring.asc"))
	if err != nil {
		t.Fatal(err)
	}
	if got := keys.Verify(fixture(t, "gpg-sha256.commit"), keyMade.Add(time.Hour)); !got.Verified() || got.Signer != "gpg <gpg@example.com>" {
		t.Errorf("got %+v", got)
	}
	if got := keys.Verify(fixture(t, "gpg-sha1.commit"), keyMade.Add(time.Hour)); got.Verified() || got.Reason != "signatures over SHA-1 are not safe" {
		t.Errorf("got %+v", got)
	}
}

func FuzzParseKeyring(f *testing.F) {
	f.Add(fixture(f, "keyring.asc"))
	commit := fixture(f, "gpg-sha256.commit")
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeyring(data)
		if (keys == nil) == (err == nil) {
			t.Fatalf("got %v, %v", keys, err)
		}
		if err == nil {
			_ = keys.Verify(commit, keyMade.Add(time.Hour)) // it may be verified by a key that is hardly changed
		}
	})
}

// FuzzKeyringVerify holds that nothing but what was signed is verified.
func FuzzKeyringVerify(f *testing.F) {
	keys, err := ParseKeyring(fixture(f, "keyring.asc"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fixture(f, "gpg-sha1.commit"))
	f.Add(fixture(f, "gpg-sha256.commit"))
	signed, _ := parseCommit(fixture(f, "gpg-sha256.commit"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if keys.Verify(data, keyMade.Add(time.Hour)).Verified() {
			if c, _ := parseCommit(data); !bytes.Equal(c.payload, signed.payload) {
				t.Errorf("verified %q", data)
			}
		}
	})
}
