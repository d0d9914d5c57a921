package chartsource

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestRealmOf(t *testing.T) {
	for address, want := range map[string]realm{
		"192.0.2.1": public, "2001:db8::1": public, "100.128.0.1": public,
		"10.1.2.3": private, "172.31.0.1": private, "192.168.0.1": private, "100.64.0.1": private, "fd00::1": private, "::ffff:10.0.0.1": private, "64:ff9b::a00:1": private,
		"127.0.0.1": local, "::1": local, "169.254.169.254": local, "fe80::1": local, "0.0.0.0": local, "::": local, "224.0.0.1": local, "::ffff:127.0.0.1": local,
	} {
		if have := realmOf(netip.MustParseAddr(address)); have != want {
			t.Errorf("%s is %s, want %s", address, have, want)
		}
	}
}

// TestRepositoryReachesNoNearerAddress: neither an index nor a redirect sends this process to where the repository is
// not itself.
func TestRepositoryReachesNoNearerAddress(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write([]byte("hello"))
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	named := *at
	named.Host = strings.Replace(at.Host, "127.0.0.1", "localhost", 1)
	for _, test := range []struct {
		reason, home string
		at           *url.URL
		want         string
	}{
		{"a public repository", "192.0.2.1", at, "its address is one of this machine or its links, and the repository's is a public one"},
		{"by a name", "192.0.2.1", &named, "its address is one of this machine"},
		{"one of a private network", "10.0.0.1", at, "its address is one of this machine"},
		{"one that nobody finds", "nowhere.invalid", at, "its address is one of this machine"},
		{"one of this machine", "::1", at, ""},
		{"the repository's own host", "127.0.0.1", at, ""},
	} {
		asked.Store(0)
		_, err := get(t.Context(), newClient(test.at, test.home), getting{origin: test.at, url: test.at, limit: 1000})
		if test.want != "" {
			wantError(t, err, test.want)
		} else if err != nil {
			t.Errorf("%s: %v", test.reason, err)
		}
		if n := asked.Load(); (n > 0) != (test.want == "") {
			t.Errorf("%s: the server was asked %d times", test.reason, n)
		}
	}
	asked.Store(0)
	_, err = pullReference(t.Context(), &url.URL{Scheme: "https", Host: "192.0.2.1"}, &url.URL{Scheme: "oci", Host: at.Host, Path: "/charts/web:1.0.0"}, Options{})
	wantError(t, err, "its address is one of this machine")
	if asked.Load() > 0 {
		t.Error("the index of a public repository sent this process to a registry of this machine")
	}
}
