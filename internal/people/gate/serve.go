package gate

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of connections over a network.
const (
	maxConnections = 1024
	maxShare       = maxConnections / 4 // of one address, so that none shuts others out
	maxHeader      = 32 << 10
	headerTimeout  = 10 * time.Second
	// writeTimeout is longer than any answer of the hub waits for a cluster or for news.
	writeTimeout = 3 * time.Minute
	idleTimeout  = 2 * time.Minute
)

// Certificate is what the hub shows at a handshake.
type Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// Serve serves a handler over TLS until ctx is done, with the certificate of the
// moment. What goes wrong with single connections goes to the log.
func Serve(ctx context.Context, listener net.Listener, certificate Certificate, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: certificate},
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers can make as many of these as they like
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	shared := &shares{Listener: listener, open: map[string]int{}}
	err := server.ServeTLS(netutil.LimitListener(shared, maxConnections), "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Files is a certificate of two PEM files, which are read again when one of them
// changes. While they do not go together, what was read before is shown.
type Files struct {
	CertFile, KeyFile string

	mu   sync.Mutex
	seen [2]fs.FileInfo
	now  *tls.Certificate
	err  error // of the last reading
}

// Certificate returns the one of now, or why there is none.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := false
	for i, name := range []string{f.CertFile, f.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			f.err = err
			continue
		}
		if before := f.seen[i]; before == nil || !os.SameFile(before, info) || !before.ModTime().Equal(info.ModTime()) || before.Size() != info.Size() {
			f.seen[i], changed = info, true
		}
	}
	if changed {
		next, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if f.err = err; err == nil {
			f.now = &next
		} else { // which may end without a change of the files
			clear(f.seen[:])
		}
	}
	if f.now == nil {
		return nil, f.err
	}
	return f.now, nil
}
