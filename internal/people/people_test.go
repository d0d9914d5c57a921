package people

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain has hashes cost little: there are many of them.
func TestMain(m *testing.M) {
	present = cost{memory: 64, passes: 1, threads: 1}
	m.Run()
}

const secretWord = "correct horse battery"

// hall is a directory of people, and a clock that stands.
type hall struct {
	*testing.T
	file     File
	now      time.Time
	problems []string
	people   *Directory
}

func newHall(t *testing.T) *hall {
	h := &hall{T: t, file: File{Dir: filepath.Join(t.TempDir(), "authority")}, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	h.open()
	return h
}

func (h *hall) open() {
	h.people = Open(Options{
		Dir: h.file.Dir, Logins: filepath.Join(filepath.Dir(h.file.Dir), "logins.json"), Now: func() time.Time { return h.now },
		Problem: func(err error) { h.problems = append(h.problems, err.Error()) },
	})
}

func (h *hall) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *hall) token(user, name string, life time.Duration) string {
	h.Helper()
	secret, err := h.file.AddToken(user, name, life, h.now)
	h.must(err)
	return secret
}

func (h *hall) login(name, password string) (string, error) {
	secret, _, err := h.people.Login(h.Context(), name, password, "192.0.2.1")
	return secret, err
}

// known wants a token to count, or not.
func (h *hall) known(reason, secret string, want bool) {
	h.Helper()
	if _, ok := h.people.ByToken(secret); ok != want {
		h.Errorf("%s: the token counts: %t", reason, ok)
	}
}

