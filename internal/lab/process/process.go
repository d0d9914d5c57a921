// Package process runs the lab's processes so that they can always be found
// again. A Table is a directory with one record per process: what it is, its
// pid and when it started, so that a later run neither loses a process nor
// mistakes a stranger with the same pid for it. Processes outlive the program
// that starts them, unless the table is tied. The package knows nothing of
// Kubernetes and does not restart what dies.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"nave.dev/internal/atomicfile"
)

// Spec is a process as data.
type Spec struct {
	Name string   // unique in its table, such as "prod-us-1/kube-apiserver"
	Path string   // the binary, which must wait at the gate (see Gate)
	Args []string // without the program's name
	Env  []string // KEY=VALUE, beside PATH, HOME and TMPDIR, which are all it inherits
	Log  string   // file that its output is appended to, readable by the owner only
}

// Record is what a table remembers of a process.
type Record struct {
	Name    string    `json:"name"`
	PID     int       `json:"pid"`
	Start   string    `json:"start"` // the kernel's word for when it started; opaque
	Started time.Time `json:"started"`
	Log     string    `json:"log"`
}

// Running reports whether the recorded process, and not another one with its
// pid, still runs.
func (r Record) Running() bool {
	start, err := startOf(r.PID)
	return err == nil && r.PID > 0 && start == r.Start
}

// Table is a set of processes recorded in a directory. The zero value is not
// usable; set Dir. Its methods are safe for concurrent use as long as no two
// of them concern the same name.
type Table struct {
	Dir string // one file per process
	// Tied processes end with the program that started them, however it ends.
	Tied bool

	mu    sync.Mutex
	gates map[string]*os.File // write ends that keep tied processes alive
}

// Start starts the process unless it runs already, and returns its record.
// The process does no work before its record is on disk.
func (t *Table) Start(spec Spec) (Record, error) {
	if record, err := t.Get(spec.Name); err == nil && record.Running() {
		return record, nil
	}
	record, err := t.start(spec)
	if err != nil {
		return Record{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	return record, nil
}

func (t *Table) start(spec Spec) (Record, error) {
	if err := os.MkdirAll(filepath.Dir(spec.Log), 0o700); err != nil {
		return Record{}, err
	}
	log, err := os.OpenFile(spec.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return Record{}, err
	}
	defer log.Close()
	gateRead, gateWrite, err := os.Pipe()
	if err != nil {
		return Record{}, err
	}
	defer gateRead.Close()

	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(),
		gateVariable + "=3",
	}, spec.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{gateRead}
	// A session of its own: an interrupt typed at the terminal is ours to handle.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		gateWrite.Close()
		return Record{}, err
	}
	// Closing the gate unopened, on any error below, ends the process.
	go cmd.Wait() // reaps it when this program is still there
	record := Record{Name: spec.Name, PID: cmd.Process.Pid, Started: time.Now(), Log: spec.Log}
	if record.Start, err = startOf(record.PID); err == nil {
		err = t.write(record)
	}
	if err != nil {
		gateWrite.Close()
		return Record{}, err
	}
	order := byte(orderDetach)
	if t.Tied {
		order = orderTie
	}
	_, err = gateWrite.Write([]byte{order})
	if err != nil || !t.Tied {
		gateWrite.Close()
		return record, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gates == nil {
		t.gates = map[string]*os.File{}
	}
	t.gates[spec.Name] = gateWrite
	return record, nil
}

// Get returns the record of a process; the error is fs.ErrNotExist when the
// table has none. A record that cannot be decoded is that of a process which
// does not run: records are renamed into place, so only a machine that went
// down leaves a torn one, and with it went the process.
func (t *Table) Get(name string) (Record, error) {
	data, err := os.ReadFile(t.file(name))
	if err != nil {
		return Record{}, err
	}
	var record Record
	if json.Unmarshal(data, &record) != nil {
		return Record{Name: name}, nil
	}
	return record, nil
}

// List returns the records of all processes, by name.
func (t *Table) List() ([]Record, error) {
	files, err := os.ReadDir(t.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var records []Record
	for _, file := range files {
		name, isRecord := strings.CutSuffix(file.Name(), ".json")
		if !isRecord {
			continue
		}
		record, getErr := t.Get(strings.ReplaceAll(name, "~", "/"))
		if errors.Is(getErr, fs.ErrNotExist) {
			continue // stopped meanwhile
		}
		err = errors.Join(err, getErr)
		if getErr == nil {
			records = append(records, record)
		}
	}
	return records, err
}

// Stop asks the process to end, and kills it when it has not ended within the
// grace or before ctx is done. It returns when the process is gone and its
// record removed; a process that the table does not know, or that is gone
// already, is no error.
func (t *Table) Stop(ctx context.Context, name string, grace time.Duration) error {
	record, err := t.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = stop(ctx, record, grace)
	}
	if err != nil {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	t.mu.Lock()
	if gate := t.gates[name]; gate != nil {
		gate.Close()
		delete(t.gates, name)
	}
	t.mu.Unlock()
	if err := os.Remove(t.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// killWait bounds how long a killed process may take to disappear; only one
// that is stuck in the kernel takes longer than moments.
const killWait = 30 * time.Second

func stop(ctx context.Context, record Record, grace time.Duration) error {
	// The handle is taken before the identity is checked: where the system has
	// process handles, the signal then cannot reach a later owner of the pid.
	process, err := os.FindProcess(record.PID)
	if err != nil {
		return err
	}
	defer process.Release()
	if !record.Running() {
		return nil
	}
	signal := func(s os.Signal) error {
		if err := process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	}
	if grace > 0 {
		if err := signal(syscall.SIGTERM); err != nil {
			return err
		}
		if err := signal(syscall.SIGCONT); err != nil { // one that is suspended would not hear of it
			return err
		}
		if gone(ctx, record, grace) {
			return nil
		}
	}
	if err := signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !gone(context.WithoutCancel(ctx), record, killWait) {
		return fmt.Errorf("pid %d is still there %s after it was killed", record.PID, killWait)
	}
	return nil
}

// gone waits until the process is no longer running.
func gone(ctx context.Context, record Record, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for record.Running() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// file maps a name to its record; a slash, which separates cluster and
// component, becomes a tilde, which no name contains.
func (t *Table) file(name string) string {
	return filepath.Join(t.Dir, strings.ReplaceAll(name, "/", "~")+".json")
}

func (t *Table) write(record Record) error {
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return atomicfile.Write(t.file(record.Name), data)
}
