package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/people"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/people/session"
	"nave.dev/internal/store"
	"nave.dev/internal/tunnel/authority"
)

// answered runs nave as somebody types it, with lines on standard input.
func answered(ctx context.Context, input string, args ...string) (code int, stdout, stderr string) {
	var out, talk bytes.Buffer
	command := New("test", nil)
	command.SetArgs(args)
	command.SetIn(strings.NewReader(input))
	command.SetOut(&out)
	command.SetErr(&talk)
	code = Report(ctx, command.ExecuteContext(ctx), &talk)
	return code, out.String(), talk.String()
}

// TestLogin logs in at a hub over a network, asks it, and logs out.
func TestLogin(t *testing.T) {
	ana := people.Person{Name: "ana", Groups: []string{"web"}, Expires: time.Now().Add(time.Hour)}
	token, calls := "nave_secret", []string{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+gate.LoginPath, func(w http.ResponseWriter, r *http.Request) {
		var in gate.Login
		if json.NewDecoder(r.Body).Decode(&in) != nil || in.Name != "ana" || in.Password != "correct horse" {
			http.Error(w, people.ErrWrong.Error(), http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(gate.LoggedIn{Token: token, Person: ana})
	})
	mux.HandleFunc("GET "+gate.WhoamiPath, answers(gate.Whoami{Person: ana, Rights: []string{"viewer on all clusters"}}))
	mux.HandleFunc("POST "+gate.LogoutPath, answers(struct{}{}))
	mux.HandleFunc("GET /api/v1/fleet", answers(troubled()))
	mux.HandleFunc("GET /api/v1/audit", func(w http.ResponseWriter, r *http.Request) {
		page := store.EntryPage{Entries: []store.Entry{{ID: 2, Time: time.Now(), Actor: "ana", Action: "sync", Cluster: "lab-1", Outcome: "done", Address: "192.0.2.1"}}}
		if r.FormValue("before") == "" {
			page.Next = store.Cursor{Time: time.Now(), ID: 2}
		} else {
			page.Entries[0].Outcome = ""
		}
		answers(page)(w, r)
	})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			calls = append(calls, r.URL.Path)
			if sent := r.Header.Get("Authorization"); r.URL.Path != gate.LoginPath && sent != "Bearer "+token {
				http.Error(w, "not logged in", http.StatusUnauthorized)
				return
			}
		}
		mux.ServeHTTP(w, r)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	t.Setenv("NAVE_DIR", "")
	t.Setenv("NAVE_SERVER", "")
	_, _, said := answered(t.Context(), "", "login", address)
	fingerprint := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(said)
	if fingerprint == "" || len(calls) > 0 {
		t.Fatalf("a hub that nobody knows: %s, after %v", said, calls)
	}
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason, input, args string
		code                int
		stdout, stderr      string
	}{
		{"nobody has logged in", "", "whoami --server " + address, 1, "", "nobody has logged in at " + address + " from here\nhint: nave login " + address},
		{"nor anywhere", "", "logout", 1, "", "nobody is logged in"},
		{"another root than was told", "correct horse\n", "login --fingerprint sha256:00 --user ana " + address, 1, "", "shows another root: its fingerprint is " + fingerprint},
		{"no password", "", "login --fingerprint " + fingerprint + " --user ana " + address, 1, "", "no password was given"},
		{"another password", "wrong\n", "login --fingerprint " + fingerprint + " --user ana " + address, 1, "", "no user of this name has this password"},
		{"the password", "correct horse\n", "login --fingerprint " + fingerprint + " --user ana " + address, 0, "", "logged in at " + address + " as ana until"},
		{"who one is", "", "whoami", 0, "ana, in web\nviewer on all clusters\n", ""},
		{"commands ask the hub of the last login", "", "clusters", 0, "prod-us-1", ""},
		{"a directory counts before it", "", "clusters --dir /nowhere", 1, "", "no hub works in /nowhere"},
		{"and a hub that is named before that", "", "clusters --dir /nowhere --server " + address, 0, "prod-us-1", ""},
		{"pages of the audit", "", "audit --limit 2", 0, "ana from 192.0.2.1  sync    lab-1         broken off", ""},
		{"logging out", "", "logout", 0, "", ""},
		{"is the end", "", "whoami --server " + address, 1, "", "nobody has logged in"},
		{"a token that does not count", "", "login --fingerprint " + fingerprint + " --token-file /dev/null " + address, 1, "", "there is no token in /dev/null"},
		{"a token", "", "login --fingerprint " + fingerprint + " --token-file " + tokenFile + " " + address, 0, "", "as ana"},
		{"the root is known from the login before", "", "login --token-file " + tokenFile + " " + address, 0, "", "as ana"},
		{"no address", "", "login hub", 2, "", "is not HOST:PORT"},
	} {
		code, stdout, stderr := answered(t.Context(), c.input, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: nave %s: exit code %d, want %d\n%s%s", c.reason, c.args, code, c.code, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, token) {
			t.Errorf("%s: the token is shown:\n%s%s", c.reason, stdout, stderr)
		}
	}
	book, err := session.Open()
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := book.Find(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := authority.Init(filepath.Join(config, "authority"), "other", time.Now()); err != nil {
		t.Fatal(err)
	}
	other, err := authority.Open(filepath.Join(config, "authority"))
	if err != nil {
		t.Fatal(err)
	}
	known := before
	before.Roots = string(other.Roots())
	if err := book.Save(before); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := answered(t.Context(), "", "login", "--token-file", tokenFile, address); code != 1 || !strings.Contains(stderr, "ANOTHER ROOT THAN AT THE LAST LOGIN") {
		t.Errorf("a hub that shows another root than before: %d, %s", code, stderr)
	}
	if err := book.Save(known); err != nil {
		t.Fatal(err)
	}
	token = "another"
	if code, _, stderr := answered(t.Context(), "", "clusters"); code != 1 || !strings.Contains(stderr, "the login at "+address+" no longer counts\nhint: nave login "+address) {
		t.Errorf("a login that ended: %d, %s", code, stderr)
	}
}

// TestWhoamiByTheSocket: who owns the hub is asked nothing.
func TestWhoamiByTheSocket(t *testing.T) {
	t.Setenv("NAVE_ACTOR", "tess")
	dir := served(t, gate.Owner(http.NotFoundHandler()))
	code, stdout, stderr := answered(t.Context(), "", "whoami", "--dir", dir)
	if code != 0 || stdout != "tess, by the hub's socket\nadmin on all clusters\n" {
		t.Errorf("%d, %s%s", code, stdout, stderr)
	}
}

// TestUsers changes the file of people as an operator does.
func TestUsers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("NAVE_DIR", dir)
	for _, c := range []struct {
		reason, input, args string
		code                int
		stdout, stderr      string
	}{
		{"nobody yet", "", "user list -o json", 0, "[]\n", ""},
		{"a short password", "short\n", "user add ana", 1, "", "a password has 12 to 1024 bytes"},
		{"a user", "correct horse\n", "user add ana --group web,oncall", 0, "", ""},
		{"a program", "", "user add ci --group web --no-password", 0, "", ""},
		{"twice", "", "user add ci --no-password", 1, "", `there is a user "ci" already`},
		{"a token", "", "user token ci --for 1h", 0, "nave_", `the token "default" of ci counts for 1h0m0s; it is not shown again`},
		{"that is not told later", "", "user list", 0, "ci    web         no        default until ", ""},
		{"another password", "horse correct\n", "user passwd ana", 0, "", ""},
		{"end of a token", "", "user token ci --remove default", 0, "", ""},
		{"end of a user", "", "user remove ana", 0, "", ""},
		{"of nobody", "", "user remove ana", 1, "", `there is no user "ana"`},
		{"no command", "", "user ad", 2, "", "did you mean add?"},
	} {
		code, stdout, stderr := answered(t.Context(), c.input, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: nave %s: exit code %d, want %d\n%s%s", c.reason, c.args, code, c.code, stdout, stderr)
		}
	}
	users, err := people.File{Dir: filepath.Join(dir, "authority")}.Users()
	if err != nil || len(users) != 1 || users[0].Name != "ci" || len(users[0].Tokens) != 0 {
		t.Errorf("what is left: %+v, %v", users, err)
	}
}
