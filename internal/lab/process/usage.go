package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has of the machine.
type Usage struct {
	Memory    int64         // proportional set size in bytes: shared pages are divided among their users
	Anonymous int64         // bytes of it that belong to no file
	CPU       time.Duration // since its start
}

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// Usage reads what the process has of the machine now, from /proc; on systems
// without it the error is fs.ErrNotExist.
func (r Record) Usage() (Usage, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", r.PID))
	if err != nil {
		return Usage{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.PID))
	if err != nil {
		return Usage{}, err
	}
	var usage Usage
	lines := bufio.NewScanner(bytes.NewReader(rollup))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "Pss":
			usage.Memory = kib << 10
		case "Pss_Anon":
			usage.Anonymous = kib << 10
		}
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	for _, field := range fields[11:13] { // utime and stime
		ticks, _ := strconv.ParseInt(string(field), 10, 64)
		usage.CPU += time.Duration(ticks) * time.Second / ticksPerSecond
	}
	return usage, nil
}

// MemoryAvailable returns how many bytes of memory this machine can still
// give without swapping; on systems without /proc the error is fs.ErrNotExist.
func MemoryAvailable() (int64, error) {
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(meminfo)) {
		if value, found := strings.CutPrefix(line, "MemAvailable:"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("reading /proc/meminfo: no MemAvailable in it")
}
