package process

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
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
	usage.CPU = cpuOf(statFields(stat)[11:13]) // utime and stime
	return usage, nil
}

// SessionCPU returns the processor time of the process and all that it started:
// those that run, and those that ended and were waited for.
func (r Record) SessionCPU() (time.Duration, error) {
	return sessionsCPU(map[string]bool{strconv.Itoa(r.PID): true})
}

// SessionsCPU returns what SessionCPU does, of all processes of the table that
// run.
func (t *Table) SessionsCPU() (time.Duration, error) {
	records, err := t.List()
	if err != nil {
		return 0, err
	}
	sessions := map[string]bool{}
	for _, record := range records {
		if record.Running() {
			sessions[strconv.Itoa(record.PID)] = true
		}
	}
	return sessionsCPU(sessions)
}

// sessionsCPU adds up the processes of some sessions.
func sessionsCPU(sessions map[string]bool) (total time.Duration, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	found := false
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		if fields := statFields(stat); len(fields) > 15 && sessions[string(fields[3])] {
			total += cpuOf(fields[11:15]) // utime, stime, and those of children that ended
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("reading processor times: %w", os.ErrProcessDone)
	}
	return total, nil
}

// statFields returns what follows the name in /proc/PID/stat.
func statFields(stat []byte) [][]byte {
	return bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
}

// cpuOf adds up fields that hold ticks.
func cpuOf(fields [][]byte) (sum time.Duration) {
	for _, field := range fields {
		ticks, _ := strconv.ParseInt(string(field), 10, 64)
		sum += time.Duration(ticks) * time.Second / ticksPerSecond
	}
	return sum
}

// MemoryAvailable returns how many bytes of memory this machine can still
// give without swapping; on systems without /proc the error is fs.ErrNotExist.
func MemoryAvailable() (int64, error) { return meminfo("MemAvailable") }

// MemoryTotal returns how many bytes of memory this machine has; on systems
// without /proc the error is fs.ErrNotExist.
func MemoryTotal() (int64, error) { return meminfo("MemTotal") }

func meminfo(key string) (int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(line, key+":"); found {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("reading /proc/meminfo: no %s in it", key)
}
