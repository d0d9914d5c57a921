// Package commitsig checks the signatures of Git commits: Signers verify those of SSH, a Keyring those of OpenPGP, and
// Trusted either. All are functions of a commit object and keys; they run no program, so that neither ssh-keygen nor gpg
// nor their versions on a machine matter, and read no file. X.509 signatures, certificates of SSH, and the signatures of
// tags are not checked.
package commitsig

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Result says who signed a commit, or why that is not known.
type Result struct {
	Signer      string // the principals of the allowed signer, or the name of an OpenPGP key; empty unless the commit is verified
	Fingerprint string // of the key that the signature names, allowed or not, or the id of an unknown OpenPGP key; empty if there is none
	Primary     string // fingerprint of the OpenPGP key of the keyring that the signing one is, or is a subkey of; empty if there is none
	Reason      string // why the commit is not verified; empty if it is
}

// Verified reports whether an allowed signer signed the commit.
func (r Result) Verified() bool { return r.Reason == "" && r.Signer != "" }

// String says the result in one line.
func (r Result) String() string {
	if r.Verified() {
		return fmt.Sprintf("signed by %s with key %s", r.Signer, r.Fingerprint)
	}
	return r.Reason
}

// Trusted is whose signatures count: those of Signers by SSH, and those of Keys by OpenPGP. Nil ones are nobody.
type Trusted struct {
	Signers *Signers
	Keys    *Keyring
}

// Verify checks a commit, given as the object that Git stores, by the kind of its signature; see the Verify of either.
func (t Trusted) Verify(commit []byte, now time.Time) Result {
	switch c, _ := parseCommit(commit); {
	case t.Keys != nil && (t.Signers == nil || isOpenPGP(c.signature)):
		return t.Keys.Verify(commit, now)
	case t.Signers != nil:
		return t.Signers.Verify(commit)
	}
	return Result{Reason: "nobody may sign"}
}

