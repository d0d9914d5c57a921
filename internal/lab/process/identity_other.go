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
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", fmt.Sprint(pid)).Output()
	if err != nil {
		return "", os.ErrProcessDone
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") {
		return "", os.ErrProcessDone
	}
	return strings.TrimSpace(start), nil
}
