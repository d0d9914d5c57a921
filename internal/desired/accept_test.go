package desired

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nave.dev/api/v1alpha1"
)

const verified = "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {verify: {allowedSignersFile: signers}}\n"

// refused fetches, and expects that the head is not accepted.
func refused(t *testing.T, p *Pipeline, reason, want string) {
	t.Helper()
	fetch(t, p, nil)
	if pinned, err := p.Pin(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: pinned %+v, %v, want %q", reason, pinned, err, want)
	}
}

func TestSignaturesRequired(t *testing.T) {
	alice, aliceLine := newKey(t, "alice")
	mallory, malloryLine := newKey(t, "mallory")
	files := fleetFiles()
	files["fleet.yaml"], files["signers"] = verified, aliceLine
	r := newRepository(t)
	r.commit(files)
	dir := t.TempDir()
	reopen := func() *Pipeline { return r.open(func(o *Options) { o.Dir = dir }) }
	p := reopen()
	first := pin(t, p) // nobody has said yet who may sign
	if len(first.Problems) > 0 {
		t.Fatal(first.Problems)
	}

	settings := func(value string) map[string]string {
		return map[string]string{"settings/settings.yaml": configMap("settings", value)}
	}
	signed := r.signedCommit(alice, settings("b"))
	if have := pin(t, p).Snapshot.Fleet; have != signed {
		t.Fatalf("pinned %s, want what alice signed, %s", have, signed)
	}

	for _, test := range []struct {
		reason string
		commit func()
		want   string
	}{
		{"not signed", func() { r.commit(settings("c")) }, "the commit is not signed"},
		{"signed by a stranger", func() { r.signedCommit(mallory, settings("c")) }, "is not that of an allowed signer"},
		{"one who admits herself", func() { r.signedCommit(mallory, map[string]string{"signers": aliceLine + malloryLine}) },
			"is not that of an allowed signer; what counts are the signers of " + signed},
		{"no signatures are asked for any more, not signed", func() { r.commit(map[string]string{"fleet.yaml": fleetFiles()["fleet.yaml"]}) }, "the commit is not signed"},
		{"a list that nothing could follow", func() { r.signedCommit(alice, map[string]string{"signers": "alice\n"}) }, "is refused, since nothing could follow it: reading the allowed signers in signers"},
	} {
		test.commit()
		refused(t, p, test.reason, test.want)
		refused(t, reopen(), test.reason+", after a restart", test.want)
		if at, err := p.PinAt(t.Context(), v1alpha1.Revision{Commit: r.head()}); err != nil || at.Snapshot.Fleet != r.head() {
			t.Errorf("%s: it can be looked at all the same: %v", test.reason, err)
		}
		refused(t, p, test.reason+", after a look at it", test.want)
		if accepted, err := reopen().PinAccepted(t.Context()); err != nil || accepted.Snapshot.Fleet != signed {
			t.Errorf("%s: what was accepted last is in force: %v", test.reason, err)
		}
		r.git("", "reset", "--quiet", "--hard", signed)
	}

	admitted := r.signedCommit(alice, map[string]string{"signers": aliceLine + malloryLine})
	if have := pin(t, p).Snapshot.Fleet; have != admitted {
		t.Fatalf("pinned %s, want %s", have, admitted)
	}
	second := r.signedCommit(mallory, settings("d"))
	if have := pin(t, reopen()).Snapshot.Fleet; have != second {
		t.Fatalf("pinned %s, want that of a signer whom another has admitted, %s", have, second)
	}
}

func TestBrokenFleetKeepsSigners(t *testing.T) {
	alice, line := newKey(t, "alice")
	files := fleetFiles()
	files["fleet.yaml"], files["signers"] = verified, line
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	pin(t, p)
	broken := r.signedCommit(alice, map[string]string{"fleet.yaml": verified + "spec: {}\n"})
	if pinned := pin(t, p); pinned.Snapshot.Fleet != broken || pinned.Fleet.Verify != nil {
		t.Fatalf("pinned %s, which asks for %v", pinned.Snapshot.Fleet, pinned.Fleet.Verify)
	}
	r.commit(map[string]string{"fleet.yaml": fleetFiles()["fleet.yaml"]})
	refused(t, p, "not signed, after a commit whose Fleet cannot be used", "the commit is not signed")
	r.git("", "reset", "--quiet", "--hard", broken)
	mended := r.signedCommit(alice, map[string]string{"fleet.yaml": verified})
	if have := pin(t, p).Snapshot.Fleet; have != mended {
		t.Errorf("pinned %s, want %s", have, mended)
	}
}

