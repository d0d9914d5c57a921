package gitserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// randomText is n random bytes that git cannot make smaller by much.
func randomText(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := io.CopyN(&b, rand.Reader, int64(n)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLargePush(t *testing.T) {
	var chunked atomic.Bool
	l := newLab(t, Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.TransferEncoding) > 0 {
				chunked.Store(true)
			}
			next.ServeHTTP(w, r)
		})
	})
	work := newClone(t, l.url+"/fleet")
	id := commit(t, work, "large", "blob", randomText(t, 8<<20))
	runGit(t, work, "push", "origin", "main")
	if !chunked.Load() {
		t.Error("the push was not sent in chunks, so this test shows nothing")
	}
	runGit(t, t.TempDir(), "clone", "--quiet", l.url+"/fleet", "copy")
	if got := remoteRefs(t, l.url+"/fleet"); !strings.HasPrefix(got, id) {
		t.Errorf("repository has %s, want %s", got, id)
	}
	l.checkQuiet(t)
}

func TestPushOverLimit(t *testing.T) {
	l := newLab(t, Options{MaxPush: 100_000})
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "large", "blob", randomText(t, 200_000))
	if out, err := tryGit(t.Context(), work, "push", "origin", "main"); err == nil || !strings.Contains(out, "413") {
		t.Errorf("push: %v\n%s", err, out)
	}
	if _, err := l.find("fleet"); !isMissing(err) {
		t.Errorf("the refused push created the repository (%v)", err)
	}
	l.checkQuiet(t)
}

// TestConcurrentPushes has several clients push branches of their own to the same repositories at once, the first of
// which create them. Were pushes not serialised, one push would be told of another's refs as its own.
func TestConcurrentPushes(t *testing.T) {
	const clients = 6
	repositories := []string{"one", "two", "team/three"}
	l := newLab(t, Options{})
	var wg sync.WaitGroup
	for n := range clients {
		work := newClone(t, "")
		commit(t, work, "mine", "file", fmt.Sprint(n))
		for _, repository := range repositories {
			wg.Go(func() {
				out, err := tryGit(t.Context(), work, "push", l.url+"/"+repository, fmt.Sprintf("main:branch-%d", n))
				if err != nil {
					t.Errorf("client %d to %s: %v\n%s", n, repository, err, out)
				}
			})
		}
	}
	wg.Wait()

	pushes, _ := l.told()
	created, moved := map[string]int{}, map[string]int{}
	for _, p := range pushes {
		if p.Created {
			created[p.Repository]++
		}
		if len(p.Moves) != 1 {
			t.Errorf("a push of one branch was told as %v", p.Moves)
		}
		for _, m := range p.Moves {
			moved[p.Repository+" "+m.Ref]++
		}
	}
	for _, repository := range repositories {
		if created[repository] != 1 {
			t.Errorf("%s was created %d times", repository, created[repository])
		}
		for n := range clients {
			if key := fmt.Sprintf("%s refs/heads/branch-%d", repository, n); moved[key] != 1 {
				t.Errorf("%s was told %d times", key, moved[key])
			}
		}
		runGit(t, l.repositoryDir(repository), "fsck", "--strict")
	}
	if len(l.locks.held) != 0 {
		t.Errorf("locks are left: %v", l.locks.held)
	}
	l.checkQuiet(t)
}

// TestPushesThatRace has clients push to one branch; one wins, the others are told to fetch first, and nothing is lost.
func TestPushesThatRace(t *testing.T) {
	l := newLab(t, Options{})
	url := l.url + "/fleet"
	start := newClone(t, url)
	commit(t, start, "start", "a", "0\n")
	runGit(t, start, "push", "origin", "main")

	const clients = 5
	var wg sync.WaitGroup
	for n := range clients {
		work := filepath.Join(t.TempDir(), "work")
		runGit(t, filepath.Dir(work), "clone", "--quiet", url, work)
		commit(t, work, fmt.Sprint(n), fmt.Sprint(n), "mine\n")
		wg.Go(func() {
			for tries := range clients {
				out, err := tryGit(t.Context(), work, "push", "origin", "main")
				if err == nil {
					return
				}
				if out, err := tryGit(t.Context(), work, "pull", "--rebase", "--quiet", "origin", "main"); err != nil {
					t.Errorf("client %d: %v\n%s", n, err, out)
					return
				}
				if tries == clients-1 {
					t.Errorf("client %d never won: %s", n, out)
				}
			}
		})
	}
	wg.Wait()
	if got := runGit(t, l.repositoryDir("fleet"), "rev-list", "--count", "main"); got != fmt.Sprint(clients+1) {
		t.Errorf("main has %s commits, want %d", got, clients+1)
	}
}

