package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"nave.dev/internal/atomicfile"
)

// Init makes the authority of a fleet in dir, which it creates. An authority that
// is there already is an error, and is not touched.
func Init(dir, fleet string, now time.Time) error {
	if !isName(fleet) {
		return fmt.Errorf("%q cannot be the name of a fleet: lower case letters, digits, '-' and '.' only", fleet)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the authority: %w", err)
	}
	return change(dir, func(path string) (*state, error) {
		_, err := os.Lstat(path)
		if err == nil {
			return nil, fmt.Errorf("there is an authority in %q already\nhint: `nave hub rotate` replaces its key, and no agent needs to enrol again", path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("making the authority: %w", err)
		}
		return newState(fleet, nil, now)
	})
}

// Rotate gives the authority a new key, signed by the old one, which is then
// forgotten; the old root stays trusted until Retire. Hubs that run are to Reload.
// It is an error while an older root is not retired yet.
func Rotate(dir string, now time.Time) error {
	return change(dir, func(path string) (*state, error) {
		old, err := load(path)
		if err != nil {
			return nil, err
		}
		if len(old.roots) > 1 {
			return nil, errors.New("the authority was rotated before, and its older root still counts\nhint: retire that first")
		}
		return newState(old.fleet, old, now)
	})
}

// noticing is how long a hub may go on signing with the key that Rotate replaced.
const noticing = 24 * time.Hour

// Retire ends the trust in the root before the newest. Agents whose certificate it
// signed, and which were away ever since the rotation, have to enrol again; so it
// is an error before all certificates that the old root can have signed, with the
// given life, have ended, unless early is set, as it must be where the old key was
// stolen. Nothing to retire is no error.
func Retire(dir string, life time.Duration, early bool, now time.Time) error {
	return change(dir, func(path string) (*state, error) {
		s, err := load(path)
		if err != nil || len(s.roots) == 1 {
			return nil, err
		}
		if end := s.roots[0].NotBefore.Add(Skew + noticing + life); now.Before(end) && !early {
			return nil, fmt.Errorf("agents that were away since the rotation have certificates of the older root until %s\nhint: wait, or retire it early, and enrol those agents again", end.UTC().Format(time.RFC3339))
		}
		s.roots, s.cross = s.roots[:1], nil
		return s, nil
	})
}

// change replaces the file by what a function makes of it, nil for no change,
// while no other process does.
func change(dir string, next func(path string) (*state, error)) error {
	lock, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("changing the authority: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("changing the authority in %q, which another process may be doing: %w", dir, err)
	}
	path := filepath.Join(dir, File)
	s, err := next(path)
	if err != nil || s == nil {
		return err
	}
	data, err := s.encode()
	if err != nil {
		return err
	}
	if err := atomicfile.WriteDurably(path, data); err != nil {
		return fmt.Errorf("writing the authority: %w", err)
	}
	return nil
}

// newState makes a key and its root, signed by the old one too, if there is one.
func newState(fleet string, old *state, now time.Time) (*state, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	sum := sha256.Sum256(public)
	template := &x509.Certificate{
		// Of one fleet all roots have names of their own, so that no reader mixes them up.
		Subject:   pkix.Name{Organization: []string{fleet}, CommonName: fmt.Sprintf("nave authority %x", sum[:8])},
		NotBefore: now.Add(-Skew), NotAfter: now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1,
	}
	root, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	s := &state{fleet: fleet, key: key, roots: []*x509.Certificate{root}}
	if old != nil {
		template.MaxPathLen, template.MaxPathLenZero = 0, true
		template.NotAfter = old.roots[0].NotAfter
		if s.cross, err = sign(template, old.roots[0], &key.PublicKey, old.key); err != nil {
			return nil, err
		}
		s.roots = append(s.roots, old.roots[0])
	}
	return s, nil
}

func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
