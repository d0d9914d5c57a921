// Package session is what a person's machine keeps of hubs: where they are, the
// roots by which they are trusted, and the token of a login. The main type is
// [Session]; [Book] keeps them in files of the person alone, and [Meet] finds out
// how a hub is trusted before anything secret is sent to it.
package session

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nave.dev/internal/atomicfile"
)

// Session is a login at a hub.
type Session struct {
	Server  string    `json:"server"` // HOST:PORT
	User    string    `json:"user"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires,omitzero"`
	// Roots by which the hub is trusted, as PEM; empty are those of the system.
	Roots string `json:"roots,omitempty"`
}

// Client returns a client that trusts the hub by its roots alone.
func (s Session) Client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if s.Roots != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(s.Roots)) {
			return nil, fmt.Errorf("no certificate among the roots of %s", s.Server)
		}
	}
	return client(config), nil
}

func client(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true},
		// A hub sends nobody elsewhere, and a token is for no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Book keeps sessions in a directory, a file for each hub.
type Book struct{ Dir string }

// Open returns the book of the user of this machine.
func Open() (Book, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return Book{}, fmt.Errorf("finding where logins are kept: %w", err)
	}
	return Book{Dir: filepath.Join(dir, "nave", "hubs")}, nil
}

const lastName = "last"

func (b Book) file(server string) string {
	return filepath.Join(b.Dir, url.PathEscape(server)+".json")
}

// Save keeps a session, which is the last one then.
func (b Book) Save(s Session) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(b.Dir, 0o700)
	}
	if err == nil {
		err = atomicfile.Write(b.file(s.Server), data)
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(b.Dir, lastName), []byte(s.Server+"\n"))
	}
	if err != nil {
		return fmt.Errorf("keeping the login at %s: %w", s.Server, err)
	}
	return nil
}

// Find returns the session at a hub, or the last one if none is named; none is no
// error.
func (b Book) Find(server string) (s Session, found bool, err error) {
	if server == "" {
		name, err := os.ReadFile(filepath.Join(b.Dir, lastName))
		if errors.Is(err, fs.ErrNotExist) {
			return s, false, nil
		}
		if err != nil {
			return s, false, fmt.Errorf("reading which login was the last: %w", err)
		}
		server = strings.TrimSpace(string(name))
	}
	data, err := os.ReadFile(b.file(server))
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return s, false, fmt.Errorf("reading the login at %s: %w\nhint: nave login %s makes it anew", server, err, server)
	}
	return s, true, nil
}

// Remove forgets a session, and that it was the last one, if it was.
func (b Book) Remove(s Session) error {
	err := os.Remove(b.file(s.Server))
	if last, readErr := os.ReadFile(filepath.Join(b.Dir, lastName)); readErr == nil && strings.TrimSpace(string(last)) == s.Server {
		err = errors.Join(err, os.Remove(filepath.Join(b.Dir, lastName)))
	}
	return err
}