// cutter is a proxy that breaks its one connection after a number of bytes from the client. A client that tries again
// finds nobody.
type cutter struct {
	listener net.Listener
	server   string
	after    int64
	wg       sync.WaitGroup
}

func newCutter(t *testing.T, serverURL string, after int64) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, server: strings.TrimPrefix(serverURL, "http://"), after: after}
	c.wg.Go(func() {
		client, err := listener.Accept()
		listener.Close()
		if err == nil {
			c.serve(t, client)
		}
	})
	t.Cleanup(func() {
		listener.Close()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) serve(t *testing.T, client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	c.wg.Go(func() {
		_, _ = io.Copy(client, server) // ends when either side does
		client.Close()
	})
	_, _ = io.CopyN(server, client, c.after)
}

func TestCutPush(t *testing.T) {
	finished := make(chan struct{}, 100)
	l := newLab(t, Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if r.Method == http.MethodPost {
				finished <- struct{}{}
			}
		})
	})
	url := l.url + "/fleet"
	work := newClone(t, url)
	first := commit(t, work, "first", "blob", randomText(t, 3<<20))

	cutPush := func(after int64, wantPosts int) {
		t.Helper()
		cut := newCutter(t, l.url, after)
		out, err := tryGit(t.Context(), work, "push", "http://"+cut.listener.Addr().String()+"/fleet", "main")
		if err == nil {
			t.Fatalf("the push was not cut:\n%s", out)
		}
		for range wantPosts {
			<-finished
		}
		l.checkQuiet(t)
	}

	// A chunked push, for which git asks first with a push of nothing, and a small one with its length.
	cutPush(1<<20, 2)
	if _, err := l.find("fleet"); !isMissing(err) {
		t.Errorf("half a push created the repository (%v)", err)
	}
	runGit(t, work, "push", "origin", "main")
	for range 2 {
		<-finished
	}

	commit(t, work, "second", "small", randomText(t, 100_000))
	cutPush(50_000, 1)
	if got := remoteRefs(t, url); got != first+" HEAD\n"+first+" refs/heads/main" {
		t.Errorf("after half a push the repository has\n%s\nwant %s", got, first)
	}
	runGit(t, l.repositoryDir("fleet"), "fsck", "--strict")
	runGit(t, work, "push", "origin", "main")
	if pushes, _ := l.told(); len(pushes) != 2 {
		t.Errorf("listener was told %+v, want the two whole pushes", pushes)
	}
}

// TestClientLeavesEarly ends the request's context once the last byte of the push is in.
func TestClientLeavesEarly(t *testing.T) {
	l := newLab(t, Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, leave := context.WithCancel(r.Context())
			defer leave()
			if r.Method == http.MethodPost {
				r.Body = &atEnd{ReadCloser: r.Body, call: leave}
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	})
	work := newClone(t, l.url+"/fleet")
	id := commit(t, work, "start", "a", "1\n")
	runGit(t, work, "push", "origin", "main")
	if pushes, _ := l.told(); len(pushes) != 1 || pushes[0].Moves[0].After != id {
		t.Errorf("listener was told %+v", pushes)
	}
	l.checkQuiet(t)
}

// atEnd calls a function when a body has been read to its end.
type atEnd struct {
	io.ReadCloser
	call func()
}

func (a *atEnd) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err == io.EOF {
		a.call()
	}
	return n, err
}

// TestPushThatCannotBeKept has something where the new repository must be that is not one.
func TestPushThatCannotBeKept(t *testing.T) {
	l := newLab(t, Options{})
	work := newClone(t, l.url+"/fleet")
	commit(t, work, "start", "a", "1\n")
	if err := os.Symlink(filepath.Join(t.TempDir(), "nowhere"), l.repositoryDir("fleet")); err != nil {
		t.Fatal(err)
	}
	if out, err := tryGit(t.Context(), work, "push", "origin", "main"); err == nil || !strings.Contains(out, "500") {
		t.Errorf("push: %v, want status 500\n%s", err, out)
	}
	pushes, failures := l.told()
	if len(pushes) != 0 || len(failures) != 1 || !strings.Contains(failures[0].Err.Error(), "creating repository") {
		t.Errorf("listener was told %v and %v", pushes, failures)
	}
}
