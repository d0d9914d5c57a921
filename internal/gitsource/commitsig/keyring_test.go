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

func TestKeyNames(t *testing.T) {
	usual := at(keyMade, 0)
	key, other := newKey(t, usual), newKey(t, usual)
	if err := key.AddSigningSubkey(usual); err != nil {
		t.Fatal(err)
	}
	keys := ring(t, key)
	got := keys.Verify(signWith(t, key, usual, false), keyMade.Add(time.Hour))
	primary, signing := fingerprint(key.PrimaryKey), fingerprint(key.Subkeys[len(key.Subkeys)-1].PublicKey)
	for name, c := range map[string]struct {
		id   string
		want bool
	}{
		"fingerprint": {primary, true}, "id": {primary[24:], true}, "small letters": {strings.ToLower(primary), true},
		"of the subkey": {signing, true}, "id of the subkey": {signing[24:], true},
		"short": {primary[32:], false}, "none": {"", false}, "another key": {fingerprint(other.PrimaryKey), false},
	} {
		if keys.Has(c.id) != c.want || got.SignedBy(c.id) != c.want {
			t.Errorf("%s: %q: has %v, signed by %v, want %v", name, c.id, keys.Has(c.id), got.SignedBy(c.id), c.want)
		}
	}
	if bad := keys.Verify(signWith(t, key, usual, true), keyMade.Add(time.Hour)); bad.SignedBy(primary) {
		t.Errorf("not verified, and signed by %s: %+v", primary, bad)
	}
	if v6 := strings.Repeat("0", 16) + strings.Repeat("1", 48); !isCalled(v6, v6[:16]) || isCalled(v6, v6[48:]) {
		t.Error("the id of a key of version 6 is the beginning of its fingerprint")
	}
}

func TestTrusted(t *testing.T) {
	usual := at(keyMade, 0)
	key := newKey(t, usual)
	gpg, ssh := signWith(t, key, usual, false), fixture(t, "ed25519.commit")
	signers := parse(t, string(fixture(t, "allowed_signers")))
	for name, c := range map[string]struct {
		trusted Trusted
		commit  []byte
		why     string // contained in the reason; empty if it is verified
	}{
		"ssh by either":   {Trusted{signers, ring(t, key)}, ssh, ""},
		"gpg by either":   {Trusted{signers, ring(t, key)}, gpg, ""},
		"none by either":  {Trusted{signers, ring(t, key)}, fixture(t, "unsigned.commit"), "the commit is not signed"},
		"ssh by keys":     {Trusted{Keys: ring(t, key)}, ssh, "not signed with OpenPGP"},
		"gpg by signers":  {Trusted{Signers: signers}, gpg, "signed with OpenPGP, and"},
		"gpg by nobody":   {Trusted{}, gpg, "nobody may sign"},
		"gpg by stranger": {Trusted{signers, ring(t, newKey(t, usual))}, gpg, "is not in the keyring"},
	} {
		if got := c.trusted.Verify(c.commit, keyMade.Add(time.Hour)); got.Verified() != (c.why == "") || !strings.Contains(got.Reason, c.why) {
			t.Errorf("%s: got %+v, want %q", name, got, c.why)
		}
	}
}

// TestHostileSignatures are some that the library panics on, or that cost too much.
func TestHostileSignatures(t *testing.T) {
	keys := ring(t, newKey(t, at(keyMade, 0)))
	// A signature of version 4 with an empty subpacket of type exportable certification.
	panics := []byte{0xc2, 11, 4, 0, 22, 8, 0, 2, 1, 4, 0, 0, 0}
	for name, c := range map[string]struct {
		packet []byte
		why    string
	}{
		"panics": {panics, "it is malformed"},
		"large":  {append([]byte{0xc2, 0xff, 0, 0, 0x80, 0}, make([]byte, 0x8000)...), "it is larger than 16384 bytes"},
	} {
		var out bytes.Buffer
		w, err := armor.Encode(&out, openpgp.SignatureType, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(c.packet)
		w.Close()
		if got := keys.Verify(withSignature(out.Bytes()), keyMade); got.Verified() || !strings.Contains(got.Reason, c.why) {
			t.Errorf("%s: got %+v, want %q", name, got, c.why)
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
