package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the process that the tests start; what it then does
// is its first argument.
func TestMain(m *testing.M) {
	Gate()
	if os.Getenv("PROCESS_TEST") == "" || len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		os.Stdout.WriteString("up\n")
		<-time.After(time.Hour)
	case "sleep":
		os.Stdout.WriteString("up\n")
		<-time.After(time.Hour)
	case "starter": // starts a child in the table named by the next argument, tells, and waits to be killed
		table := &Table{Dir: os.Args[2], Tied: os.Args[3] == "tied"}
		if _, err := table.Start(child(os.Args[2], "child", "sleep")); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("started\n")
		<-time.After(time.Hour)
	}
}

func child(dir, name, what string, args ...string) Spec {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Spec{
		Name: name, Path: self, Args: append([]string{what}, args...), Env: []string{"PROCESS_TEST=1"},
		Log: filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".log"),
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.Tick(5*time.Millisecond)
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited 30 s until %s", what)
		case <-tick:
		}
	}
}

func logHolds(spec Spec, text string) func() bool {
	return func() bool {
		data, _ := os.ReadFile(spec.Log)
		return bytes.Contains(data, []byte(text))
	}
}

func TestStartIsIdempotentAndStopIsThorough(t *testing.T) {
	table := &Table{Dir: t.TempDir()}
	spec := child(table.Dir, "one/stubborn", "stubborn")
	first, err := table.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process writes to its log", logHolds(spec, "up"))
	second, err := table.Start(spec)
	if err != nil || second.PID != first.PID {
		t.Fatalf("second start: pid %d, error %v, want pid %d", second.PID, err, first.PID)
	}
	if records, err := table.List(); err != nil || len(records) != 1 || records[0].Name != "one/stubborn" {
		t.Fatalf("list: %v, %v", records, err)
	}
	if usage, err := first.Usage(); err == nil && usage.Memory == 0 {
		t.Errorf("usage: %+v", usage)
	}
	if err := table.Stop(t.Context(), "one/stubborn", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if first.Running() {
		t.Error("a process that ignores SIGTERM survived Stop")
	}
	if err := table.Stop(t.Context(), "one/stubborn", time.Second); err != nil {
		t.Errorf("second stop: %v", err)
	}
	if _, err := table.Get("one/stubborn"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("record after stop: %v", err)
	}
}

func TestSuspendedProcessGoesOnOrEnds(t *testing.T) {
	table := &Table{Dir: t.TempDir()}
	spec := child(table.Dir, "one/etcd", "sleep")
	record, err := table.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process writes to its log", logHolds(spec, "up"))
	if err := table.Suspend("one/etcd"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is suspended", record.Suspended)
	if !record.Running() {
		t.Error("a suspended process counts as gone")
	}
	if err := table.Resume("one/etcd"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it goes on", func() bool { return !record.Suspended() })
	if err := table.Suspend("one/etcd"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := table.Stop(t.Context(), "one/etcd", time.Minute); err != nil || record.Running() {
		t.Fatalf("stopping a suspended process: %v, running %t", err, record.Running())
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it was killed after %s: nobody woke it to end by itself", took)
	}
	if err := table.Suspend("one/etcd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("suspending what is not there: %v", err)
	}
}

func TestSuspendSparesAStranger(t *testing.T) {
	table := &Table{Dir: t.TempDir()}
	// This process has the pid of one that died long ago.
	if err := table.write(Record{Name: "old", PID: os.Getpid(), Start: "another boot/1"}); err != nil {
		t.Fatal(err)
	}
	if err := table.Suspend("old"); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("suspending a process that is gone: %v", err)
	}
}

func TestStopSparesAStranger(t *testing.T) {
	stranger := exec.Command("sleep", "3600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	table := &Table{Dir: t.TempDir()}
	// The record of a process that died long ago and whose pid was given again.
	if err := table.write(Record{Name: "old", PID: stranger.Process.Pid, Start: "another boot/1"}); err != nil {
		t.Fatal(err)
	}
	if err := table.Stop(t.Context(), "old", time.Second); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger was signalled: %v", err)
	}
	if start, err := startOf(stranger.Process.Pid); err != nil || start == "" {
		t.Errorf("the stranger is gone: %v", err)
	}
}

func TestProcessesWhenTheStarterIsKilled(t *testing.T) {
	for _, mode := range []string{"detached", "tied"} {
		t.Run(mode, func(t *testing.T) {
			table := &Table{Dir: t.TempDir()}
			starter := child(t.TempDir(), "starter", "starter", table.Dir, mode)
			record, err := (&Table{Dir: t.TempDir()}).Start(starter)
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the starter has started its child", logHolds(starter, "started"))
			orphan, err := table.Get("child")
			if err != nil || !orphan.Running() {
				t.Fatalf("child: %+v, %v", orphan, err)
			}
			if err := syscall.Kill(record.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if mode == "tied" {
				eventually(t, "the tied child is gone", func() bool { return !orphan.Running() })
				return
			}
			eventually(t, "the starter is gone", func() bool { return !record.Running() })
			if !orphan.Running() {
				t.Fatal("the detached child died with its starter")
			}
			if err := table.Stop(t.Context(), "child", time.Second); err != nil || orphan.Running() {
				t.Errorf("stopping the orphan: %v, running %v", err, orphan.Running())
			}
		})
	}
}

func TestGateUnopenedEndsTheProcess(t *testing.T) {
	// What a starter does that is killed between fork and record: the pipe closes.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	spec := child(t.TempDir(), "early", "sleep")
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), "PROCESS_TEST=1", gateVariable+"=3")
	cmd.ExtraFiles = []*os.File{read}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read.Close()
	write.Close()
	if err := cmd.Wait(); err == nil || out.Len() > 0 {
		t.Errorf("error %v, output %q; want an exit before any work", err, out.String())
	}
}

func TestRecordSurvivesAsJSON(t *testing.T) {
	start, err := startOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(Record{Name: "self", PID: os.Getpid(), Start: start})
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(data, &back); err != nil || !back.Running() {
		t.Errorf("record %s: %v, running %v", data, err, back.Running())
	}
}

func TestTornRecordIsOfAProcessThatIsGone(t *testing.T) {
	table := &Table{Dir: t.TempDir()}
	if err := os.WriteFile(table.file("one/torn"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := child(t.TempDir(), "whole", "sleep")
	if _, err := table.Start(spec); err != nil {
		t.Fatal(err)
	}
	records, err := table.List()
	if err != nil || len(records) != 2 {
		t.Fatalf("list: %v, %v", records, err)
	}
	for _, record := range records {
		if record.Running() != (record.Name == "whole") {
			t.Errorf("%q is running: %t", record.Name, record.Running())
		}
		if err := table.Stop(t.Context(), record.Name, 0); err != nil {
			t.Error(err)
		}
	}
	if records, err := table.List(); err != nil || len(records) != 0 {
		t.Errorf("list after stop: %v, %v", records, err)
	}
}

func TestTailAndTrim(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if data, err := Tail(file, 3); err != nil || data != nil {
		t.Errorf("tail of no file: %q, %v", data, err)
	}
	var lines []byte
	for i := range 1000 {
		lines = strconv.AppendInt(lines, int64(i), 10)
		lines = append(lines, '\n')
	}
	if err := os.WriteFile(file, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := Tail(file, 3); err != nil || string(data) != "997\n998\n999" {
		t.Errorf("tail: %q, %v", data, err)
	}
	if err := Trim(file, 1<<20); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Size() != int64(len(lines)) {
		t.Error("a log under its limit was cut")
	}
	if err := Trim(file, 1000); err != nil {
		t.Fatal(err)
	}
	older, _ := os.ReadFile(file + ".1")
	if info, _ := os.Stat(file); info.Size() != 0 || !bytes.HasSuffix(older, []byte("998\n999\n")) || len(older) > 500 {
		t.Errorf("after the cut: %d bytes, older half %q", info.Size(), older)
	}
}
