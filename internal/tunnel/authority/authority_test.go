package authority

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/atomicfile"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// open makes an authority of fleet "test" and opens it.
func open(t *testing.T) (dir string, a *Authority) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "hub")
	if err := Init(dir, "test", start); err != nil {
		t.Fatal(err)
	}
	return dir, reopen(t, dir)
}

func reopen(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pool(t *testing.T, roots []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(roots) {
		t.Fatalf("no roots in %q", roots)
	}
	return p
}

// recognizes says why an agent that trusts roots would not take the hub for one.
func recognizes(t *testing.T, roots []byte, a *Authority, now time.Time) error {
	t.Helper()
	served, err := a.Server(now)
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	for _, der := range served.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(c)
	}
	_, err = served.Leaf.Verify(x509.VerifyOptions{DNSName: ServerName, Roots: pool(t, roots), Intermediates: between, CurrentTime: now})
	return err
}

// certificate has the authority sign one, and reads it.
func certificate(t *testing.T, a *Authority, id Identity, now time.Time) *x509.Certificate {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := NewRequest(key, id)
	if err != nil {
		t.Fatal(err)
	}
	request, err := ReadRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := a.Sign(request, 7*24*time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := x509.ParseCertificate(pemBytes(t, signed))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func accepts(a *Authority, c *x509.Certificate, now time.Time) error {
	_, err := c.Verify(x509.VerifyOptions{Roots: a.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

func TestInit(t *testing.T) {
	dir, a := open(t)
	if a.Fleet() != "test" {
		t.Errorf("the fleet is %q", a.Fleet())
	}
	info, err := os.Stat(filepath.Join(dir, File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, error %v", info.Mode(), err)
	}
	before := content(t, dir)
	if err := Init(dir, "test", start); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second authority over the first: %v", err)
	}
	if !bytes.Equal(before, content(t, dir)) {
		t.Error("the second Init changed the authority")
	}
	if err := Init(t.TempDir(), "Not A Name", start); err == nil {
		t.Error("any text can name a fleet")
	}
	if a.Serves("test") != nil || a.Serves("") != nil {
		t.Error("it does not serve its own fleet")
	}
	if err := a.Serves("other"); err == nil || !strings.Contains(err.Error(), `"test"`) || !strings.Contains(err.Error(), "nave hub init other") {
		t.Errorf("another fleet: %v", err)
	}
	if bytes.Contains(a.Roots(), []byte("PRIVATE")) {
		t.Error("the key is among the roots")
	}
}

func content(t *testing.T, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir, _ := open(t)
	other, _ := open(t)
	if err := Rotate(other, start); err != nil {
		t.Fatal(err)
	}
	good, foreign := content(t, dir), content(t, other)
	key, root, _ := bytes.Cut(good, []byte("-----BEGIN CERT"))
	root = append([]byte("-----BEGIN CERT"), root...)
	tests := []struct {
		reason string
		file   []byte
		want   string
	}{
		{"a hub that lost the file must not go on with another", nil, "nave hub init"},
		{"a file that was cut off", good[:len(good)/2], ""},
		{"a key alone", key, "not complete"},
		{"a root alone", root, "not complete"},
		{"two keys", append(bytes.Clone(key), good...), "more than one key"},
		{"a key of another root", append(bytes.Clone(foreign[:len(key)]), root...), "not that of the first root"},
		{"a key that is not one", []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "key"},
		{"a block of something else", append([]byte("-----BEGIN X-----\nAAAA\n-----END X-----\n"), good...), `"X"`},
		{"an older root that signed nothing", append(bytes.Clone(good), root...), "older root"},
		{"a root that another fleet's authority signed", append(bytes.Clone(good), foreign[len(key):]...), "older root"},
		{"text behind", append(bytes.Clone(good), "more"...), "no PEM block"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			dir := t.TempDir()
			if test.file != nil {
				if err := atomicfile.Write(filepath.Join(dir, File), test.file); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, and says nothing of %q", err, test.want)
			}
		})
	}
}

// TestReadOnly opens what a Secret that is mounted looks like.
func TestReadOnly(t *testing.T) {
	dir, _ := open(t)
	mount := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, File), filepath.Join(mount, File)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(mount, 0o500); err != nil {
		t.Fatal(err)
	}
	reopen(t, mount)
	if entries, err := os.ReadDir(mount); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, error %v", entries, err)
	}
}

// TestRotate follows two agents through a rotation: one that is there, and one
// that is away for all of it but comes back within the life of its certificate.
func TestRotate(t *testing.T) {
	const life = 7 * 24 * time.Hour
	dir, hub := open(t)
	id := Identity{"test", "prod", 1}
	oldRoots, oldCertificate := hub.Roots(), certificate(t, hub, id, start)
	token, _, err := hub.Token("prod", 2, life, start)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("mark")
	seal, err := hub.Seal(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := Rotate(dir, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := Rotate(dir, start.Add(time.Hour)); err == nil {
		t.Error("a second rotation forgets the first root, which agents may trust")
	}
	if err := hub.Reload(); err != nil {
		t.Fatal(err)
	}
	newRoots, newCertificate := hub.Roots(), certificate(t, hub, id, start.Add(time.Hour))
	if bytes.Equal(oldRoots, newRoots) {
		t.Fatal("the hub that runs knows nothing of the rotation")
	}

	for name, roots := range map[string][]byte{"old": oldRoots, "new": newRoots} {
		if err := recognizes(t, roots, hub, start.Add(2*time.Hour)); err != nil {
			t.Errorf("an agent with the %s roots: %v", name, err)
		}
	}
	for name, c := range map[string]*x509.Certificate{"old": oldCertificate, "new": newCertificate} {
		if err := accepts(hub, c, start.Add(2*time.Hour)); err != nil {
			t.Errorf("a certificate of the %s root: %v", name, err)
		}
	}
	if _, err := hub.Verify(token, start.Add(2*time.Hour)); err != nil {
		t.Errorf("a token from before: %v", err)
	}
	if !hub.Sealed(text, seal) {
		t.Error("what was sealed before does not count")
	}

	if err := Retire(dir, life, false, start.Add(life)); err == nil {
		t.Error("the old root was retired while its certificates count")
	}
	if err := Retire(dir, life, false, start.Add(life+26*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := Retire(dir, life, false, start.Add(life+26*time.Hour)); err != nil {
		t.Errorf("nothing to retire: %v", err)
	}
	hub = reopen(t, dir)
	if err := accepts(hub, oldCertificate, start.Add(2*time.Hour)); err == nil {
		t.Error("a retired root still counts")
	}
	if err := accepts(hub, newCertificate, start.Add(2*time.Hour)); err != nil {
		t.Error(err)
	}
	if err := recognizes(t, newRoots, hub, start.Add(2*time.Hour)); err != nil {
		t.Error(err)
	}
	if _, err := hub.Verify(token, start.Add(2*time.Hour)); err == nil {
		t.Error("a token of a retired root still counts")
	}
	if hub.Sealed(text, seal) {
		t.Error("what a retired root sealed still counts")
	}
}

func TestRetireEarly(t *testing.T) {
	dir, hub := open(t)
	stolen := certificate(t, hub, Identity{"test", "prod", 1}, start)
	if err := Rotate(dir, start); err != nil {
		t.Fatal(err)
	}
	if err := Retire(dir, time.Hour, true, start); err != nil {
		t.Fatal(err)
	}
	if err := accepts(reopen(t, dir), stolen, start); err == nil {
		t.Error("what the stolen key signed still counts")
	}
}

// TestReloadKeeps holds a hub that runs to the authority it has when the file is
// gone or another fleet's.
func TestReloadKeeps(t *testing.T) {
	dir, hub := open(t)
	roots := hub.Roots()
	if err := os.Remove(filepath.Join(dir, File)); err != nil {
		t.Fatal(err)
	}
	if err := hub.Reload(); err == nil {
		t.Error("a file that is gone was reloaded")
	}
	if err := Init(dir, "other", start); err != nil {
		t.Fatal(err)
	}
	if err := hub.Reload(); err == nil {
		t.Error("the authority of another fleet was taken")
	}
	if !bytes.Equal(roots, hub.Roots()) {
		t.Error("what was read before is not in force")
	}
}

// TestSkew has both certificates count for who is an hour off, in either
// direction.
func TestSkew(t *testing.T) {
	_, hub := open(t)
	c := certificate(t, hub, Identity{"test", "prod", 1}, start)
	for _, skew := range []time.Duration{-90 * time.Minute, 0, 90 * time.Minute} {
		if err := accepts(hub, c, start.Add(skew)); err != nil {
			t.Errorf("a certificate seen %s later: %v", skew, err)
		}
		served, err := hub.Server(start)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := served.Leaf.Verify(x509.VerifyOptions{DNSName: ServerName, Roots: hub.Pool(), CurrentTime: start.Add(skew)}); err != nil {
			t.Errorf("the hub seen %s later: %v", skew, err)
		}
	}
	if err := accepts(hub, c, start.Add(7*24*time.Hour+time.Second)); err == nil {
		t.Error("a certificate counts for ever")
	}
}

// TestServerIsRenewed holds the hub's own certificate to being fresh, also after
// its clock was set back.
func TestServerIsRenewed(t *testing.T) {
	_, hub := open(t)
	for _, now := range []time.Time{start, start.Add(29 * 24 * time.Hour), start.Add(time.Hour)} {
		if err := recognizes(t, hub.Roots(), hub, now); err != nil {
			t.Errorf("at %s: %v", now, err)
		}
	}
}

// TestPurposes keeps the certificates of agents and hub apart.
func TestPurposes(t *testing.T) {
	_, hub := open(t)
	agent := certificate(t, hub, Identity{"test", "hub.nave.internal", 1}, start)
	if _, err := agent.Verify(x509.VerifyOptions{DNSName: ServerName, Roots: hub.Pool(), CurrentTime: start}); err == nil {
		t.Error("an agent can pass for the hub")
	}
	served, err := hub.Server(start)
	if err != nil {
		t.Fatal(err)
	}
	if err := accepts(hub, served.Leaf, start); err == nil {
		t.Error("the hub's certificate is one of an agent")
	}
}

func TestSignKnowsOneFleet(t *testing.T) {
	_, hub := open(t)
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := NewRequest(key, Identity{"other", "prod", 1})
	if err != nil {
		t.Fatal(err)
	}
	request, err := ReadRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Sign(request, time.Hour, start); err == nil {
		t.Error("a certificate of another fleet was signed")
	}
}

func TestToken(t *testing.T) {
	_, hub := open(t)
	_, foreign := open(t)
	token, claims, err := hub.Token("prod", 4, 0, start)
	if err != nil {
		t.Fatal(err)
	}
	got, err := hub.Verify(token+"\n", start.Add(59*time.Minute))
	if diff := cmp.Diff(claims, got); diff != "" || err != nil {
		t.Errorf("the token says something else (error %v):\n%s", err, diff)
	}
	if got.Identity() != (Identity{"test", "prod", 4}) || !got.Expires.Equal(start.Add(TokenLife)) {
		t.Errorf("the token is %+v", got)
	}
	if strings.ContainsAny(token, " \t\n\"'$`\\/+=") {
		t.Errorf("%s does not survive a shell, a URL or a YAML file", token)
	}
	if got, err := hub.Verify(token, start.Add(time.Hour)); !errors.Is(err, ErrExpired) || got != claims {
		t.Errorf("after an hour the error is %v, for %+v", err, got)
	}
	if _, err := foreign.Verify(token, start); err == nil {
		t.Error("another hub takes the token")
	}
	for i := range len(token) {
		if _, err := ReadToken(token[:i]); err == nil {
			t.Fatalf("the first %d characters pass for all", i)
		}
	}
	if _, err := ReadToken(token[:len(token)-3]); !strings.Contains(err.Error(), "cut off") {
		t.Errorf("the error for a token that was cut off is %v", err)
	}

	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	forged := parts[0] + "." + base64.RawURLEncoding.EncodeToString(bytes.Replace(payload, []byte("prod"), []byte("dev1"), 1)) + "." + parts[2]
	if _, err := hub.Verify(forged+"."+checksum(forged), start); err == nil || !strings.Contains(err.Error(), "not one of this hub's") {
		t.Errorf("a token that was made to name another cluster: %v", err)
	}
	if _, _, err := hub.Token("prod", 0, 0, start); err == nil {
		t.Error("identities begin at 1")
	}
}

// TestSeal knows what the authority sealed from what it signed otherwise, and from
// what others did.
func TestSeal(t *testing.T) {
	_, a := open(t)
	_, other := open(t)
	text := []byte("mark")
	seal, err := a.Seal(text)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Seal(text)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := a.Token("prod", 1, 0, start)
	if err != nil {
		t.Fatal(err)
	}
	_, payload, signature, err := splitToken(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason     string
		text, seal []byte
		want       bool
	}{
		{"its own", text, seal, true},
		{"another text", []byte("marl"), seal, false},
		{"another authority's", text, foreign, false},
		{"none", text, nil, false},
		{"the signature of a token", payload, signature, false},
	} {
		if a.Sealed(c.text, c.seal) != c.want {
			t.Errorf("%s: sealed is %t", c.reason, !c.want)
		}
	}
}
