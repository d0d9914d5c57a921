package session

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBook(t *testing.T) {
	book := Book{Dir: t.TempDir() + "/hubs"}
	find := func(reason, server string, want *Session) {
		t.Helper()
		got, found, err := book.Find(server)
		if err != nil || found != (want != nil) || found && !cmp.Equal(got, *want) {
			t.Errorf("%s: %+v, %t, %v", reason, got, found, err)
		}
	}
	find("nobody has logged in", "", nil)
	one := Session{Server: "one:1", User: "ana", Token: "t", Expires: time.Unix(1e9, 0).UTC(), Roots: "r"}
	two := Session{Server: "../two:1", User: "bob", Token: "u"}
	for _, s := range []Session{one, two} {
		if err := book.Save(s); err != nil {
			t.Fatal(err)
		}
	}
	find("the last one", "", &two)
	find("by its name", "one:1", &one)
	find("another", "three:1", nil)
	entries, err := os.ReadDir(book.Dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	if err := book.Remove(two); err != nil {
		t.Fatal(err)
	}
	find("the last one is forgotten", "", nil)
	find("and the other is not", "one:1", &one)
}

// TestMeet trusts a hub by its roots alone, and a stranger only by what a person
// compares.
func TestMeet(t *testing.T) {
	authorization := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		http.Redirect(w, r, "https://elsewhere.example.com/", http.StatusFound)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	met, err := Meet(t.Context(), address, nil)
	if err != nil || !strings.HasPrefix(met.Fingerprint, "sha256:") || string(met.Roots) != string(root) {
		t.Fatalf("a hub that nobody knows: %+v, %v", met, err)
	}
	if met, err = Meet(t.Context(), address, root); err != nil || met.Fingerprint != "" {
		t.Errorf("a hub whose root is known: %+v, %v", met, err)
	}
	if _, err = Meet(t.Context(), strings.Replace(address, "127.0.0.1", "localhost", 1), nil); err == nil || !strings.Contains(err.Error(), "--api-name") {
		t.Errorf("by a name that is not its own: %v", err)
	}
	if _, err = Meet(t.Context(), address, []byte("x")); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("roots that are none: %v", err)
	}
	client, err := Session{Server: address, Roots: string(root)}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer t")
	response, err := client.Do(request)
	if err != nil || response.StatusCode != http.StatusFound || authorization != "Bearer t" {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
}
