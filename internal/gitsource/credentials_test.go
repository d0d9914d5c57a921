package gitsource

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func writeTest(tb testing.TB, file, data string) string {
	tb.Helper()
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// TestPassword fetches over HTTP with a password, and looks for it wherever it must not be.
func TestPassword(t *testing.T) {
	const secret = "pa55/wo+rd %41'\""
	u := newUpstream(t)
	u.commit("main", "file", "content")
	server := serveHTTP(t, u, httptest.NewServer)
	server.username, server.password = "deployer", secret
	dir := t.TempDir()
	helper := filepath.Join(dir, "helper")
	script := "#!/bin/sh\ncat > \"$0.asked\"; echo \"arguments $*\" >> \"$0.asked\"; printf 'username=deployer\\npassword=%s\\nquit=0\\n' \"$(cat " + dir + "/password)\"\n"
	writeProgram(t, helper, script)
	good := writeTest(t, filepath.Join(dir, "password"), secret+"\n")
	cases := map[string]struct {
		reason string
		auth   Auth
		err    string
	}{
		"password":   {"a password in a file", Auth{Username: "deployer", PasswordFile: good}, ""},
		"helper":     {"a credential helper", Auth{Helper: []string{helper, "--profile", "x"}}, ""},
		"none":       {"the server wants one", Auth{}, "could not read Username"},
		"wrong":      {"a wrong password", Auth{Username: "deployer", PasswordFile: writeTest(t, filepath.Join(dir, "wrong"), "hunter2!")}, "Authentication failed"},
		"wrong user": {"tokens go with any name, this password does not", Auth{PasswordFile: good}, "Authentication failed"},
		"no file":    {"a file that is not there", Auth{PasswordFile: filepath.Join(dir, "none")}, "reading the password: open "},
		"empty":      {"a file without a password", Auth{PasswordFile: writeTest(t, filepath.Join(dir, "empty"), "\n")}, "is empty"},
		"two lines":  {"a file of something else", Auth{PasswordFile: writeTest(t, filepath.Join(dir, "lines"), "a\nb\n")}, "more than one line"},
		"no helper":  {"a helper that is not there", Auth{Helper: []string{"/no/helper"}}, `running the credential helper "/no/helper"`},
		"failing helper": {"a helper that talks about the password", Auth{Helper: []string{"sh", "-c", "echo hunter2! >&2; exit 3"}},
			`running the credential helper "sh": exit status 3`},
		"silent helper": {"a helper without an answer", Auth{Helper: []string{"true"}}, "it printed no username and password"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			program, record := recordingGit(t)
			cache := t.TempDir()
			m := openMirror(t, openMirrors(t, cache, Options{Git: program}), Remote{URL: server.repo(u), Auth: c.auth})
			_, err := m.Fetch(t.Context())
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("%s: got %v, want %q", c.reason, err, c.err)
			}
			if err == nil {
				if got := content(t, m, Revision{}, "file"); got != "content" {
					t.Errorf("read %q", got)
				}
			}
			commands, errRead := os.ReadFile(record)
			if errRead != nil {
				t.Fatal(errRead)
			}
			for _, hidden := range []string{secret, "hunter2!", "pa55"} {
				if bytes.Contains(commands, []byte(hidden)) {
					t.Errorf("%q is among the arguments or in the environment of git", hidden)
				}
				if text := fmt.Sprintf("%v %+v", err, m.State()); strings.Contains(text, hidden) {
					t.Errorf("%q is in the error or state: %s", hidden, text)
				}
				filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
					if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(hidden)) {
						t.Errorf("%q is in %s", hidden, path)
					}
					return err
				})
			}
		})
	}
	host := strings.TrimPrefix(server.URL, "http://")
	want := fmt.Sprintf("protocol=http\nhost=%s\npath=upstream.git\n\narguments --profile x get\n", host)
	if got, err := os.ReadFile(helper + ".asked"); err != nil || string(got) != want {
		t.Errorf("the helper was asked %q, want %q, %v", got, want, err)
	}
}

