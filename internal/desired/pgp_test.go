package desired

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/keyring/keyringtest"
)

func TestKeyringOfTheFleet(t *testing.T) {
	alice, line := newKey(t, "alice")
	tess, mallory := keyringtest.New(t, "tess", 0), keyringtest.New(t, "mallory", 0)
	files := fleetFiles()
	files["fleet.yaml"], files["keys.asc"] = strings.Replace(verified, "allowedSignersFile: signers", "keyringFile: keys.asc", 1), keyringtest.Public(tess)
	r := newRepository(t)
	first := r.commit(files)
	dir := t.TempDir()
	now := time.Now()
	reopen := func() *Pipeline {
		return r.open(func(o *Options) { o.Dir, o.Now = dir, func() time.Time { return now } })
	}
	p := reopen()
	if pinned := pin(t, p); len(pinned.Problems) > 0 {
		t.Fatal(pinned.Problems)
	}
	signed := r.pgpCommit(tess, map[string]string{"README.md": "a\n"})
	if have := pin(t, p).Snapshot.Fleet; have != signed {
		t.Fatalf("pinned %s, want what tess signed, %s", have, signed)
	}
	for _, test := range []struct {
		reason string
		commit func()
		want   string
	}{
		{"not signed", func() { r.commit(map[string]string{"README.md": "b\n"}) }, "the commit is not signed"},
		{"by a key of SSH", func() { r.signedCommit(alice, map[string]string{"README.md": "b\n"}) }, "the commit is not signed with OpenPGP"},
		{"by a stranger", func() { r.pgpCommit(mallory, map[string]string{"README.md": "b\n"}) }, "is not in the keyring; what counts are the signers of " + signed},
		{"one who admits herself", func() { r.pgpCommit(mallory, map[string]string{"keys.asc": keyringtest.Public(tess, mallory)}) }, "is not in the keyring"},
		{"who drops the check", func() { r.commit(map[string]string{"fleet.yaml": fleetFiles()["fleet.yaml"]}) }, "the commit is not signed"},
		{"who takes other keys in its place", func() { r.signedCommit(alice, map[string]string{"fleet.yaml": verified, "signers": line}) }, "not signed with OpenPGP"},
		{"a keyring that nothing could follow", func() { r.pgpCommit(tess, map[string]string{"keys.asc": "x\n"}) }, "is refused, since nothing could follow it: in keys.asc: reading the keyring"},
	} {
		test.commit()
		refused(t, p, test.reason, test.want)
		refused(t, reopen(), test.reason+", after a restart", test.want)
		if accepted, err := reopen().PinAccepted(t.Context()); err != nil || accepted.Snapshot.Fleet != signed {
			t.Errorf("%s: what was accepted last is in force: %v", test.reason, err)
		}
		r.git("", "reset", "--quiet", "--hard", signed)
	}

	// The keyring counts when the repository that had it is gone.
	if err := os.RemoveAll(filepath.Join(dir, "mirrors")); err != nil {
		t.Fatal(err)
	}
	r.git("", "reset", "--quiet", "--hard", first)
	refused(t, reopen(), "a force-push to what is not signed", "the commit is not signed")

	// Keys of either kind sign where both files are named.
	both := strings.Replace(verified, "signers}", "signers, keyringFile: keys.asc}", 1)
	r.pgpCommit(tess, map[string]string{"fleet.yaml": both, "signers": line})
	pin(t, reopen())
	r.signedCommit(alice, map[string]string{"README.md": "c\n"})
	pin(t, reopen())
	last := r.pgpCommit(tess, map[string]string{"README.md": "d\n"})
	if have := pin(t, reopen()).Snapshot.Fleet; have != last {
		t.Errorf("pinned %s, want %s", have, last)
	}
}

func TestKeyThatExpires(t *testing.T) {
	tess, later := keyringtest.New(t, "tess", 2*time.Hour), keyringtest.New(t, "later", 0)
	files := fleetFiles()
	files["fleet.yaml"], files["keys.asc"] = strings.Replace(verified, "allowedSignersFile: signers", "keyringFile: keys.asc", 1), keyringtest.Public(tess, later)
	r := newRepository(t)
	r.commit(files)
	now := time.Now()
	p := r.open(func(o *Options) { o.Now = func() time.Time { return now } })
	pin(t, p)
	signed := r.pgpCommit(tess, map[string]string{"README.md": "a\n"})
	pin(t, p)
	now = now.Add(3 * time.Hour)
	if have := pin(t, p).Snapshot.Fleet; have != signed {
		t.Errorf("pinned %s: what was accepted before its key expired, %s, is in force", have, signed)
	}
	r.pgpCommit(tess, map[string]string{"README.md": "b\n"})
	refused(t, p, "signed by a key that has expired", "key expired")
}
