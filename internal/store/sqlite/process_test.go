package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nave.dev/internal/store"
)

// parts are what a second process does in a directory.
var parts = map[string]func(ctx context.Context, dir string) error{"write": writeForEver, "full": fillUp}

// run starts a part in another process.
func run(t *testing.T, part, dir string) *exec.Cmd {
	t.Helper()
	self := must(os.Executable())(t)
	command := exec.CommandContext(t.Context(), self)
	command.Env = append(os.Environ(), "NAVE_STORE_PART="+part, "NAVE_STORE_DIR="+dir)
	command.Stderr = t.Output()
	return command
}

// writeForEver says what is written, once it is.
func writeForEver(ctx context.Context, dir string) error {
	s, err := Open(ctx, dir, Options{FlushInterval: time.Millisecond})
	if err != nil {
		return err
	}
	first, err := s.Identity(ctx, "a")
	if err != nil {
		return err
	}
	for n := first + 1; ; n++ {
		token := store.Token{ID: fmt.Sprint(n), Cluster: "a", Identity: n, Key: "k", End: time.Now().Add(time.Hour)}
		if err := s.UseToken(ctx, token); err != nil {
			return err
		}
		if _, err := s.Audit(ctx, store.Entry{Actor: "anna", Reason: fmt.Sprint(n)}); err != nil {
			return err
		}
		for range 20 {
			s.Record(store.Event{Kind: "Synced", Message: fmt.Sprint(n)})
		}
		if n%10 == 0 { // a page has what was recorded before
			if _, err := s.Events(ctx, store.EventQuery{Limit: 1}); err != nil {
				return err
			}
			fmt.Println("page", first)
		}
		fmt.Println(n)
	}
}

// round is what a process said was written: a token, an entry, and events, if it
// has seen these in a page.
type round struct {
	number int64
	page   bool
}

// hear adds what a process says to what was said before: a number, or that a page
// has all that was recorded after one.
func hear(t *testing.T, said []round, line string) []round {
	t.Helper()
	text, page := strings.CutPrefix(line, "page ")
	number := must(strconv.ParseInt(text, 10, 64))(t)
	if !page {
		return append(said, round{number: number})
	}
	for i := range said {
		said[i].page = said[i].page || said[i].number > number
	}
	return said
}

// TestKilled kills a process while it writes, again and again in one database:
// what it said was written is there.
func TestKilled(t *testing.T) {
	dir, backup := t.TempDir(), t.TempDir()
	var said []round
	for number := range 4 {
		command := run(t, "write", dir)
		out := must(command.StdoutPipe())(t)
		check(t, command.Start())
		lines := bufio.NewScanner(out)
		for n := 0; n < 10*(number+1) && lines.Scan(); n++ {
			said = hear(t, said, lines.Text())
		}
		saved := slices.Clone(said)
		file := filepath.Join(backup, fmt.Sprint(number))
		check(t, Backup(t.Context(), dir, file)) // while the other process writes
		check(t, command.Process.Kill())
		for lines.Scan() { // what it said before it died
			said = hear(t, said, lines.Text())
		}
		if err := command.Wait(); err == nil {
			t.Fatal("the process was not killed")
		}
		verify(t, dir, said)
		restored := filepath.Join(backup, fmt.Sprintf("restored-%d", number))
		must(Restore(t.Context(), file, restored))(t)
		verify(t, restored, saved)
	}
}

// verify wants what a process said was written in a database.
func verify(t *testing.T, dir string, said []round) {
	t.Helper()
	s := must(Open(t.Context(), dir, Options{}))(t)
	defer s.Close()
	var result string
	check(t, s.readers.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&result))
	if result != "ok" {
		t.Errorf("the database is damaged: %s", result)
	}
	for _, r := range said {
		n := r.number
		token := store.Token{ID: fmt.Sprint(n), Cluster: "a", Identity: n, Key: "thief"}
		if err := s.UseToken(t.Context(), token); !errors.Is(err, store.ErrTokenUsed) {
			t.Errorf("token %d: have %v, want it used", n, err)
		}
		var entries, events int
		check(t, s.readers.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM entries WHERE reason = $1), (SELECT count(*) FROM events WHERE message = $1)`,
			fmt.Sprint(n)).Scan(&entries, &events))
		if entries != 1 {
			t.Errorf("of %d there are %d entries", n, entries)
		}
		if events != 20 && r.page {
			t.Errorf("of %d there are %d events, which were seen in a page", n, events)
		}
	}
}

// fillUp writes until files may not grow, and goes on once they may.
func fillUp(ctx context.Context, dir string) error {
	signal.Ignore(syscall.SIGXFSZ) // writing beyond the limit is an error then
	now := time.Now()
	dropped, kept := make(chan error, 10), make(chan int64, 10)
	s, err := Open(ctx, dir, Options{Now: func() time.Time { return now }, Listener: Listener{
		Dropped: func(why error) { dropped <- why },
		Kept:    func(n int64) { kept <- n },
	}})
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Audit(ctx, store.Entry{Actor: "anna", Reason: "before"}); err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	roomy := limit
	limit.Cur = 2 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	event := store.Event{Kind: "Synced", Message: strings.Repeat("x", 1000)}
	for range 8 {
		for range batch {
			s.Record(event)
		}
		s.flush(ctx)
	}
	select {
	case why := <-dropped:
		if !strings.Contains(why.Error(), "hint: free space") {
			return fmt.Errorf("the warning gives no hint: %w", why)
		}
	default:
		return errors.New("a disk that is full dropped nothing")
	}
	if len(dropped) > 0 {
		return errors.New("more than one warning")
	}
	if _, err := s.Audit(ctx, store.Entry{Actor: "anna", Reason: strings.Repeat("x", 1<<20)}); err == nil || !strings.Contains(err.Error(), "hint: free space") {
		return fmt.Errorf("what cannot be written down is no error, or has no hint: %w", err)
	}
	page, err := s.Entries(ctx, store.EntryQuery{})
	if err != nil || len(page.Entries) != 1 {
		return fmt.Errorf("reading while the disk is full: %d entries, %w", len(page.Entries), err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &roomy); err != nil {
		return err
	}
	if _, err := s.Audit(ctx, store.Entry{Actor: "anna", Reason: "after"}); err != nil {
		return fmt.Errorf("there is space again: %w", err)
	}
	if len(kept) > 0 {
		return errors.New("it was said too early that events are kept again")
	}
	now = now.Add(calm)
	s.Record(event)
	s.flush(ctx)
	select {
	case n := <-kept:
		fmt.Println("dropped", n)
	default:
		return errors.New("nobody was told that events are kept again")
	}
	var result string
	if err := s.readers.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&result); err != nil || result != "ok" {
		return fmt.Errorf("the database is damaged: %s %w", result, err)
	}
	return nil
}

func TestDiskFull(t *testing.T) {
	out, err := run(t, "full", t.TempDir()).Output()
	check(t, err)
	if !bytes.HasPrefix(out, []byte("dropped ")) || bytes.Contains(out, []byte("dropped 0")) {
		t.Errorf("have %q", out)
	}
}