// TestServerRepeatsPassword has a server put the password into what git prints.
func TestServerRepeatsPassword(t *testing.T) {
	u := newUpstream(t)
	server := serveHTTP(t, u, httptest.NewServer)
	server.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "go away deployer:tok+en/1, or tok%2Ben%2F1, or ZGVwbG95ZXI6dG9rK2VuLzE=\n")
	})
	server.username, server.password = "deployer", "tok+en/1"
	auth := Auth{Username: "deployer", PasswordFile: writeTest(t, filepath.Join(t.TempDir(), "token"), "tok+en/1")}
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: server.repo(u), Auth: auth})
	_, err := m.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "go away deployer:[redacted], or [redacted], or [redacted]") {
		t.Errorf("got %v", err)
	}
}

// TestPasswordStaysWithItsHost redirects a mirror to another server, which asks for a password.
func TestPasswordStaysWithItsHost(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	other := serveHTTP(t, u, httptest.NewServer)
	other.username, other.password = "deployer", "expected"
	server := serveHTTP(t, u, httptest.NewServer)
	server.between(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
	})
	auth := Auth{Username: "deployer", PasswordFile: writeTest(t, filepath.Join(t.TempDir(), "token"), "expected")}
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: server.repo(u), Auth: auth})
	if _, err := m.Fetch(t.Context()); err == nil {
		t.Error("the password followed the redirection")
	}
	if len(other.users) != 1 || other.users[":"] == 0 {
		t.Errorf("the other server was told %v", other.users)
	}
}

func TestRenewedPassword(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	server := serveHTTP(t, u, httptest.NewServer)
	server.username, server.password = "x-access-token", "second"
	file := writeTest(t, filepath.Join(t.TempDir(), "token"), "first")
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: server.repo(u), Auth: Auth{PasswordFile: file}})
	if _, err := m.Fetch(t.Context()); err == nil {
		t.Fatal("no error")
	}
	writeTest(t, file, "second")
	fetch(t, m)
}

func TestPrivateAuthority(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	server := serveHTTP(t, u, httptest.NewTLSServer)
	remote := Remote{URL: server.repo(u)}
	if _, err := openMirror(t, openMirrors(t, t.TempDir(), Options{}), remote).Fetch(t.Context()); err == nil {
		t.Error("a server that nobody vouches for was trusted")
	}
	remote.Auth.CAFile = writeTest(t, filepath.Join(t.TempDir(), "ca.pem"),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	fetch(t, openMirror(t, openMirrors(t, t.TempDir(), Options{}), remote))
}

// TestSettingsOfTheUser surrounds git with settings that would change what it does.
func TestSettingsOfTheUser(t *testing.T) {
	u := newUpstream(t)
	u.commit("main", "file", "content")
	home := t.TempDir()
	nowhere := filepath.Join(home, "nowhere")
	touched := filepath.Join(home, "touched")
	instead := fmt.Sprintf("[url \"%s\"]\n\tinsteadOf = %s\n[core]\n\tsshCommand = touch %s\n\tfsmonitor = touch %s\n", nowhere, u.dir, touched, touched)
	writeTest(t, filepath.Join(home, ".gitconfig"), instead)
	// The cache lies in the work tree of somebody's repository, with settings of its own.
	around := t.TempDir()
	if out, err := exec.Command("git", "init", "--quiet", around).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	writeTest(t, filepath.Join(around, ".git/config"), "[core]\n\trepositoryformatversion = 0\n"+instead)
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG"} {
		t.Setenv(name, filepath.Join(home, ".gitconfig"))
	}
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "url."+nowhere+".insteadOf")
	t.Setenv("GIT_CONFIG_VALUE_0", u.dir)
	t.Setenv("GIT_DIR", nowhere)
	t.Setenv("GIT_OBJECT_DIRECTORY", nowhere)
	t.Setenv("GIT_TRACE", touched)
	t.Setenv("GIT_ASKPASS", "/bin/false")
	t.Setenv("GIT_PROXY_COMMAND", "touch "+touched)

	m := openMirror(t, openMirrors(t, filepath.Join(around, "cache"), Options{}), Remote{URL: u.dir})
	fetch(t, m)

	// Not even a hook in the mirror itself is run.
	for _, hook := range []string{"reference-transaction", "post-update"} {
		os.MkdirAll(filepath.Join(m.repository(), "hooks"), 0o700)
		script := filepath.Join(m.repository(), "hooks", hook)
		writeProgram(t, script, "#!/bin/sh\ntouch "+touched+"\n")
	}
	commit := resolve(t, m, Revision{}).Commit
	writeTest(t, filepath.Join(u.dir, "refs/heads/next"), commit+"\n")
	fetch(t, m)
	resolve(t, m, Revision{Branch: "next"})
	if got := content(t, m, Revision{}, "file"); got != "content" {
		t.Errorf("read %q", got)
	}
	if exists(touched) {
		t.Error("a command or file of the user's settings was used")
	}
}

