package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"nave.dev/internal/tunnel/authority"
)

// dial connects to the hub, by a proxy if there is one, with the given certificate
// or none, and makes sure that it is the hub.
func (a *agent) dial(ctx context.Context, pair *tls.Certificate, roots []byte) (*http.ClientConn, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, errors.New("the agent knows no root by which to recognize its hub\nhint: apply the manifest of `nave cluster join NAME`")
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: authority.ServerName, RootCAs: pool, Time: a.o.Now,
	}
	if pair != nil {
		// Shown also where the hub does not list its signer, so that the hub says what is wrong with it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errors.New("it took too long"))
	defer cancel()
	proxy, err := a.proxy(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for a proxy to the hub: %w", err)
	}
	transport := &http.Transport{
		Protocols: protocols(true), HTTP2: a.o.Limits.fetching(), TLSClientConfig: config,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: connectTime,
		DialContext: a.o.Dial,
	}
	where := "at " + a.o.Hub
	if proxy != nil {
		where = fmt.Sprintf("at %s by the proxy %s", a.o.Hub, proxy.Host)
		transport.Proxy, transport.DialContext = a.through(proxy)
	}
	client, err := transport.NewClientConn(ctx, "https", a.o.Hub)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("connecting to the hub %s: %w", where, err)
	}
	return client, nil
}

func dialDirect(ctx context.Context, network, address string) (net.Conn, error) {
	// Liveness is HTTP/2's to tell, and sooner.
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, address)
}

// proxy asks for the proxy to the hub. Its errors do not show its password.
func (a *agent) proxy(ctx context.Context) (*url.URL, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+a.o.Hub+"/", nil)
	if err != nil {
		return nil, err
	}
	proxy, err := a.o.Proxy(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	if proxy != nil && proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("its scheme is %q\nhint: proxies of http and https are supported", proxy.Scheme)
	}
	return proxy, nil
}

// withoutURL is an error about a URL without the URL, in which there may be a
// password.
func withoutURL(err error) error {
	if parsing, ok := errors.AsType[*url.Error](err); ok {
		return parsing.Err
	}
	return errors.New("its address cannot be read")
}

// through is how a Transport reaches a proxy. One of https is TLS of its own, known
// by the machine's roots and not by the hub's, below that to the hub; so to the
// Transport it is one of http.
func (a *agent) through(proxy *url.URL) (func(*http.Request) (*url.URL, error), func(context.Context, string, string) (net.Conn, error)) {
	plain := *proxy
	if proxy.Scheme == "http" {
		return http.ProxyURL(&plain), a.o.Dial
	}
	plain.Scheme = "http"
	if proxy.Port() == "" {
		plain.Host = net.JoinHostPort(proxy.Hostname(), "443")
	}
	return http.ProxyURL(&plain), func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := a.o.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		encrypted := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: proxy.Hostname()})
		if err := encrypted.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("the proxy's TLS: %w", err)
		}
		return encrypted, nil
	}
}

// refusals are what TLS says of a certificate that a hub does not take. There is
// no type for them; the texts are those of crypto/tls.
var refusals = []struct{ text, meaning, hint string }{
	{"tls: expired certificate", "the hub says that the agent's certificate has expired", "enrol the cluster again, with `nave cluster join NAME`"},
	{"tls: unknown certificate authority", "the hub does not know who signed the agent's certificate", "enrol the cluster again, with `nave cluster join NAME`"},
	{"tls: bad certificate", "the hub does not take the agent's certificate", "its log says why"},
}

// explain puts words to what TLS says with a number.
func explain(err error) error {
	for _, refusal := range refusals {
		if strings.Contains(err.Error(), "remote error: "+refusal.text) {
			return fmt.Errorf("%s: %w\nhint: %s", refusal.meaning, err, refusal.hint)
		}
	}
	return err
}
