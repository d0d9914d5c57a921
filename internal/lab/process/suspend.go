package process

import (
	"fmt"
	"os"
	"syscall"
)

// Suspend keeps the process from running at all until Resume: to those who
// talk to it, it has stalled. The error is os.ErrProcessDone if it does not run.
func (t *Table) Suspend(name string) error { return t.tell(name, "suspending", syscall.SIGSTOP) }

// Resume lets a process that was suspended go on; one that was not goes on as
// before. The error is os.ErrProcessDone if it does not run.
func (t *Table) Resume(name string) error { return t.tell(name, "resuming", syscall.SIGCONT) }

func (t *Table) tell(name, what string, s os.Signal) error {
	record, err := t.Get(name)
	if err == nil {
		err = send(record, s)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}

func send(record Record, s os.Signal) error {
	// The handle is taken before the identity is checked, as in stop.
	process, err := os.FindProcess(record.PID)
	if err != nil {
		return err
	}
	defer process.Release()
	if !record.Running() {
		return os.ErrProcessDone
	}
	return process.Signal(s)
}

// Suspended reports whether the recorded process runs and has been suspended.
func (r Record) Suspended() bool {
	state, err := stateOf(r.PID)
	return err == nil && state == 'T' && r.Running()
}
