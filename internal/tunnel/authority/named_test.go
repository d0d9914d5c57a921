package authority

import (
	"crypto/x509"
	"testing"
	"time"
)

// reaches says why somebody who trusts roots would not take the hub for one of a name.
func reaches(t *testing.T, roots []byte, a *Authority, name string, now time.Time) error {
	t.Helper()
	shown, err := a.Named([]string{"hub.example.com", "192.0.2.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	for _, der := range shown.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(c)
	}
	_, err = shown.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool(t, roots), Intermediates: between, CurrentTime: now})
	return err
}

// TestNamed: people reach the hub by the names that were asked for, also who knows
// only the root before a rotation, and nobody takes it for what agents dial in at.
func TestNamed(t *testing.T) {
	dir, a := open(t)
	before := a.Roots()
	for name, ok := range map[string]bool{"hub.example.com": true, "192.0.2.1": true, "other.example.com": false, ServerName: false} {
		if err := reaches(t, before, a, name, start); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	first, _ := a.Named([]string{"x"}, start)
	again, _ := a.Named([]string{"x"}, start.Add(serverLife/3-time.Hour))
	later, _ := a.Named([]string{"x"}, start.Add(serverLife/3))
	if first != again || later == again {
		t.Error("a certificate is made anew after a third of its life, and not before")
	}
	if _, err := a.Named([]string{ServerName}, start); err == nil {
		t.Error("the name that agents know was given away")
	}
	print := a.Fingerprint()
	if err := Rotate(dir, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	for reason, roots := range map[string][]byte{"before": before, "after": a.Roots()} {
		if err := reaches(t, roots, a, "hub.example.com", start.Add(2*time.Hour)); err != nil {
			t.Errorf("who knows the roots of %s the rotation: %v", reason, err)
		}
	}
	if a.Fingerprint() == print {
		t.Error("another root has the same fingerprint")
	}
}
