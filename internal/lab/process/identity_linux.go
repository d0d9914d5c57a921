package process

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
)

// startOf returns when the process started, in clock ticks since boot and
// with the boot's identity, so that neither a reused pid, nor a changed wall
// clock, nor a reboot can be mistaken for it. A zombie counts as gone.
func startOf(pid int) (string, error) {
	state, start, err := look(pid)
	if err == nil && (state == 'Z' || state == 'X') {
		err = os.ErrProcessDone
	}
	if err != nil {
		return "", err
	}
	return bootID() + "/" + start, nil
}

// stateOf returns the letter for what the process does now, T for nothing until
// it is told to go on.
func stateOf(pid int) (byte, error) {
	state, _, err := look(pid)
	return state, err
}

func look(pid int) (state byte, start string, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, "", err
	}
	// The second field, the command in parentheses, may itself hold spaces and
	// parentheses (proc_pid_stat(5)); state is field 3, starttime field 22.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, "", fmt.Errorf("reading the start of pid %d: %d fields in its stat", pid, len(fields))
	}
	return fields[0][0], string(fields[19]), nil
}

var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
})
