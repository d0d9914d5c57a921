package gate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/people"
	"nave.dev/internal/people/audit"
	"nave.dev/internal/people/session"
	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
)

const secretWord = "correct horse battery"

// door is a gate behind a listener of its own, with an API of a call for each role.
type door struct {
	*testing.T
	address string
	file    people.File
	memory  *sqlite.Store
	client  *http.Client
	log     *lines
	close   func()
}

// lines is a log that a test reads while connections may still write to it.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(data)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var roles = []v1alpha1.Role{v1alpha1.RoleViewer, v1alpha1.RoleOperator, v1alpha1.RoleApprover, v1alpha1.RoleAdmin}

// open opens a door. Each role has a group of its name, whose members have it on the
// clusters of env=dev, and a group of its name with "s" that has it on all.
func open(t *testing.T) *door {
	t.Helper()
	dir := t.TempDir()
	memory, err := sqlite.Open(t.Context(), filepath.Join(dir, "store"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{T: t, file: people.File{Dir: dir}, memory: memory, log: &lines{}}
	var grants []v1alpha1.Access
	needs := map[string]Need{}
	mux := http.NewServeMux()
	dev := v1alpha1.ClusterSelection{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "dev"}}}
	for _, role := range roles {
		grants = append(grants, v1alpha1.Access{Group: string(role), Role: role, Clusters: dev}, v1alpha1.Access{Group: string(role) + "s", Role: role, Clusters: v1alpha1.ClusterSelection{All: true}})
		for _, method := range []string{"GET", "POST"} {
			pattern := method + " /api/v1/" + string(role)
			needs[pattern] = Need{Role: role}
			mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
				caller := From(r.Context())
				fmt.Fprintf(w, "%s may on dev: %t, prod: %t; form %q", caller.Name, caller.May("dev-1", labelsOf("dev-1")), caller.May("prod-1", labelsOf("prod-1")), r.FormValue("cluster"))
			})
		}
	}
	needs["GET /api/v1/follow"] = Need{Role: v1alpha1.RoleViewer}
	mux.HandleFunc("GET /api/v1/follow", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "begins")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		fmt.Fprint(w, context.Cause(r.Context()))
	})
	mux.HandleFunc("GET /debug/everything", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all") })
	policy, err := people.NewPolicy(grants)
	if err != nil {
		t.Fatal(err)
	}
	gate := &Gate{
		People: people.Open(people.Options{Dir: dir, Logins: filepath.Join(dir, "logins.json")}), Policy: func() people.Policy { return policy },
		Labels: labelsOf, Needs: needs, Audit: audit.New(audit.Options{Store: memory, Problem: func(err error) { t.Error(err) }}),
		again: 20 * time.Millisecond,
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = listener.Addr().String()
	certificate := selfSigned(t, "127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		log := slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		done <- Serve(ctx, listener, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }, gate.Remote(mux), log)
	}()
	met, err := session.Meet(t.Context(), d.address, nil)
	if err != nil || met.Fingerprint == "" {
		t.Fatalf("a hub that nobody knows: %+v, %v", met, err)
	}
	if d.client, err = (session.Session{Server: d.address, Roots: string(met.Roots)}).Client(); err != nil {
		t.Fatal(err)
	}
	d.close = func() {
		d.client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		memory.Close()
	}
	t.Cleanup(func() { d.close() })
	return d
}

func labelsOf(cluster string) map[string]string {
	env, _, known := strings.Cut(cluster, "-")
	if !known {
		return nil
	}
	return map[string]string{"env": env}
}

// user adds a user and returns a token.
func (d *door) user(name string, groups ...string) string {
	d.Helper()
	if err := d.file.Add(name, groups, ""); err != nil {
		d.Fatal(err)
	}
	secret, err := d.file.AddToken(name, "ci", time.Hour, time.Now())
	if err != nil {
		d.Fatal(err)
	}
	return secret
}

// call calls with a token, if there is one.
func (d *door) call(method, path, token, body string) (int, string, http.Header) {
	d.Helper()
	request, err := http.NewRequestWithContext(d.Context(), method, "https://"+d.address+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := d.client.Do(request)
	if err != nil {
		d.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

func (d *door) entries() []store.Entry {
	d.Helper()
	page, err := d.memory.Entries(d.Context(), store.EntryQuery{Limit: 1000})
	if err != nil {
		d.Fatal(err)
	}
	return page.Entries
}

// TestMatrix asks for what needs each role with each role, on clusters in its scope
// and out of it, on none, and on all.
func TestMatrix(t *testing.T) {
	d := open(t)
	nobody := d.user("nobody", "other")
	for i, has := range roles {
		scoped, everywhere := d.user("dev-"+string(has), string(has)), d.user("all-"+string(has), string(has)+"s")
		for j, needs := range roles {
			for _, c := range []struct {
				token, query string
				ok           bool
			}{
				{scoped, "?cluster=dev-1", i >= j}, {scoped, "?cluster=prod-1", false}, {scoped, "?cluster=unknown", false}, {scoped, "?cluster=dev-1&cluster=prod-1", false}, {scoped, "", i >= j},
				{everywhere, "?cluster=dev-1", i >= j}, {everywhere, "?cluster=prod-1", i >= j}, {everywhere, "?cluster=unknown", i >= j}, {everywhere, "", i >= j},
				{nobody, "?cluster=dev-1", false}, {nobody, "", false},
			} {
				for _, method := range []string{"GET", "POST"} {
					status, text, _ := d.call(method, "/api/v1/"+string(needs)+c.query, c.token, "{}")
					if want := map[bool]int{true: 200, false: 403}[c.ok]; status != want {
						t.Errorf("%s %s%s with the role %s (on all: %t): %d %s", method, needs, c.query, has, c.token == everywhere, status, text)
					}
					if c.query == "" && c.ok && !strings.Contains(text, fmt.Sprintf("dev: true, prod: %t", c.token == everywhere)) {
						t.Errorf("%s with the role %s: %s", needs, has, text)
					}
				}
			}
		}
		for token, want := range map[string]int{scoped: 403, everywhere: map[bool]int{true: 200, false: 403}[has == v1alpha1.RoleAdmin]} {
			if status, text, _ := d.call("GET", "/debug/everything", token, ""); status != want {
				t.Errorf("what is in no list, with the role %s: %d %s", has, status, text)
			}
		}
	}
}

// TestRefusals: who is not known is told nothing, who may not is told what is missing,
// and both are written down. No token is in a log.
func TestRefusals(t *testing.T) {
	d := open(t)
	ana := d.user("ana", "viewer")
	for reason, token := range map[string]string{"no token": "", "another token": "nave_x", "what is kept of it": "x"} {
		for _, path := range []string{"/api/v1/viewer", "/api/v1/nothing", WhoamiPath, LogoutPath} {
			status, text, header := d.call("GET", path, token, "")
			if status != 401 || text != "not logged in\nhint: nave login\n" || header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s at %s: %d %s", reason, path, status, text)
			}
		}
	}
	if found := d.entries(); len(found) != 8 || found[0].Outcome != "refused: a token that does not count" || found[0].Address != "127.0.0.1" {
		t.Errorf("what is written down: %+v", found)
	}
	status, text, header := d.call("POST", "/api/v1/operator?cluster=dev-1", ana, "{}")
	if want := "ana needs the role operator on the cluster \"dev-1\", and has only viewer\nhint: spec.access of the Fleet gives roles to groups; ana is in viewer\n"; status != 403 || text != want {
		t.Errorf("a role too few: %d %s", status, text)
	}
	if header.Get("Cache-Control") != "no-store" || header.Get("Strict-Transport-Security") == "" {
		t.Errorf("headers %v", header)
	}
	if found := d.entries()[0]; found.Actor != "ana" || found.Action != "operator" || found.Cluster != "dev-1" || !strings.HasPrefix(found.Outcome, "refused: ana needs") {
		t.Errorf("what is written down: %+v", found)
	}
	if status, text, _ = d.call("GET", "/api/v1/viewer", ana, "x"); status != 200 {
		t.Errorf("a GET with a body: %d %s", status, text)
	}
	if status, _, _ = d.call("POST", "/api/v1/viewer", ana, strings.Repeat("x", maxBody+1)); status != 400 {
		t.Errorf("a body too large: %d", status)
	}
	d.close()
	d.close = func() {}
	if strings.Contains(d.log.String(), ana) {
		t.Errorf("a token is in the log: %s", d.log)
	}
}

// TestFormInABody: the cluster of a GET is that of its query, whatever its body says.
func TestFormInABody(t *testing.T) {
	d := open(t)
	ana := d.user("ana", "viewer")
	request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+d.address+"/api/v1/viewer", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"cluster\"\r\n\r\nprod-1\r\n--b--\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+ana)
	request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	response, err := d.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != 200 || !strings.HasSuffix(string(text), `form ""`) {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

// TestLogin logs in over the wire, and out.
func TestLogin(t *testing.T) {
	d := open(t)
	if err := d.file.Add("ana", []string{"viewer"}, secretWord); err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]int{
		`{"name": "ana", "password": "wrong"}`: 401, `{"name": "` + secretWord + `", "password": "wrong"}`: 401, "{": 400, strings.Repeat("x", maxLogin+1): 400,
	} {
		if status, text, _ := d.call("POST", LoginPath, "", body); status != want || strings.Contains(text, "wrong") || strings.Contains(text, secretWord) {
			t.Errorf("%.40s: %d %s", body, status, text)
		}
	}
	if status, _, _ := d.call("GET", LoginPath, "", ""); status != 405 {
		t.Errorf("GET: %d", status)
	}
	status, text, _ := d.call("POST", LoginPath, "", `{"name": "ana", "password": "`+secretWord+`"}`)
	var in LoggedIn
	if err := json.Unmarshal([]byte(text), &in); err != nil || status != 200 || in.Name != "ana" || time.Until(in.Expires) < people.LoginLife-time.Minute {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	if status, text, _ = d.call("GET", WhoamiPath, in.Token, ""); status != 200 || !strings.Contains(text, `"viewer on clusters with env=dev"`) {
		t.Errorf("%d %s", status, text)
	}
	found := d.entries()
	if len(found) != 3 || found[0].Outcome != "done" || found[0].Actor != "ana" || !strings.HasPrefix(found[1].Outcome, "refused: ") {
		t.Errorf("what is written down: %+v", found)
	}
	for _, e := range found {
		if line := fmt.Sprintf("%+v %s %s", e, e.Before, e.After); strings.Contains(line, in.Token) || strings.Contains(line, secretWord) {
			t.Errorf("a secret is written down: %s", line)
		}
	}
	if status, text, _ = d.call("POST", LogoutPath, in.Token, ""); status != 200 {
		t.Errorf("logging out: %d %s", status, text)
	}
	if status, _, _ = d.call("GET", WhoamiPath, in.Token, ""); status != 401 {
		t.Errorf("logged out: %d", status)
	}
	for tries := 0; status != 429 && tries < 100; tries++ { // one more is allowed every few seconds
		status, text, _ = d.call("POST", LoginPath, "", `{"name": "ana", "password": "wrong"}`)
	}
	if status != 429 || !strings.Contains(text, "too many failed logins") {
		t.Errorf("many guesses: %d %s", status, text)
	}
}

// TestEndsWithTheToken ends a request that lasts when the token of the caller is removed.
func TestEndsWithTheToken(t *testing.T) {
	d := open(t)
	secret := d.user("ana", "viewer")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+d.address+"/api/v1/follow?cluster=dev-1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	response, err := d.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if first, err := lines.ReadString('\n'); first != "begins\n" {
		t.Fatalf("%q, %v", first, err)
	}
	if err := d.file.Remove("ana"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(lines); string(rest) != errNotAnyMore.Error() {
		t.Errorf("it ends with %q, %v", rest, err)
	}
}

// TestOldTLS: nothing before TLS 1.3 is spoken.
func TestOldTLS(t *testing.T) {
	d := open(t)
	dialer := tls.Dialer{Config: &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true}}
	if conn, err := dialer.DialContext(t.Context(), "tcp", d.address); err == nil {
		conn.Close()
		t.Error("TLS 1.2 is spoken")
	}
}

// TestFiles: a certificate is read again when its files change, and kept while they do
// not go together.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	files := &Files{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	if _, err := files.Certificate(nil); err == nil {
		t.Error("there is a certificate without files")
	}
	write := func(cert, key []byte) {
		t.Helper()
		for name, data := range map[string][]byte{files.CertFile: cert, files.KeyFile: key} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	shown := func() string {
		t.Helper()
		certificate, err := files.Certificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return certificate.Leaf.DNSNames[0]
	}
	one, key := pair(t, "one.example.com")
	write(one, key)
	if name := shown(); name != "one.example.com" {
		t.Error(name)
	}
	two, other := pair(t, "second.example.com")
	write(two, key)
	if name := shown(); name != "one.example.com" {
		t.Errorf("a certificate with another key: %s", name)
	}
	write(two, append(other, '\n'))
	if name := shown(); name != "second.example.com" {
		t.Error(name)
	}
}