func TestRewrittenRepository(t *testing.T) {
	alice, line := newKey(t, "alice")
	files := fleetFiles()
	files["fleet.yaml"], files["signers"] = verified, line
	r := newRepository(t)
	first := r.commit(files)
	dir := t.TempDir()
	open := func() *Pipeline { return r.open(func(o *Options) { o.Dir = dir }) }
	p := open()
	pin(t, p)
	r.signedCommit(alice, map[string]string{"README.md": "a\n"})
	dropped := pin(t, p).Snapshot.Fleet

	// The mirrors are lost, and the commit accepted last is nowhere any more.
	if err := os.RemoveAll(filepath.Join(dir, "mirrors")); err != nil {
		t.Fatal(err)
	}
	r.git("", "reset", "--quiet", "--hard", first)
	fresh := open()
	refused(t, fresh, "a force-push to what is not signed", "what counts are the signers of "+dropped)
	rewritten := r.signedCommit(alice, map[string]string{"README.md": "b\n"})
	if have := pin(t, fresh).Snapshot.Fleet; have != rewritten {
		t.Errorf("pinned %s, want what alice signed, %s", have, rewritten)
	}
}

func TestLookingAcceptsNothing(t *testing.T) {
	alice, line := newKey(t, "alice")
	r := newRepository(t)
	first := r.commit(fleetFiles())
	second := r.commit(map[string]string{"README.md": "a\n"})
	dir := t.TempDir()
	p := r.open(func(o *Options) { o.Dir = dir })
	fetch(t, p, nil)
	if _, err := p.Plan(t.Context(), v1alpha1.Revision{Commit: second}, v1alpha1.Revision{Commit: first}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "accepted.json")); err == nil {
		t.Error("a plan has accepted a commit")
	}
	signed := r.signedCommit(alice, map[string]string{"fleet.yaml": verified, "signers": line})
	pin(t, p)
	before, err := os.ReadFile(filepath.Join(dir, "accepted.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Plan(t.Context(), v1alpha1.Revision{Commit: signed}, v1alpha1.Revision{Commit: first}); err != nil {
		t.Errorf("a plan of older commits, which are not signed: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "accepted.json"))
	if err != nil || string(before) != string(after) {
		t.Errorf("a plan has made %s of %s, %v", after, before, err)
	}
}

func TestAcceptanceThatCannotBeRead(t *testing.T) {
	for reason, text := range map[string]string{"empty": "", "cut": `{"commit":"12`, "no commit": "{}"} {
		r := newRepository(t)
		r.commit(fleetFiles())
		p := r.open(nil)
		pin(t, p)
		file := filepath.Join(p.opts.Dir, "accepted.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, p, reason, "hint: remove the file")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		pin(t, p)
	}
}

func TestSourceSignatures(t *testing.T) {
	alice, line := newKey(t, "alice")
	team := newRepository(t)
	team.commit(map[string]string{"deploy/web.yaml": deployment("web:1")})
	files := withSource(team)
	files["fleet.yaml"] = strings.Replace(files["fleet.yaml"], "deliveries: [web]}", "deliveries: [web], verify: {allowedSignersFile: team-signers}}", 1)
	files["team-signers"] = line
	r := newRepository(t)
	r.commit(files)
	p := r.open(nil)
	pinned := pin(t, p)
	lines := describe(compile(t, p, pinned)["dev-1"])
	if len(lines) != 2 || lines[0] != "settings: ConfigMap/settings" || !strings.Contains(lines[1], "the commit is not signed") {
		t.Errorf("a source's commit that is not signed: %v, %v", lines, pinned.Problems)
	}
	signed := team.signedCommit(alice, map[string]string{"deploy/web.yaml": deployment("web:2")})
	fetch(t, p, pinned)
	if pinned, err := p.Pin(t.Context()); err != nil || pinned.Sources["team@branch:main"] != signed {
		t.Errorf("pinned %+v, %v, want %s", pinned, err, signed)
	}
}
