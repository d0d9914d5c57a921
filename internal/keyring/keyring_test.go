package keyring

import (
	"bytes"
	"crypto/rsa"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

func fixture(tb testing.TB) []byte {
	tb.Helper()
	data, err := os.ReadFile("testdata/keyring.asc")
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// serialized is one packet.
func serialized(tb testing.TB, key *packet.PublicKey) []byte {
	tb.Helper()
	var out bytes.Buffer
	if err := key.Serialize(&out); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func TestParse(t *testing.T) {
	made := time.Unix(1718452800, 0)
	large := new(big.Int).SetBit(big.NewInt(1), maxRSA, 1)
	block, err := armor.Decode(bytes.NewReader(fixture(t)))
	if err != nil {
		t.Fatal(err)
	}
	var binary bytes.Buffer
	if _, err := binary.ReadFrom(block.Body); err != nil {
		t.Fatal(err)
	}
	with := func(key *packet.PublicKey) []byte { return append(bytes.Clone(binary.Bytes()), serialized(t, key)...) }
	// A public key of version 4, made at 0, of DSA, whose four parameters are 1.
	dsa := append([]byte{0xc6, 18, 4, 0, 0, 0, 0, byte(packet.PubKeyAlgoDSA)}, bytes.Repeat([]byte{0, 1, 1}, 4)...)
	var private bytes.Buffer
	w, err := armor.Encode(&private, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		reason string
		data   []byte
		why    string // contained in the error; empty if there is none
	}{
		"armored":    {"as gpg --export --armor writes it", fixture(t), ""},
		"binary":     {"as gpg --export writes it", binary.Bytes(), ""},
		"empty":      {"nothing could be verified by it", nil, "it holds no key"},
		"text":       {"no key at all", []byte("no key"), "reading the keyring"},
		"signers":    {"a list of signers with SSH keys", []byte("a ssh-ed25519 AAAA"), "reading the keyring"},
		"private":    {"no place for it", private.Bytes(), "public keys are wanted"},
		"large":      {"more than anybody exports", make([]byte, maxSize+1), "larger than"},
		"packets":    {"many small ones", bytes.Repeat([]byte{0xcd, 1, 'x'}, maxPackets+1), "more than 10000 packets"},
		"dsa":        {"its parameters are not bounded", append(bytes.Clone(binary.Bytes()), dsa...), "is one of DSA"},
		"rsa":        {"the work grows by the square", with(packet.NewRSAPublicKey(made, &rsa.PublicKey{N: large, E: 65537})), "has 8193 bits"},
		"end is cut": {"what comes before counts", with(packet.NewRSAPublicKey(made, &rsa.PublicKey{N: big.NewInt(15), E: 3}))[:binary.Len()+5], "unexpected EOF"},
	} {
		keys, err := Parse(c.data)
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) || (err == nil) != (len(keys) == 1) {
			t.Errorf("%s: %s: got %d keys, %v, want %q", name, c.reason, len(keys), err, c.why)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fixture(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := Parse(data)
		if (len(keys) == 0) == (err == nil) {
			t.Fatalf("got %v, %v", keys, err)
		}
		for _, e := range keys {
			if e.PrimaryKey.PubKeyAlgo == packet.PubKeyAlgoDSA {
				t.Errorf("got a key of DSA")
			}
		}
	})
}
