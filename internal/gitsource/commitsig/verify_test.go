package commitsig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// The commits in testdata were signed by git with keys of ssh-keygen that are gone.
func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func parse(tb testing.TB, lines string) *Signers {
	tb.Helper()
	signers, err := ParseSigners([]byte(lines))
	if err != nil {
		tb.Fatal(err)
	}
	return signers
}

func TestVerifyCommitsOfGit(t *testing.T) {
	allowed := string(fixture(t, "allowed_signers"))
	ed25519Line, _, _ := strings.Cut(allowed, "\n")
	withOptions := func(options string) string { return strings.Replace(ed25519Line, " ", " "+options+" ", 1) }
	const key = "SHA256:"
	cases := map[string]struct {
		reason  string
		commit  string
		change  func(commit string) string
		signers string
		signer  string
		why     string // contained in the reason
	}{
		"ed25519": {reason: "the usual kind of key", commit: "ed25519", signer: "ed25519@example.com"},
		"ecdsa":   {reason: "a NIST curve", commit: "ecdsa", signer: "ecdsa@example.com"},
		"rsa":     {reason: "RSA with SHA-2", commit: "rsa", signer: "rsa@example.com"},
		"sha256":  {reason: "a repository with SHA-256 hashes", commit: "sha256", signer: "ed25519@example.com"},
		"body":    {reason: "a message that looks like a signature", commit: "body", signer: "ed25519@example.com"},

		"unsigned": {reason: "no signature", commit: "unsigned", why: "the commit is not signed"},
		"stranger": {reason: "a good signature of somebody else", commit: "rsa", signers: ed25519Line,
			why: "is not that of an allowed signer"},
		"nobody": {reason: "an empty list allows nobody", commit: "rsa", signers: "# none\n",
			why: "is not that of an allowed signer"},
		"message changed": {reason: "one letter of the message", commit: "ed25519",
			change: func(c string) string { return strings.Replace(c, "Signed with", "signed with", 1) },
			why:    "the signature does not fit the commit"},
		"tree changed": {reason: "one digit of the tree", commit: "ed25519",
			change: func(c string) string { return "tree 0" + c[6:] },
			why:    "the signature does not fit the commit"},
		"header added": {reason: "a header that was not signed", commit: "ed25519",
			change: func(c string) string { return strings.Replace(c, "gpgsig", "encoding x\ngpgsig", 1) },
			why:    "the signature does not fit the commit"},
		"signature of the other hash": {reason: "the same commit in a repository that was converted carries two signatures", commit: "ed25519",
			change: func(c string) string {
				return strings.Replace(c, "gpgsig", "gpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n x\ngpgsig", 1)
			},
			signer: "ed25519@example.com"},
		"signature moved to the wrong header": {reason: "the header of the other hash is not read", commit: "ed25519",
			change: func(c string) string { return strings.Replace(c, "gpgsig", "gpgsig-sha256", 1) },
			why:    "the commit is not signed"},
		"two signatures": {reason: "it is not ours to choose", commit: "ed25519",
			change: func(c string) string { return strings.Replace(c, "gpgsig", "gpgsig x\ngpgsig", 1) },
			why:    "the commit has more than one signature"},
		"signature in the message": {reason: "only headers count", commit: "unsigned",
			change: func(c string) string { return c + "\ngpgsig -----BEGIN SSH SIGNATURE-----\n" },
			why:    "the commit is not signed"},
		"armor cut": {reason: "the end is missing", commit: "ed25519",
			change: func(c string) string { return strings.Replace(c, "\n -----END SSH SIGNATURE-----", "", 1) },
			why:    "the signature is malformed"},
		"body cut": {reason: "the end is missing", commit: "ed25519",
			change: func(c string) string { return cutLine(c, "-----END", -1) },
			why:    "the signature is malformed"},
		"OpenPGP": {reason: "another kind of signature is named", commit: "unsigned",
			change: func(c string) string {
				return strings.Replace(c, "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ\n -----END PGP SIGNATURE-----\n\n", 1)
			},
			why: "signed with OpenPGP"},
		"no committer": {reason: "a date is needed", commit: "ed25519",
			change: func(c string) string { return strings.Replace(c, "\ncommitter", "\ncommuter", 1) },
			why:    "it has not one committer"},
		"no date": {reason: "a date is needed", commit: "ed25519",
			change: func(c string) string { return strings.ReplaceAll(c, "1718452800", "yesterday") },
			why:    "its date cannot be read"},
		"empty": {reason: "nothing at all", commit: "ed25519", change: func(string) string { return "" }, why: "malformed"},

		"valid then": {reason: "the date of the commit counts", commit: "ed25519",
			signers: withOptions(`valid-after="20240615",valid-before="20240616"`), signer: "ed25519@example.com"},
		"too early": {reason: "before the key became valid", commit: "ed25519", signers: withOptions(`valid-after="202406151201Z"`),
			why: "the key of ed25519@example.com is valid from 2024-06-15T12:01:00Z, and the commit is of 2024-06-15T12:00:00Z"},
		"too late": {reason: "after the key was valid; the end itself is outside", commit: "ed25519", signers: withOptions(`valid-before="20240615120000"`),
			why: "the key of ed25519@example.com was valid until 2024-06-15T12:00:00Z, and the commit is of 2024-06-15T12:00:00Z"},
		"renewed": {reason: "one line of several is enough", commit: "ed25519",
			signers: withOptions(`valid-before="20200101"`) + "\n" + withOptions(`valid-after="20200101"`), signer: "ed25519@example.com"},
		"for Git": {reason: "namespaces are patterns", commit: "ed25519", signers: withOptions(`namespaces="file,g?t"`), signer: "ed25519@example.com"},
		"not for Git": {reason: "a key for files may not sign commits", commit: "ed25519", signers: withOptions(`namespaces="file"`),
			why: "is not that of an allowed signer"},
		"excluded": {reason: "an excluding pattern wins", commit: "ed25519", signers: withOptions(`namespaces="*,!git"`),
			why: "is not that of an allowed signer"},
	}
	for name, c := range cases {
		commit, signers := string(fixture(t, c.commit+".commit")), c.signers
		if c.change != nil {
			commit = c.change(commit)
		}
		if signers == "" {
			signers = allowed
		}
		got := parse(t, signers).Verify([]byte(commit))
		if got.Signer != c.signer || got.Verified() != (c.signer != "") || !strings.Contains(got.Reason, c.why) || (got.Reason == "") != (c.why == "") {
			t.Errorf("%s: %s: got %+v, want signer %q or %q", name, c.reason, got, c.signer, c.why)
		}
		if got.Verified() && !strings.HasPrefix(got.Fingerprint, key) {
			t.Errorf("%s: no fingerprint in %+v", name, got)
		}
	}
}

