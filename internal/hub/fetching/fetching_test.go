package fetching

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nave.dev/internal/desired"
)

// server is one that lets those wait who ask it, until it hangs up.
type server struct {
	net.Listener
	asked chan struct{} // has something for each that asked
	hang  chan struct{} // closed: it hangs up at once
}

func newServer(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: listener, asked: make(chan struct{}, 1000), hang: make(chan struct{})}
	var serving sync.WaitGroup
	ended := make(chan struct{})
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.asked <- struct{}{}
			serving.Go(func() {
				defer c.Close()
				select {
				case <-s.hang:
				case <-ended:
				}
			})
		}
	})
	t.Cleanup(func() {
		close(ended)
		listener.Close()
		serving.Wait()
	})
	return s
}

// fleet is a pipeline whose fleet has sources at servers.
type fleet struct {
	*desired.Pipeline
	t   *testing.T
	dir string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir()}
	var err error
	f.Pipeline, err = desired.Open(t.Context(), desired.Options{Dir: t.TempDir(), Worktree: f.dir, SourcesApart: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// names has the fleet name sources, each as NAME ADDRESS.
func (f *fleet) names(sources ...string) *desired.Pinned {
	f.t.Helper()
	text := "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  sources:\n"
	for _, source := range sources {
		name, address, _ := strings.Cut(source, " ")
		text += fmt.Sprintf("  - {name: %s, url: 'https://%s/team.git', deliveries: ['*'], revision: {branch: main}}\n", name, address)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "fleet.yaml"), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	pinned, err := f.Pin(f.t.Context())
	if err != nil || len(pinned.Problems) > 0 || len(pinned.Fleet.Sources) != len(sources) {
		f.t.Fatalf("%v, %v", pinned.Problems, err)
	}
	return pinned
}

// sources are new Sources, and how often something arrived.
func (f *fleet) sources() (*Sources, context.Context, *atomic.Int64) {
	var arrived atomic.Int64
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	f.t.Cleanup(group.Wait)
	f.t.Cleanup(cancel)
	return New(f.Pipeline, &group, func() { arrived.Add(1) }), ctx, &arrived
}

func wait(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal(what)
	}
}

// TestApart has one source that does not answer delay neither another one nor, for
// longer than its patience, who waits for all.
func TestApart(t *testing.T) {
	slow, quick := newServer(t), newServer(t)
	close(quick.hang)
	f := newFleet(t)
	pinned := f.names("slow "+slow.Addr().String(), "slower "+slow.Addr().String(), "quick "+quick.Addr().String())
	s, ctx, arrived := f.sources()
	if states := s.States(pinned); len(states) != 0 {
		t.Errorf("before any fetch there are states: %v", states)
	}
	began := time.Now()
	s.Fetch(ctx, pinned, []string{"slow", "slower", "quick"})
	if took := time.Since(began); took < patience || took > 5*patience {
		t.Errorf("it waited for %s", took)
	}
	if !s.Fetching("slow") || s.Fetching("quick") || s.Fetching("absent") {
		t.Errorf("under way are slow: %v, quick: %v, absent: %v", s.Fetching("slow"), s.Fetching("quick"), s.Fetching("absent"))
	}
	if states := s.States(pinned); len(states) != 1 || states[0].Name != "quick" || states[0].Err == "" {
		t.Errorf("the states are %+v", states)
	}
	if n := arrived.Load(); n != 1 {
		t.Errorf("%d have arrived", n)
	}
	close(slow.hang)
	for end := time.Now().Add(30 * time.Second); s.Fetching("slow") || s.Fetching("slower"); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a fetch that came to nothing is under way for ever")
		}
	}
	var names []string
	for _, state := range s.States(pinned) {
		names = append(names, state.Name)
	}
	if !slices.Equal(names, []string{"quick", "slow", "slower"}) {
		t.Errorf("there are states of %q", names)
	}
	if states := s.States(f.names("quick " + quick.Addr().String())); len(states) != 1 {
		t.Errorf("one that the fleet no longer names is told: %+v", states)
	}
}

// TestOnceMore has a source that is asked for while it is fetched be fetched once
// more, however often it was asked for, and by the fleet that asked last.
func TestOnceMore(t *testing.T) {
	before, now := newServer(t), newServer(t)
	close(now.hang)
	f := newFleet(t)
	s, ctx, arrived := f.sources()
	first := s.Begin(ctx, f.names("team "+before.Addr().String()), []string{"team"})
	if len(first) != 1 {
		t.Fatalf("%d fetches were begun", len(first))
	}
	wait(t, "nobody asks the server", before.asked)
	for range 3 {
		if more := s.Begin(ctx, f.names("team "+now.Addr().String()), []string{"team"}); len(more) != 0 {
			t.Error("a source is fetched twice at a time")
		}
	}
	close(before.hang)
	wait(t, "the fetch does not end", first[0])
	wait(t, "it is not fetched from where the fleet names it now", now.asked)
	for end := time.Now().Add(30 * time.Second); arrived.Load() < 2; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was fetched is not told")
		}
	}
	if s.Fetching("team") || arrived.Load() != 2 {
		t.Errorf("it was fetched %d times, want 2", arrived.Load())
	}
}

// TestAtTheEnd has who waits return with the context, and nothing be fetched again
// after it.
func TestAtTheEnd(t *testing.T) {
	slow := newServer(t)
	f := newFleet(t)
	pinned := f.names("slow " + slow.Addr().String())
	s, _, arrived := f.sources()
	ctx, cancel := context.WithCancel(t.Context())
	done := s.Begin(ctx, pinned, []string{"slow"})
	wait(t, "nobody asks the server", slow.asked)
	s.Begin(ctx, pinned, []string{"slow"})
	cancel()
	began := time.Now()
	s.Fetch(ctx, pinned, []string{"slow"})
	if took := time.Since(began); took >= patience {
		t.Errorf("it returned after %s", took)
	}
	wait(t, "the fetch does not end", done[0])
	s.group.Wait()
	if arrived.Load() != 1 || s.Fetching("slow") {
		t.Errorf("it was fetched %d times, also after the end", arrived.Load())
	}
}

// TestUnfetched names what was not begun to be fetched, from where the fleet has it
// now.
func TestUnfetched(t *testing.T) {
	one, other := newServer(t), newServer(t)
	close(one.hang)
	close(other.hang)
	f := newFleet(t)
	s, ctx, _ := f.sources()
	is := func(reason string, pinned *desired.Pinned, want ...string) {
		t.Helper()
		if got := s.Unfetched(pinned); !slices.Equal(got, want) {
			t.Errorf("%s: not fetched are %q, want %q", reason, got, want)
		}
	}
	both := f.names("a "+one.Addr().String(), "b "+one.Addr().String())
	is("nothing was", both, "a", "b")
	for _, done := range s.Begin(ctx, both, []string{"a"}) {
		is("while it is under way", both, "b")
		wait(t, "the fetch does not end", done)
	}
	is("one was, in vain", both, "b")
	moved := f.names("a "+other.Addr().String(), "b "+one.Addr().String())
	is("it is elsewhere now", moved, "a", "b")
	for _, done := range s.Begin(ctx, moved, []string{"a", "b"}) {
		wait(t, "the fetch does not end", done)
	}
	is("all were", moved)
	is("and it is where it was before", both, "a")
}
