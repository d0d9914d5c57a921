// Package authority is the one root of trust between the hub and the agents of a
// fleet: it makes and reads the file that holds the authority's key, signs the
// certificates of hub and agents and the tokens by which agents enrol, and says
// whom a certificate or a token names. Its main type is [Authority], as opened by
// a hub; agents use the functions that need no key.
//
// All of it is one file, so that a change is one rename and a process that is
// killed leaves the state before or the state after. While a root is being
// replaced the file holds two: the newer signs, is itself signed by the older,
// and both are trusted, so that agents that know only the older still recognize
// the hub. The package speaks no network and remembers nothing: which tokens were
// used, and which identities were revoked, is the hub's to know.
package authority

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// File is the name of the authority's file in its directory.
	File = "authority.pem"
	// ServerName is the name that a hub proves, wherever it is reached.
	ServerName = "hub.nave.internal"
	// Skew is how long before it is made a certificate begins to count: the clocks
	// of hub and agent, and of a hub before and after its clock was set, may be an
	// hour off in opposite directions.
	Skew = 2 * time.Hour

	rootLife   = 10 * 365 * 24 * time.Hour
	serverLife = 30 * 24 * time.Hour
)

// Authority is the opened authority of one fleet. It may be used by several
// goroutines at once.
type Authority struct {
	path string

	mu     sync.Mutex
	now    *state
	server *tls.Certificate // made at made, by the state above
	made   time.Time
	named  map[string]issued // by their names
}

// state is what the file says.
type state struct {
	fleet string
	key   *ecdsa.PrivateKey
	roots []*x509.Certificate // newest first; the key is the first's
	cross *x509.Certificate   // the newest root signed by the one before it, or nil
}

// Open reads the authority of a directory, which may be read-only, such as a
// mounted Secret. A directory without one is an error that says how to make it.
func Open(dir string) (*Authority, error) {
	a := &Authority{path: filepath.Join(dir, File)}
	if err := a.Reload(); err != nil {
		return nil, err
	}
	return a, nil
}

// Reload reads the file again, so that a rotation done by another process counts
// here. If it returns an error, what was read before stays in force.
func (a *Authority) Reload() error {
	next, err := load(a.path)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now != nil && a.now.fleet != next.fleet {
		return fmt.Errorf("the authority in %q is now of fleet %q, and was of %q", a.path, next.fleet, a.now.fleet)
	}
	if a.now == nil || !a.now.equal(next) {
		a.now, a.server, a.named = next, nil, nil
	}
	return nil
}

func load(path string) (*state, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the authority's file %q is missing\nhint: `nave hub init` makes it, once; agents that were enrolled before trust only the one that they know, so bring that back from its backup if there was one", path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the authority: %w", err)
	}
	s, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("reading the authority in %q: %w", path, err)
	}
	return s, nil
}

func (a *Authority) state() *state {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

// Fleet is the name of the fleet whose authority this is.
func (a *Authority) Fleet() string { return a.state().fleet }

// Serves says why no agent of a fleet can join by this authority: it is another fleet's.
// A fleet of which the name is not known may be its own.
func (a *Authority) Serves(fleet string) error {
	own := a.Fleet()
	if fleet == "" || fleet == own {
		return nil
	}
	return fmt.Errorf("the authority is that of the fleet %q, and the repository is of the fleet %q: no agent can join\n"+
		"hint: nave hub init %s --authority DIR makes another one, with which the hub is to be started", own, fleet, fleet)
}

// Roots is what agents are to trust, as PEM, newest first. It holds nothing secret.
func (a *Authority) Roots() []byte { return encodeCertificates(a.state().roots) }

// Pool is Roots as a pool for verifying agents' certificates.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range a.state().roots {
		pool.AddCert(root)
	}
	return pool
}

func (s *state) equal(other *state) bool {
	if !s.key.Equal(other.key) || len(s.roots) != len(other.roots) {
		return false
	}
	for i, root := range s.roots {
		if !root.Equal(other.roots[i]) {
			return false
		}
	}
	return true
}
