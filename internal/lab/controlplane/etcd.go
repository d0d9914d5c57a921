package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"nave.dev/internal/lab/process"
)

// Etcd is one etcd member, which serves one cluster or many, each under a key
// prefix of its own. Clients prove who they are with a certificate.
type Etcd struct {
	Name       string // of its process
	Dir        string // keys, data and log
	ClientPort int
	PeerPort   int
}

// Process returns the member as a process.
func (e Etcd) Process(bin Binaries) process.Spec {
	client, peer := loopback(e.ClientPort), loopback(e.PeerPort)
	return process.Spec{
		Name: e.Name,
		Path: bin.Kube,
		Args: []string{
			"etcd",
			"--name=" + etcdMember,
			"--data-dir=" + e.dataDir(),
			"--listen-client-urls=" + client,
			"--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer,
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + etcdMember + "=" + peer,
			"--cert-file=" + e.pki("server.crt"),
			"--key-file=" + e.pki("server.key"),
			"--client-cert-auth",
			"--trusted-ca-file=" + e.pki("ca.crt"),
			"--peer-cert-file=" + e.pki("server.crt"),
			"--peer-key-file=" + e.pki("server.key"),
			"--peer-client-cert-auth",
			"--peer-trusted-ca-file=" + e.pki("ca.crt"),
			// A lab may lose its last second when the machine crashes.
			"--unsafe-no-fsync",
			"--quota-backend-bytes=8589934592",
			"--log-level=warn",
		},
		Log: filepath.Join(e.Dir, "etcd.log"),
	}
}

const etcdMember = "lab"

func (e Etcd) dataDir() string            { return filepath.Join(e.Dir, "data") }
func (e Etcd) pki(file string) string     { return filepath.Join(e.Dir, "pki", file) }
func (e Etcd) clientName(c string) string { return "client-" + c }

// Prepare makes the member's keys, and ends a replacement of its data that was
// killed half-way.
func (e Etcd) Prepare() error {
	if _, err := os.Stat(e.dataDir()); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(e.unpacked(), e.dataDir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(e.replaced()); err != nil {
		return err
	}
	ca, err := openAuthority(e.pki(""), e.Name+" authority")
	if err == nil {
		_, _, err = ca.issue("server", subject{name: e.Name, server: true})
	}
	if err == nil {
		_, _, err = ca.issue(e.clientName("lab"), subject{name: "lab"})
	}
	if err != nil {
		return fmt.Errorf("preparing the keys of %s: %w", e.Name, err)
	}
	return nil
}

// Ready asks the member whether it serves.
func (e Etcd) Ready(ctx context.Context) error {
	client, err := mutualTLS(e.pki("ca.crt"), e.pki(e.clientName("lab")))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return getOK(ctx, client, loopback(e.ClientPort)+"/health")
}

// clientFlags returns the flags by which etcd's own commands reach the member.
func (e Etcd) clientFlags() []string {
	return []string{
		"--endpoints=" + loopback(e.ClientPort),
		"--cacert=" + e.pki("ca.crt"),
		"--cert=" + e.pki(e.clientName("lab")+".crt"),
		"--key=" + e.pki(e.clientName("lab")+".key"),
	}
}

// DeletePrefix removes everything that the cluster of that name stored.
func (e Etcd) DeletePrefix(ctx context.Context, bin Binaries, cluster string) error {
	args := append([]string{"etcdctl", "del", "--prefix", etcdPrefix(cluster) + "/"}, e.clientFlags()...)
	return bin.run(ctx, args...)
}

// Snapshot saves the whole member's data to a file, while it runs.
func (e Etcd) Snapshot(ctx context.Context, bin Binaries, file string) error {
	return bin.run(ctx, append([]string{"etcdctl", "snapshot", "save", file}, e.clientFlags()...)...)
}

// Unpack checks a snapshot and unpacks it beside the member's data, which may
// be in use.
func (e Etcd) Unpack(ctx context.Context, bin Binaries, file string) error {
	partial := e.unpacked() + ".partial"
	for _, dir := range []string{partial, e.unpacked()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	err := bin.run(ctx, "etcdutl", "snapshot", "restore", file,
		"--name="+etcdMember,
		"--initial-cluster="+etcdMember+"="+loopback(e.PeerPort),
		"--initial-advertise-peer-urls="+loopback(e.PeerPort),
		"--data-dir="+partial)
	if err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	return os.Rename(partial, e.unpacked())
}

// Replace puts what was unpacked in the place of the stopped member's data.
// Revisions go back to those of the snapshot, as when an operator restores a
// real cluster.
func (e Etcd) Replace() error {
	if err := os.RemoveAll(e.replaced()); err != nil {
		return err
	}
	// Killed between the two, Prepare does the second.
	if err := os.Rename(e.dataDir(), e.replaced()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(e.unpacked(), e.dataDir()); err != nil {
		return err
	}
	return os.RemoveAll(e.replaced())
}

// Wipe deletes the stopped member's data.
func (e Etcd) Wipe() error {
	return errors.Join(os.RemoveAll(e.unpacked()), os.RemoveAll(e.replaced()), os.RemoveAll(e.dataDir()))
}

func (e Etcd) unpacked() string { return e.dataDir() + ".unpacked" }
func (e Etcd) replaced() string { return e.dataDir() + ".replaced" }

func etcdPrefix(cluster string) string { return "/" + cluster }

func loopback(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }

// mutualTLS returns a client that trusts the authority alone and shows the
// certificate PAIR.crt with PAIR.key.
func mutualTLS(caFile, pair string) (*http.Client, error) {
	caPEM, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	certificate, err := tls.LoadX509KeyPair(pair+".crt", pair+".key")
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		},
	}, nil
}

// getOK returns nil when the address answers 200, and otherwise what it said.
func getOK(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, response.Status, body)
	}
	return err
}