// Verify checks a commit, given as the object that Git stores. The validity of a key is that at the commit's own date,
// as with git verify-commit: a key that has expired since leaves its commits verified, and somebody who has an
// expired key can date a commit back. Remove a key that was stolen from the list.
func (s *Signers) Verify(commit []byte) Result {
	c, reason := parseCommit(commit)
	if reason != "" {
		return Result{Reason: reason}
	}
	sig, reason := parseSignature(c.signature)
	if reason != "" {
		return Result{Reason: reason}
	}
	result := Result{Fingerprint: ssh.FingerprintSHA256(sig.key)}
	if sig.namespace != namespace {
		result.Reason = fmt.Sprintf("the signature is one for %q, not for Git", sig.namespace)
		return result
	}
	if err := sig.verify(c.payload); err != nil {
		result.Reason = fmt.Sprintf("the signature does not fit the commit: %v", err)
		return result
	}
	result.Reason = fmt.Sprintf("the key %s is not that of an allowed signer", result.Fingerprint)
	for _, s := range s.list {
		if !bytes.Equal(s.key, sig.key.Marshal()) {
			continue
		}
		switch {
		case !s.after.IsZero() && c.date.Before(s.after):
			result.Reason = fmt.Sprintf("the key of %s is valid from %s, and the commit is of %s", s.principals, date(s.after), date(c.date))
		case !s.before.IsZero() && !c.date.Before(s.before):
			result.Reason = fmt.Sprintf("the key of %s was valid until %s, and the commit is of %s", s.principals, date(s.before), date(c.date))
		default:
			result.Signer, result.Reason = s.principals, ""
			return result
		}
	}
	return result
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// signedCommit is what matters about a commit object.
type signedCommit struct {
	signature []byte // armored
	payload   []byte // the commit without its signatures, which is what was signed
	date      time.Time
}

// parseCommit takes a commit apart. A header line that begins with a space continues the one before. The signature
// stands in the header gpgsig, or gpgsig-sha256 in a repository with SHA-256 hashes; neither is signed itself.
func parseCommit(commit []byte) (c signedCommit, reason string) {
	header := "gpgsig"
	if first, _, _ := bytes.Cut(commit, []byte("\n")); len(first) == len("tree ")+2*sha256.Size {
		header = "gpgsig-sha256"
	}
	const none, ours, theirs = 0, 1, 2
	in, signatures, committers := none, 0, 0
	rest := commit
	for len(rest) > 0 && rest[0] != '\n' {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		line := rest[:end]
		rest = rest[end:]
		key, value, _ := bytes.Cut(line, []byte(" "))
		if len(key) > 0 { // no continuation
			in = none
			switch string(key) {
			case header:
				in = ours
				signatures++
			case "gpgsig", "gpgsig-sha256":
				in = theirs
			case "committer":
				committers++
				if c.date, reason = commitDate(value); reason != "" {
					return c, reason
				}
			}
		}
		switch in {
		case ours:
			c.signature = append(c.signature, value...)
		case none:
			c.payload = append(c.payload, line...)
		}
	}
	c.payload = append(c.payload, rest...)
	switch {
	case committers != 1:
		return c, "the commit is malformed: it has not one committer"
	case signatures == 0:
		return c, "the commit is not signed"
	case signatures > 1:
		return c, "the commit has more than one signature"
	}
	return c, ""
}

// commitDate reads the time of "NAME <EMAIL> SECONDS ZONE".
func commitDate(committer []byte) (t time.Time, reason string) {
	_, when, _ := strings.Cut(string(committer), "> ")
	seconds, _, _ := strings.Cut(when, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, "the commit is malformed: its date cannot be read"
	}
	return time.Unix(n, 0).UTC(), ""
}

// signature is an SSH signature, as PROTOCOL.sshsig of OpenSSH says.
type signature struct {
	key       ssh.PublicKey
	namespace string
	reserved  string
	hash      string
	raw       ssh.Signature
}

const magic = "SSHSIG"

func parseSignature(armored []byte) (sig signature, reason string) {
	malformed := func(what string) (signature, string) {
		return signature{}, "the signature is malformed: " + what
	}
	for begin, kind := range map[string]string{"-----BEGIN PGP ": "OpenPGP", "-----BEGIN SIGNED MESSAGE": "X.509"} {
		if bytes.HasPrefix(armored, []byte(begin)) {
			return signature{}, fmt.Sprintf("the commit is signed with %s, and there is a list of signers with SSH keys only", kind)
		}
	}
	block, rest := pem.Decode(armored)
	if block == nil || block.Type != "SSH SIGNATURE" || len(bytes.TrimSpace(rest)) > 0 {
		return malformed("it is not an armored SSH signature")
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte(magic))
	var fields struct {
		Version   uint32
		Key       []byte
		Namespace string
		Reserved  string
		Hash      string
		Signature []byte
	}
	if !ok || ssh.Unmarshal(body, &fields) != nil {
		return malformed("its fields cannot be read")
	}
	if fields.Version != 1 {
		return malformed(fmt.Sprintf("its version is %d, not 1", fields.Version))
	}
	sig = signature{namespace: fields.Namespace, reserved: fields.Reserved, hash: fields.Hash}
	var err error
	if sig.key, err = ssh.ParsePublicKey(fields.Key); err != nil {
		return malformed("its key cannot be read")
	}
	if ssh.Unmarshal(fields.Signature, &sig.raw) != nil {
		return malformed("its fields cannot be read")
	}
	return sig, ""
}

// verify checks that the signature was made with its key over the payload.
func (s signature) verify(payload []byte) error {
	var sum []byte
	switch s.hash {
	case "sha256":
		h := sha256.Sum256(payload)
		sum = h[:]
	case "sha512":
		h := sha512.Sum512(payload)
		sum = h[:]
	default:
		return fmt.Errorf("hash %q is not supported", s.hash)
	}
	// PROTOCOL.sshsig forbids the signature format "ssh-rsa", which is over SHA-1.
	if s.raw.Format == ssh.KeyAlgoRSA {
		return fmt.Errorf("signatures of format %q are not safe", s.raw.Format)
	}
	signed := append([]byte(magic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{s.namespace, s.reserved, s.hash, sum})...)
	return s.key.Verify(signed, &s.raw)
}
