package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// request is what the meter tells of a request.
type request struct {
	agent    string // the client, as it names itself, up to the first slash
	verb     string // of Kubernetes: get, list, watch, apply, patch, …; review is a question that is posted
	resource string // "" is discovery
	name     string // of a lease or a secret; others are counted together
}

// counts are numbers of requests.
type counts map[request]int

// meter stands before each API server and counts the requests that reach it, by
// the client that sends them. The API servers' own metrics name no client, and
// the controllers of a cluster send requests all the time. Whoever passes shows
// a token that only the meter's kubeconfigs hold.
type meter struct {
	token   string
	servers []*http.Server
	serving sync.WaitGroup

	mu     sync.Mutex
	counts counts
}

// newMeter serves a proxy for each cluster and writes NAME.kubeconfig of it to
// a directory.
func newMeter(dir string, clusters map[string]*rest.Config) (*meter, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	certificate, authority, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	m := &meter{token: rand.Text(), counts: counts{}}
	for name, config := range clusters {
		address, err := m.front(config, certificate)
		if err == nil {
			err = m.writeKubeconfig(filepath.Join(dir, name+".kubeconfig"), address, authority)
		}
		if err != nil {
			m.close()
			return nil, fmt.Errorf("serving the meter of %s: %w", name, err)
		}
	}
	return m, nil
}

func (m *meter) close() {
	for _, server := range m.servers {
		server.Close()
	}
	m.serving.Wait()
}

// front serves the proxy of one cluster and returns its address.
func (m *meter) front(config *rest.Config, certificate tls.Certificate) (address string, err error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return "", err
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization") // the transport shows the administrator's certificate
		},
		Transport: transport, FlushInterval: -1, BufferPool: &buffers{}, ErrorLog: quiet,
	}
	server := &http.Server{
		Handler: m.count(proxy), ErrorLog: quiet, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	}
	m.servers = append(m.servers, server)
	m.serving.Go(func() { server.ServeTLS(listener, "", "") })
	return "https://" + listener.Addr().String(), nil
}

// count counts what shows the token, and refuses what does not.
func (m *meter) count(next http.Handler) http.Handler {
	want := []byte("Bearer " + m.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "the meter's token is missing", http.StatusUnauthorized)
			return
		}
		what := describe(r)
		m.mu.Lock()
		m.counts[what]++
		m.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// describe tells what a request is about, from its method and path.
func describe(r *http.Request) request {
	agent, _, _ := strings.Cut(r.UserAgent(), "/")
	d := request{agent: agent, verb: strings.ToLower(r.Method)}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return d
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	d.resource = parts[0]
	if len(parts) > 2 {
		d.resource += "/" + parts[2]
	}
	named := len(parts) > 1
	if named && (d.resource == "leases" || d.resource == "secrets") {
		d.name = parts[1]
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		d.verb = "watch"
	case r.Method == http.MethodGet && !named:
		d.verb = "list"
	case r.Method == http.MethodPost && strings.HasPrefix(d.resource, "selfsubject"):
		d.verb = "review"
	case r.Method == http.MethodPost:
		d.verb = "create"
	case r.Method == http.MethodPut:
		d.verb = "update"
	case r.Method == http.MethodPatch && strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch"):
		d.verb = "apply"
	case r.Method == http.MethodDelete && !named:
		d.verb = "deletecollection"
	}
	return d
}

// read returns what was counted so far.
func (m *meter) read() counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.counts)
}

// since returns what came after an earlier reading.
func (c counts) since(before counts) counts {
	after := counts{}
	for what, n := range c {
		if n > before[what] {
			after[what] = n - before[what]
		}
	}
	return after
}

// sum adds up what a condition holds for.
func (c counts) sum(where func(request) bool) (n int) {
	for what, times := range c {
		if where(what) {
			n += times
		}
	}
	return n
}

// Of nave's own objects on a cluster: the lease that is renewed, and the record.
const (
	leaseName  = "nave-writer"
	recordName = "nave-record"
)

func own(r request) bool {
	return r.resource == "leases" && r.name == leaseName || r.resource == "secrets" && r.name == recordName
}

// verb selects one verb of nave's, its lease and record aside.
func verb(verbs ...string) func(request) bool {
	return func(r request) bool {
		for _, v := range verbs {
			if r.verb == v && r.agent == hubAgent && !own(r) {
				return true
			}
		}
		return false
	}
}

// hubAgent is how the hub names itself.
const hubAgent = "nave"

func (m *meter) writeKubeconfig(file, address string, authority []byte) error {
	const name = "meter"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{name: {Server: address, CertificateAuthorityData: authority}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: m.token}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, file)
}

// selfSigned makes a certificate for this machine's loopback address.
func selfSigned() (certificate tls.Certificate, authority []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// buffers are used again from answer to answer.
type buffers struct{ pool sync.Pool }

// Get returns a buffer.
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

// Put gives it back.
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