func TestTokens(t *testing.T) {
	h := newHall(t)
	h.must(h.file.Add("ana", []string{"web", "oncall"}, secretWord))
	first, second := h.token("ana", "default", time.Hour), h.token("ana", "ci", 2*time.Hour)
	who, ok := h.people.ByToken(first)
	want := Person{Name: "ana", Groups: []string{"web", "oncall"}, Token: "default", Expires: h.now.Add(time.Hour)}
	if diff := cmp.Diff(want, who); !ok || diff != "" {
		t.Errorf("whose the token is: %t\n%s", ok, diff)
	}
	data, err := os.ReadFile(path(h.file.Dir))
	h.must(err)
	if strings.Contains(string(data), first[len(tokenPrefix):]) || strings.Contains(string(data), secretWord) {
		t.Errorf("the file has what it is to hide:\n%s", data)
	}
	if info, err := os.Stat(path(h.file.Dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	h.known("nothing", "", false)
	h.known("what is kept of it", sumOf(first), false)
	h.known("part of it", first[:len(first)-1], false)
	h.now = h.now.Add(time.Hour)
	h.known("at its end", first, false)
	h.known("another of the user", second, true)
	h.must(h.file.RemoveToken("ana", "ci"))
	h.known("removed by another process", second, false)
	third := h.token("ana", "ci", time.Hour)
	h.must(h.file.Remove("ana"))
	h.known("of a user who was removed", third, false)
}

func TestRefusedChanges(t *testing.T) {
	h := newHall(t)
	h.must(h.file.Add("ana", nil, ""))
	h.token("ana", "ci", time.Hour)
	_, twice := h.file.AddToken("ana", "ci", time.Hour, h.now)
	_, long := h.file.AddToken("ana", "x", MaxTokenLife+1, h.now)
	_, never := h.file.AddToken("ana", "x", 0, h.now)
	for reason, err := range map[string]error{
		"a user twice": h.file.Add("ana", nil, ""), "no name of a user": h.file.Add("Ana B", nil, ""), "no group": h.file.Add("bob", []string{"a b"}, ""),
		"a short password": h.file.Add("bob", nil, "short"), "a password that costs": h.file.SetPassword("ana", strings.Repeat("x", mostPassword+1)),
		"nobody": h.file.Remove("bob"), "no token": h.file.RemoveToken("ana", "x"), "a token twice": twice, "for ever": long, "for no time": never,
	} {
		if err == nil {
			t.Errorf("%s was accepted", reason)
		}
	}
	h.must(os.WriteFile(path(h.file.Dir), []byte("users: [{name: x, nmae: y}]"), 0o600))
	if err := h.file.Add("bob", nil, ""); err == nil || !strings.Contains(err.Error(), FileName+":1:") {
		t.Errorf("a file that is not understood was changed: %v", err)
	}
}

// TestChangesAtOnce has several processes, as they are seen by the lock, add users.
func TestChangesAtOnce(t *testing.T) {
	h := newHall(t)
	var group sync.WaitGroup
	for _, name := range strings.Split("abcdefghij", "") {
		group.Go(func() {
			if err := h.file.Add(name, nil, ""); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if users, err := h.file.Users(); err != nil || len(users) != 10 {
		t.Errorf("%d users are left, %v", len(users), err)
	}
}

// TestBrokenFile: who was known stays known while the file says nothing, and a
// problem is told once, with its place.
func TestBrokenFile(t *testing.T) {
	h := newHall(t)
	h.must(h.file.Add("ana", nil, ""))
	secret := h.token("ana", "ci", time.Hour)
	h.known("before", secret, true)
	good, err := os.ReadFile(path(h.file.Dir))
	h.must(err)
	h.must(os.WriteFile(path(h.file.Dir), []byte("users:\n- name: ana\n  tokens: [{name: ci}]\n"), 0o600))
	h.known("while the file is broken", secret, true)
	h.known("still", secret, true)
	if len(h.problems) != 1 || !strings.Contains(h.problems[0], FileName+":3:") {
		t.Errorf("what was told: %q", h.problems)
	}
	h.must(os.WriteFile(path(h.file.Dir), good, 0o600))
	h.known("mended", secret, true)
	h.must(os.Remove(path(h.file.Dir)))
	h.known("without a file", secret, false)
}

func TestLogin(t *testing.T) {
	h := newHall(t)
	h.must(h.file.Add("ana", []string{"web"}, secretWord))
	h.must(h.file.Add("ci", nil, ""))
	secret, err := h.login("ana", secretWord)
	h.must(err)
	h.known("after a login", secret, true)
	h.open()
	h.known("after a restart", secret, true)
	for reason, try := range map[string][2]string{
		"another password": {"ana", secretWord + "!"}, "no password": {"ana", ""}, "no such user": {"bob", secretWord},
		"a user without a password": {"ci", ""}, "a password that would cost": {"ana", strings.Repeat("x", 1<<20)},
	} {
		if _, err := h.login(try[0], try[1]); !errors.Is(err, ErrWrong) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	other, err := h.login("ana", secretWord)
	h.must(err)
	h.must(h.people.Logout(other))
	h.known("logged out", other, false)
	h.known("logged out elsewhere", secret, true)
	for range loginsOfUser {
		_, err := h.login("ana", secretWord)
		h.must(err)
	}
	h.known("one of too many", secret, false)
	last, err := h.login("ana", secretWord)
	h.must(err)
	h.must(h.file.SetPassword("ana", secretWord+"?"))
	h.known("of another password", last, false)
	last, err = h.login("ana", secretWord+"?")
	h.must(err)
	h.now = h.now.Add(LoginLife)
	h.known("after its life", last, false)
	h.must(os.WriteFile(h.people.opts.Logins, []byte("{"), 0o600))
	h.open()
	if len(h.problems) != 1 {
		t.Errorf("logins that cannot be read: %q", h.problems)
	}
	_, err = h.login("ana", secretWord+"?")
	h.must(err)
}

// TestGuesses: who guesses is stopped, also with the right password, and nobody else;
// some time later there is another try.
func TestGuesses(t *testing.T) {
	h := newHall(t)
	h.must(h.file.Add("ana", nil, secretWord))
	for range addressFailures {
		if _, err := h.login("bob", "wrong"); !errors.Is(err, ErrWrong) {
			t.Fatal(err)
		}
	}
	if _, err := h.login("ana", secretWord); !errors.Is(err, ErrTooMany) {
		t.Errorf("from an address of many guesses: %v", err)
	}
	if _, _, err := h.people.Login(t.Context(), "ana", secretWord, "192.0.2.2"); err != nil {
		t.Errorf("from another address: %v", err)
	}
	h.now = h.now.Add(addressInterval)
	if _, err := h.login("ana", secretWord); err != nil {
		t.Errorf("some time later: %v", err)
	}
	for range userFailures { // from everywhere
		h.people.limits.failed("ana", "", h.now)
	}
	if _, _, err := h.people.Login(t.Context(), "ana", secretWord, "192.0.2.3"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a user of many guesses: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::1": "2001:db8:1:2::/64", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "@": "@", "": "",
	} {
		if got := Network(address); got != want {
			t.Errorf("%q is counted as %q, want %q", address, got, want)
		}
	}
}

// TestLimitsAreBounded: strangers cannot have the hub remember any number of names.
func TestLimitsAreBounded(t *testing.T) {
	l, now := newLimits(), time.Unix(0, 0)
	for i := range maxKeys {
		if name := "u" + strings.Repeat("x", i%100) + time.Duration(i).String(); l.may(name, "", now) {
			l.failed(name, "", now)
			now = now.Add(time.Millisecond)
		}
	}
	if len(l.keys) > maxKeys || l.may("one more", "192.0.2.9", now) && len(l.keys)+2 > maxKeys {
		t.Errorf("%d names are remembered", len(l.keys))
	}
	if !l.may("one more", "192.0.2.9", now.Add(time.Hour)) {
		t.Error("nobody may log in an hour later")
	}
}

func TestHashes(t *testing.T) {
	good, err := newHash(secretWord)
	if err != nil || !matches(secretWord, good) || matches(secretWord+" ", good) {
		t.Fatalf("%s: %v", good, err)
	}
	if again, _ := newHash(secretWord); again == good {
		t.Error("two hashes of a password are the same")
	}
	_, tail, _ := strings.Cut(good, "p=1")
	for reason, text := range map[string]string{
		"nothing": "", "another kind": strings.Replace(good, "argon2id", "argon2i", 1), "another version": strings.Replace(good, "v=19", "v=18", 1),
		"much memory": "$argon2id$v=19$m=4194304,t=1,p=1" + tail, "many passes": "$argon2id$v=19$m=64,t=1000000,p=1" + tail, "no passes": "$argon2id$v=19$m=64,t=0,p=1" + tail,
		"no threads": "$argon2id$v=19$m=64,t=1,p=0" + tail, "a number with a sign": "$argon2id$v=19$m=64,t=+1,p=1" + tail, "more behind": good + "$", "no key": good[:strings.LastIndex(good, "$")+1],
	} {
		if _, err := parseHash(text); err == nil || matches(secretWord, text) {
			t.Errorf("%s: %q is accepted", reason, text)
		} else if tail := strings.TrimPrefix(text, "$argon2id"); tail != "" && strings.Contains(err.Error(), tail) {
			t.Errorf("%s: the error repeats the hash: %v", reason, err)
		}
	}
}

// FuzzFile: whatever the file is, it is read or refused, with its place, and what was
// read can be written and read again.
func FuzzFile(f *testing.F) {
	f.Add([]byte("users:\n- name: ana\n  groups: [web]\n  password: $argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" +
		"  tokens: [{name: ci, sha256: " + sumOf("x") + ", created: 2030-01-01T00:00:00Z, expires: 2030-02-01T00:00:00Z}]\n"))
	f.Add([]byte("users: [{name: a}, {name: a, groups: [A]}]"))
	f.Add([]byte("users: {"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decode("people.yaml", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "people.yaml:") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		for _, u := range c.Users {
			if u.Name == "" || !userName.MatchString(u.Name) {
				t.Errorf("a user %q", u.Name)
			}
		}
	})
}

// TestFileThatCannotBeRead has a user be removed while the file cannot be read for a
// moment, as without a file descriptor left: the removal counts as soon as it can.
func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	f := File{Dir: dir}
	if err := f.Add("ana", nil, ""); err != nil {
		t.Fatal(err)
	}
	secret, err := f.AddToken("ana", "ci", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var told []error
	d := Open(Options{Dir: dir, Logins: filepath.Join(dir, "logins.json"), Problem: func(err error) { told = append(told, err) }})
	if err := f.Remove("ana"); err != nil {
		t.Fatal(err)
	}
	d.read = func(string) (content, error) { return content{}, syscall.EMFILE }
	for range 3 {
		if _, ok := d.ByToken(secret); !ok {
			t.Error("while the file cannot be read, who was known stays known")
		}
	}
	if len(told) != 1 {
		t.Errorf("one problem was told %d times: %v", len(told), told)
	}
	d.read = read
	if _, ok := d.ByToken(secret); ok {
		t.Error("a user who was removed still counts")
	}
}
