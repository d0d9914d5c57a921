package gitsource

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"testing"
)

// TestLargeRepository mirrors 100 MB that do not compress, and changes one file in them.
func TestLargeRepository(t *testing.T) {
	if testing.Short() {
		t.Skip("mirrors 100 MB: run without -short")
	}
	u := newUpstream(t)
	importNoise(t, u, 100, 1<<20)
	m := openMirror(t, openMirrors(t, t.TempDir(), Options{}), Remote{URL: u.dir})
	fetch(t, m)
	before, err := m.Tree(t.Context(), resolve(t, m, Revision{}).Commit)
	if err != nil {
		t.Fatal(err)
	}
	u.commit("main", "dir/99", "small now")
	fetch(t, m)
	if got := content(t, m, Revision{}, "dir/99"); got != "small now" {
		t.Errorf("read %q", got)
	}
	var base, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	for i := range 100 {
		if data, err := before.ReadFile(fmt.Sprintf("dir/%d", i)); err != nil || len(data) != 1<<20 {
			t.Errorf("file %d: %d bytes, %v", i, len(data), err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&now)
	if used := int64(now.HeapAlloc) - int64(base.HeapAlloc); used > 80<<20 {
		t.Errorf("%d MiB are kept of 100 that were read, want at most the cache of 64", used>>20)
	}
}

// importNoise writes a commit of files of random bytes.
func importNoise(tb testing.TB, u *upstream, files, size int) {
	tb.Helper()
	cmd := exec.Command("git", "-c", "core.compression=0", "--git-dir", u.dir, "fast-import", "--quiet")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	rng := rand.NewChaCha8([32]byte{})
	data := make([]byte, size)
	fmt.Fprint(in, "commit refs/heads/main\ncommitter T <t@example.com> 1700000000 +0000\ndata 0\n")
	for i := range files {
		rng.Read(data)
		fmt.Fprintf(in, "M 100644 inline dir/%d\ndata %d\n%s\n", i, size, data)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkNothingNew measures a poll that finds nothing.
func BenchmarkNothingNew(b *testing.B) {
	u := newUpstream(b)
	u.commit("main", "file", "content")
	b.Run("file", func(b *testing.B) {
		m := mirrorOf(b, u)
		for b.Loop() {
			fetch(b, m)
		}
	})
	b.Run("http", func(b *testing.B) {
		server := serveHTTP(b, u, httptest.NewServer)
		m := openMirror(b, openMirrors(b, b.TempDir(), Options{}), Remote{URL: server.repo(u)})
		fetch(b, m)
		for b.Loop() {
			fetch(b, m)
		}
	})
}

// BenchmarkOneCommit measures from a commit in the remote to its tree, in a repository of 2,000 directories.
func BenchmarkOneCommit(b *testing.B) {
	u := newUpstream(b)
	var s []byte
	s = fmt.Append(s, "commit refs/heads/main\ncommitter T <t@example.com> 1700000000 +0000\ndata 0\n")
	for i := range 2000 {
		s = fmt.Appendf(s, "M 100644 inline apps/app-%d/file.yaml\ndata 5\n%05d\n", i, i)
	}
	u.git(string(s), "fast-import", "--quiet")
	m := mirrorOf(b, u)
	rev := Revision{Branch: "main"}
	before, err := m.Tree(b.Context(), resolve(b, m, rev).Commit)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		want := fmt.Sprint("version ", n)
		u.commit("main", "apps/app-7/file.yaml", want)
		b.StartTimer()
		fetch(b, m)
		if got := content(b, m, rev, "apps/app-7/file.yaml"); got != want {
			b.Fatalf("read %q", got)
		}
	}
	runtime.KeepAlive(before)
}

// BenchmarkResolve measures a resolution that was made before.
func BenchmarkResolve(b *testing.B) {
	u := newUpstream(b)
	u.git("", "tag", "v1.0.0", u.commit("main", "file", "content"))
	m := mirrorOf(b, u)
	for b.Loop() {
		resolve(b, m, Revision{SemVer: "1.x"})
	}
}
