package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// process is one worker.
type process struct {
	cmd    *exec.Cmd
	conn   *conn
	stdin  interface{ Close() error }
	stderr *tail
	jobs   int
	idle   *time.Timer // ends it when it was idle for long
}

// environment is all that a worker has of it: no credentials, no proxies, no home, and the same time zone anywhere.
func environment(maxMemory int64) []string {
	return []string{
		"HOME=/nonexistent", "GOGC=200", "LANG=C.UTF-8", "TZ=UTC",
		fmt.Sprintf("GOMEMLIMIT=%d", maxMemory/4*3), // collect hard before the parent loses patience
	}
}

// start runs the command. isolated asks for a network namespace.
func start(argv []string, maxMemory int64, maxMessage uint32, isolated bool) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = environment(maxMemory)
	cmd.Dir = os.TempDir()
	p := &process{cmd: cmd, stderr: &tail{}}
	cmd.Stderr = p.stderr
	cmd.WaitDelay = time.Second
	prepare(cmd, isolated)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.stdin, p.conn = stdin, newConn(stdout, stdin, maxMessage)
	return p, nil
}

// end closes a worker that has nothing to do and waits for it; if it does not go by itself it is killed.
func (p *process) end() {
	_ = p.stdin.Close()
	timer := time.AfterFunc(time.Second, p.kill)
	_ = p.cmd.Wait() // it was asked to end: how it does is of no interest
	timer.Stop()
}

// kill ends a worker at once. It does not wait for it.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

// autopsy waits for a worker that broke off and says how it ended. bySignal is true if somebody killed it.
func (p *process) autopsy() (why string, bySignal bool) {
	p.kill() // it may have closed its output and live on
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == -1 {
		return exit.Error(), true
	}
	if last := p.stderr.summary(); last != "" {
		return last, false
	}
	if err != nil {
		return err.Error(), false
	}
	return "it ended early", false
}

// tail keeps the beginning of what a worker says: of a crash, that is the reason.
type tail struct {
	mu   sync.Mutex
	data bytes.Buffer
}

const maxTail = 16 << 10

// Write implements io.Writer. It never fails: a worker must not stop because nobody listens.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := maxTail - t.data.Len(); room > 0 {
		t.data.Write(data[:min(room, len(data))])
	}
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.data.String()
}

// reset forgets what was said of earlier jobs, such as Kustomize's advice on deprecated fields.
func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data.Reset()
}

// summary is the line that says why the process crashed.
func (t *tail) summary() string {
	text := t.String()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "runtime:") && strings.Contains(line, "exceeds") {
			return line
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}