// cutLine removes the line that is so many before the one with mark.
func cutLine(text, mark string, offset int) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.Contains(line, mark) {
			return strings.Join(append(lines[:i+offset:i+offset], lines[i+offset+1:]...), "")
		}
	}
	return text
}

// sshsig is what a test puts into a signature.
type sshsig struct {
	version   uint32
	namespace string
	hash      string
	key       ssh.PublicKey
	sign      func(data []byte) (*ssh.Signature, error)
}

// commit makes a signed commit.
func (s sshsig) commit(tb testing.TB) []byte {
	tb.Helper()
	const head, body = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ncommitter A <a> 1700000000 +0000\n", "\nmessage\n"
	sum512, sum256 := sha512.Sum512([]byte(head+body)), sha256.Sum256([]byte(head+body))
	sum := sum512[:]
	if s.hash == "sha256" {
		sum = sum256[:]
	}
	raw, err := s.sign(append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{s.namespace, "", s.hash, sum})...))
	if err != nil {
		tb.Fatal(err)
	}
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{s.version, s.key.Marshal(), s.namespace, "", s.hash, ssh.Marshal(raw)})...)
	armored := pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})
	return fmt.Appendf(nil, "%sgpgsig %s\n%s", head, bytes.ReplaceAll(bytes.TrimSpace(armored), []byte("\n"), []byte("\n ")), body)
}

