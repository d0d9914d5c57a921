package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	cases := []struct {
		url    string
		remote bool
		says   string
		reason string
	}{
		{"http://127.0.0.1:8080/hook", false, "", "loopback"},
		{"https://localhost/hook", false, "", "loopback by name"},
		{"http://LOCALHOST:1", false, "", "names have no case"},
		{"http://127.1.2.3/", false, "", "all of 127/8 is loopback"},
		{"http://[::1]:80/", false, "", "IPv6"},
		{"http://[::ffff:127.0.0.1]/", false, "", "IPv4 in IPv6"},
		{"http://10.0.0.1/", false, "loopback", "another machine"},
		{"http://10.0.0.1/", true, "", "another machine, allowed"},
		{"http://example.com/", false, "loopback", "a name"},
		{"http://localhost.example.com/", false, "loopback", "a name that starts well"},
		{"http://127.0.0.1.nip.io/", false, "loopback", "a name that looks like an address"},
		{"http://0.0.0.0/", false, "loopback", "no address at all"},
		{"http://2130706433/", false, "loopback", "an address as one number"},
		{"file:///etc/passwd", true, "neither http nor https", "not HTTP"},
		{"127.0.0.1:8080", true, "not a URL", "no scheme"},
		{"/hook", true, "neither http nor https", "a path"},
		{"http:///hook", true, "no host", "no host"},
		{"http://:80/", true, "no host", "a port only"},
		{"http://ada:hunter2@10.0.0.1/", false, "ada:xxxxx@", "passwords are not repeated"},
		{"http://ada:hunter2@10.0.0.1/%zz", false, "not a URL", "nor in what cannot be read"},
	}
	for _, c := range cases {
		err := Validate([]Hook{{URL: c.url}}, c.remote)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %s: %v", c.reason, c.url, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %s: error is %v, want %q", c.reason, c.url, err, c.says)
		}
	}

	o, _ := newOutbox(t, Hook{URL: "http://localhost/"})
	err := o.SetHooks([]Hook{{URL: "http://localhost/"}, {URL: "http://localhost/"}, {URL: "ftp://x"}})
	if err == nil || !strings.Contains(err.Error(), "twice") || !strings.Contains(err.Error(), "ftp://x") {
		t.Errorf("error is %v, want both problems", err)
	}
	if !o.HasHooks() {
		t.Error("a refused change took effect")
	}
}

// TestDialStaysHere gives the client addresses that a name of this machine could resolve to.
func TestDialStaysHere(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "[::ffff:127.0.0.1]:80": true,
		"10.0.0.1:80": false, "169.254.169.254:80": false, "[fe80::1%lo]:80": false, "[::]:80": false, "nonsense": false,
	} {
		if err := controlLoopback("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	// The check is part of the client, not only of the list of hooks.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://192.0.2.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(false).Do(request); err == nil || !strings.Contains(err.Error(), "not on this machine's loopback") {
		t.Errorf("error is %v", err)
	}
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:80/", "http://localhost", "http://example.com", "http://[::1%25lo]/", "file:///x", "http://127.0.0.1@example.com/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if Validate([]Hook{{URL: address}}, false) != nil {
			return
		}
		stop := errors.New("stop")
		client := newClient(false)
		client.Transport.(*http.Transport).DialContext = func(_ context.Context, _, dialled string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(dialled)
			if err != nil || !isLoopbackName(host) {
				t.Errorf("%q was accepted and leads to %q", address, dialled)
			}
			return nil, stop
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, nil)
		if err != nil {
			t.Fatalf("%q was accepted and makes no request: %v", address, err)
		}
		if _, err := client.Do(request); err == nil {
			t.Errorf("%q was reached", address)
		}
	})
}
