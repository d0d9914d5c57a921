package chartsource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// transport is what all requests to remotes go through. It has the proxy and the certificate authorities of this
// process's environment.
var transport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 20 * time.Second}).DialContext,
	TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	TLSHandshakeTimeout:   20 * time.Second,
	ResponseHeaderTimeout: time.Minute,
	IdleConnTimeout:       time.Minute,
	ForceAttemptHTTP2:     true,
}

// maxRedirects is how often a server may send a request elsewhere.
const maxRedirects = 5

// newClient is for requests to one server, which begin with a URL below origin. None of them goes from https to http,
// a credential never to another server than the one that it was meant for, and none to an address that is nearer to this
// machine than those of the repository, whose host is home.
func newClient(origin *url.URL, home string) *http.Client {
	return &http.Client{Transport: careful{secure: origin.Scheme == "https", home: home}, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("it was sent elsewhere more than %d times", maxRedirects)
		}
		return nil
	}}
}

// careful lets through what may be sent.
type careful struct {
	secure bool
	home   string
}

// RoundTrip sends a request.
func (c careful) RoundTrip(request *http.Request) (*http.Response, error) {
	if c.secure && request.URL.Scheme != "https" {
		return nil, errors.New("a server that is reached by https sends it to one that is not")
	}
	// The standard library sends a credential to subdomains and other ports as well, at each hop anew.
	for from := request.Response; from != nil && from.Request != nil; from = from.Request.Response {
		if !sameServer(from.Request.URL, request.URL) {
			request = request.Clone(request.Context())
			request.Header.Del("Authorization")
			break
		}
	}
	through, err := way(request, c.home)
	if err != nil {
		return nil, err
	}
	return through.RoundTrip(request)
}

// sameServer reports whether two URLs lead to one server.
func sameServer(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// statusError is an answer other than what was asked for.
type statusError struct {
	url    *url.URL
	status int
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.url.Redacted(), e.status, http.StatusText(e.status))
	if e.status == http.StatusUnauthorized || e.status == http.StatusForbidden {
		text += "\nhint: check the source's credential"
	}
	return text
}

// get returns a document of at most limit bytes. The credential goes to the origin alone.
func get(ctx context.Context, client *http.Client, g getting) (data []byte, err error) {
	_, err = read(ctx, client, g, func(body io.Reader) error {
		data, err = io.ReadAll(body)
		return err
	})
	return data, err
}

// read is get for a document that is read as it comes. Nothing is, if it has not changed.
func read(ctx context.Context, client *http.Client, g getting, take func(body io.Reader) error) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url.String(), nil)
	if err != nil {
		return nil, err
	}
	for name, value := range g.headers {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	request.Header.Set("User-Agent", "nave")
	if g.credentials.password != "" && sameServer(g.origin, g.url) {
		request.SetBasicAuth(g.credentials.username, g.credentials.password)
	}
	response, err := client.Do(request)
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) { // a URL that it was sent to may be signed
			err = fmt.Errorf("asking for %s: %w", g.url.Redacted(), failed.Err)
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified {
		return response, nil
	}
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{g.url, response.StatusCode}
	}
	if err := take(&bounded{response.Body, g.limit, g.limit}); err != nil {
		return nil, fmt.Errorf("reading %s: %w", g.url.Redacted(), err)
	}
	return response, nil
}

// getting is one document to get.
type getting struct {
	origin, url *url.URL
	credentials credentials
	headers     map[string]string // those that are empty are left out
	limit       int64
}

// bounded reads at most limit bytes; more are an error.
type bounded struct {
	io.Reader
	limit, left int64
}

func (b *bounded) Read(data []byte) (int, error) {
	n, err := b.Reader.Read(data[:min(int64(len(data)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("it has more than %d bytes", b.limit)
	}
	return n, err
}
