//go:build !linux

package process

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// startOf returns when the process started, as ps(1) says it, to the second.
func startOf(pid int) (string, error) {
	state, start, err := look(pid)
	if err == nil && state == 'Z' {
		err = os.ErrProcessDone
	}
	return start, err
}

// stateOf returns the letter for what the process does now, T for nothing until
// it is told to go on.
func stateOf(pid int) (byte, error) {
	state, _, err := look(pid)
	return state, err
}

func look(pid int) (state byte, start string, err error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", fmt.Sprint(pid)).Output()
	text := strings.TrimSpace(string(out))
	if err != nil || text == "" {
		return 0, "", os.ErrProcessDone
	}
	_, start, _ = strings.Cut(text, " ")
	return text[0], strings.TrimSpace(start), nil
}