func TestVerifyForms(t *testing.T) {
	edPublic, edPrivate, err1 := ed25519.GenerateKey(rand.Reader)
	rsaPrivate, err2 := rsa.GenerateKey(rand.Reader, 2048)
	edSigner, err3 := ssh.NewSignerFromKey(edPrivate)
	rsaSigner, err4 := ssh.NewSignerFromKey(rsaPrivate)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	usual := sshsig{version: 1, namespace: "git", hash: "sha512", key: edSigner.PublicKey(),
		sign: func(data []byte) (*ssh.Signature, error) { return edSigner.Sign(rand.Reader, data) }}

	// A security key signs a hash of its application and the data, with flags that say whether it was touched.
	securityKey := ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, edPublic, "ssh:"})
	sk, err := ssh.ParsePublicKey(securityKey)
	if err != nil {
		t.Fatal(err)
	}
	touch := func(flags byte) func([]byte) (*ssh.Signature, error) {
		return func(data []byte) (*ssh.Signature, error) {
			app, sum := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
			rest := []byte{flags, 0, 0, 0, 7}
			return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Rest: rest,
				Blob: ed25519.Sign(edPrivate, bytes.Join([][]byte{app[:], rest, sum[:]}, nil))}, nil
		}
	}
	cases := map[string]struct {
		reason string
		change func(s *sshsig)
		why    string
	}{
		"usual":       {"as Git does it", func(*sshsig) {}, ""},
		"sha256":      {"the other hash that OpenSSH knows", func(s *sshsig) { s.hash = "sha256" }, ""},
		"sha1":        {"a hash that it does not", func(s *sshsig) { s.hash = "sha1" }, `hash "sha1" is not supported`},
		"file":        {"a signature of a file is not one of a commit", func(s *sshsig) { s.namespace = "file" }, `the signature is one for "file"`},
		"version":     {"a version to come", func(s *sshsig) { s.version = 2 }, "its version is 2"},
		"touched":     {"a security key that was touched", func(s *sshsig) { s.key, s.sign = sk, touch(1) }, ""},
		"not touched": {"a security key in the hands of a program", func(s *sshsig) { s.key, s.sign = sk, touch(0) }, "does not fit"},
		"rsa sha1": {"RSA over SHA-1 is not safe", func(s *sshsig) {
			s.key = rsaSigner.PublicKey()
			s.sign = func(data []byte) (*ssh.Signature, error) { return rsaSigner.Sign(rand.Reader, data) }
		}, `format "ssh-rsa" are not safe`},
		"another key": {"the key that is named did not sign", func(s *sshsig) { s.key = rsaSigner.PublicKey() }, "does not fit"},
	}
	for name, c := range cases {
		s := usual
		c.change(&s)
		allowed := parse(t, fmt.Sprintf("a@example.com,b@example.com %s", ssh.MarshalAuthorizedKey(s.key)))
		got := allowed.Verify(s.commit(t))
		if got.Verified() != (c.why == "") || !strings.Contains(got.Reason, c.why) {
			t.Errorf("%s: %s: got %+v, want %q", name, c.reason, got, c.why)
		}
		if got.Verified() && got.Signer != "a@example.com,b@example.com" {
			t.Errorf("%s: signer %q", name, got.Signer)
		}
	}
}

