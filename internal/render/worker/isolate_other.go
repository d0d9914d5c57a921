//go:build !linux

package worker

import (
	"errors"
	"os/exec"
)

// prepare does nothing: only Linux has network namespaces.
func prepare(*exec.Cmd, bool) {}

// memoryOf cannot tell: only the worker's own soft limit bounds its memory.
func memoryOf(int) (int64, error) { return 0, errors.ErrUnsupported }
