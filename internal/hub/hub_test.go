package hub

import (
	"os"
	"testing"

	"nave.dev/internal/spoke"
)

func TestOneHubInADirectory(t *testing.T) {
	dir := t.TempDir()
	free, err := own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := own(dir); err == nil {
		t.Fatal("two hubs own one directory")
	}
	free()
	free, err = own(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	free()
}

func TestSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "hub") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &Hub{opts: Options{Dir: dir}}
	for range 2 { // the second time over what a dead hub left
		listener, err := h.socket()
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(Socket(dir))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("socket: %v, %v, want mode 0600", info, err)
		}
		listener.Close()
	}
}

func TestJournal(t *testing.T) {
	var j journal
	news := j.wait()
	for range journalSize + 2*journalTrim {
		j.add(spoke.Event{})
	}
	select {
	case <-news:
	default:
		t.Error("who waited was not woken")
	}
	total := int64(journalSize + 2*journalTrim)
	for _, c := range []struct {
		reason      string
		from        int64
		least, most int
	}{
		{"from the beginning: those that are kept", 0, journalSize, journalSize + journalTrim},
		{"the last one", total - 1, 1, 1},
		{"what is to come", total, 0, 0},
		{"a number of another hub's journal", 2 * total, 0, 0},
	} {
		events, next := j.since(c.from)
		if len(events) < c.least || len(events) > c.most || next != total {
			t.Errorf("%s: %d events, next %d", c.reason, len(events), next)
		}
	}
}