// TestVerifyAgreesWithGit signs with the tools of this machine, where they are there, and lets git judge as well.
func TestVerifyAgreesWithGit(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed: signatures are checked on fixtures only")
	}
	dir := t.TempDir()
	git := func(args ...string) ([]byte, error) {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=A",
			"GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com")
		return cmd.Output()
	}
	must := func(out []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	key := filepath.Join(dir, "key")
	must(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput())
	public := must(os.ReadFile(key + ".pub"))
	must(git("init", "--quiet"))
	must(git("-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "commit", "--quiet", "-S", "--allow-empty", "-m", "a\n\nb"))
	commit := must(git("cat-file", "commit", "HEAD"))
	for name, c := range map[string]struct {
		line string
		want bool
	}{
		"allowed":     {"a@example.com " + string(public), true},
		"file only":   {`a@example.com namespaces="file" ` + string(public), false},
		"not any one": {string(fixture(t, "allowed_signers")), false},
	} {
		file := filepath.Join(dir, "allowed")
		must(nil, os.WriteFile(file, []byte(c.line), 0o600))
		_, err := git("-c", "gpg.ssh.allowedSignersFile="+file, "verify-commit", "HEAD")
		if got := parse(t, c.line).Verify(commit); got.Verified() != c.want || (err == nil) != c.want {
			t.Errorf("%s: got %+v, git says %v, want %v", name, got, err, c.want)
		}
	}
}

func TestParseSigners(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAWeF6EVyVRrfTL/XSYx5j76zgr8SoIOb4ttue/SisLX"
	cases := []struct{ reason, lines, err string }{
		{"comments and empty lines are skipped, comments may follow", "# who\n\n a " + key + " laptop\n\"b c\" " + key + "\r\n", ""},
		{"no key", "a\n", "allowed signers, line 1: it is not principals, options and a key"},
		{"no end of a quotation", `"a ` + key, "allowed signers, line 1: it is not principals, options and a key"},
		{"bad key", "a ssh-ed25519 AAAA", "allowed signers, line 1: reading the key: "},
		{"an authority", "a cert-authority " + key, `allowed signers, line 1: option "cert-authority" is not supported`},
		{"bad time", `a valid-after="2024" ` + key, `allowed signers, line 1: time "2024" is not YYYYMMDD[HHMM[SS]][Z]`},
		{"bad pattern", `a namespaces="[g]it" ` + key, `allowed signers, line 1: pattern "[g]it" is not supported`},
		{"every bad line is reported", "a\na " + key + "\nb\n", "line 3: it is not"},
	}
	for _, c := range cases {
		_, err := ParseSigners([]byte(c.lines))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %q", c.reason, err, c.err)
		}
	}
}

func FuzzParseSigners(f *testing.F) {
	f.Add(fixture(f, "allowed_signers"))
	f.Add([]byte(`"a" namespaces="git",valid-after="20240101" ssh-ed25519 AAAA`))
	f.Fuzz(func(t *testing.T, data []byte) {
		signers, err := ParseSigners(data)
		if signers == nil {
			t.Fatal("no signers")
		}
		if lines := bytes.Count(data, []byte("\n")) + 1; len(signers.list) > lines {
			t.Errorf("%d signers in %d lines, %v", len(signers.list), lines, err)
		}
	})
}

// FuzzVerify holds that no change of a signed commit is verified, unless it is one of what is not signed.
func FuzzVerify(f *testing.F) {
	signers := parse(f, string(fixture(f, "allowed_signers")))
	for _, name := range []string{"ed25519", "ecdsa", "rsa", "sha256", "body", "unsigned"} {
		f.Add(fixture(f, name+".commit"))
	}
	signed := map[string]bool{}
	for _, name := range []string{"ed25519", "ecdsa", "rsa", "sha256", "body"} {
		c, _ := parseCommit(fixture(f, name+".commit"))
		signed[string(c.payload)] = true
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := signers.Verify(data); got.Verified() {
			if c, _ := parseCommit(data); !signed[string(c.payload)] {
				t.Errorf("verified %q: %v", data, got)
			}
		}
	})
}