// TestProtocols asks git itself for what Validate would refuse, as a redirection could.
func TestProtocols(t *testing.T) {
	ms := openMirrors(t, t.TempDir(), Options{})
	touched := filepath.Join(t.TempDir(), "touched")
	for _, protocol := range []Remote{{URL: "https://h/x"}, {URL: "/x"}} {
		access, err := newAccess(t.Context(), protocol)
		if err != nil {
			t.Fatal(err)
		}
		for _, url := range []string{"ext::touch " + touched, "git://127.0.0.1:1/x", "ftp://127.0.0.1:1/x"} {
			_, err := ms.git.run(t.Context(), call{args: []string{"ls-remote", "--", url}, dir: ms.dir, remote: access})
			if err == nil || !strings.Contains(err.Error(), "not allowed") {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
	if exists(touched) {
		t.Error("git ran a command in the place of a URL")
	}
}

// sshServer is a server that runs git upload-pack for who has the right key.
type sshServer struct {
	addr    string
	hostKey ssh.PublicKey
}

func serveSSH(t *testing.T, client ssh.PublicKey) *sshServer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), client.Marshal()) {
			return nil, fmt.Errorf("who are you?")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveSSHConn(conn, config)
		}
	}()
	return &sshServer{addr: listener.Addr().String(), hostKey: host.PublicKey()}
}

func serveSSHConn(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for request := range requests {
				if request.Type != "exec" {
					request.Reply(request.Type == "env", nil)
					continue
				}
				request.Reply(true, nil)
				var exit struct{ Status uint32 }
				cmd := exec.Command("sh", "-c", string(request.Payload[4:]))
				cmd.Env = append(os.Environ(), gitEnv...)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = channel, channel, channel.Stderr()
				if cmd.Run() != nil {
					exit.Status = 1
				}
				channel.SendRequest("exit-status", false, ssh.Marshal(exit))
				return
			}
		}()
	}
}

func TestSSH(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("ssh is not installed: install openssh-client")
	}
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	newKey := func(name string) (string, ssh.PublicKey) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return writeTest(t, filepath.Join(dir, name), string(pem.EncodeToMemory(block))), key
	}
	mine, public := newKey("it's mine")
	others, _ := newKey("others")
	server := serveSSH(t, public)
	host, port, err := net.SplitHostPort(server.addr)
	if err != nil {
		t.Fatal(err)
	}
	known := writeTest(t, filepath.Join(dir, "known hosts"), fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(server.hostKey)))
	stranger := writeTest(t, filepath.Join(dir, "other hosts"), fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(public)))
	nobody := writeTest(t, filepath.Join(dir, "no hosts"), "")

	u := newUpstream(t)
	u.commit("main", "file", "content")
	cases := map[string]struct{ reason, key, hosts, err string }{
		"good":       {"the right key, and the server is the one", mine, known, ""},
		"wrong key":  {"a key that the server does not know", others, known, "Permission denied"},
		"new server": {"a server that nobody has vouched for", mine, nobody, "Host key verification failed"},
		"impostor":   {"a server with another key", mine, stranger, "known_hosts has another one"},
	}
	for name, c := range cases {
		m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: "ssh://git@" + server.addr + u.dir,
			Auth: Auth{SSHKeyFile: c.key, KnownHostsFile: c.hosts}})
		_, err := m.Fetch(t.Context())
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %s: got %v, want %q", name, c.reason, err, c.err)
		}
		if err == nil {
			if got := content(t, m, Revision{}, "file"); got != "content" {
				t.Errorf("read %q", got)
			}
		}
	}
}
