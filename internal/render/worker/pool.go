package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"syscall"
	"time"

	"nave.dev/internal/render/build"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// Options are those of a Pool. Command must be set.
type Options struct {
	// Command is the argv of a process that calls Serve with its standard input and output.
	Command []string
	// Workers is how many renders run at the same time. 0 means one per processor, at most 4.
	Workers int
	// Deadline is how long one render may take. 0 means 30 seconds.
	Deadline time.Duration
	// MaxMemory is how much anonymous memory a worker may have, in bytes. 0 means 512 MiB. Enforced on Linux.
	MaxMemory int64
	// Idle is how long a worker waits for another render before it ends. 0 means one minute.
	Idle time.Duration
}

// Pool runs renders in worker processes, which it starts when they are needed. It is safe for concurrent use.
type Pool struct {
	options Options
	slots   chan struct{}

	mu        sync.Mutex
	idle      []*process // the one used last is last
	closed    bool
	isolation string // "" until the first start
}

const (
	// maxJobs is how many renders a worker does before a fresh one takes its place.
	maxJobs = 1000
	// watchEvery is how often a worker's memory is looked at.
	watchEvery = 20 * time.Millisecond
	// NetworkNamespace is what Isolation says where workers have no network at all.
	NetworkNamespace = "network namespace"
)

// NewPool returns a pool without workers yet.
func NewPool(options Options) *Pool {
	if options.Workers == 0 {
		options.Workers = min(runtime.GOMAXPROCS(0), 4)
	}
	if options.Deadline == 0 {
		options.Deadline = 30 * time.Second
	}
	if options.MaxMemory == 0 {
		options.MaxMemory = 512 << 20
	}
	if options.Idle == 0 {
		options.Idle = time.Minute
	}
	return &Pool{options: options, slots: make(chan struct{}, options.Workers)}
}

// StoppedError says that a render was stopped, because it took too long or too much memory, or because its worker
// died. That may or may not happen again with the same input.
type StoppedError struct{ manifest.Problem }

// Unwrap returns the problem, so that it is found like any other.
func (e *StoppedError) Unwrap() error { return e.Problem }

// Run renders a job in a worker, as build.Run does, with the files of the tree.
func (p *Pool) Run(ctx context.Context, t tree.Tree, job build.Job) (*build.Output, []build.Fact, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	for attempt := 0; ; attempt++ {
		worker, err := p.take(job)
		if err != nil {
			return nil, nil, err
		}
		out, facts, err := p.run(ctx, worker, t, job)
		// A worker that somebody else killed, perhaps while it was idle, says nothing about the app.
		if errors.Is(err, errKilled) && attempt == 0 {
			continue
		}
		return out, facts, err
	}
}

// errKilled marks a worker that was ended by a signal that did not come from here.
var errKilled = errors.New("the worker was killed")

// take returns a worker that waits, or starts one.
func (p *Pool) take(job build.Job) (*process, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errors.New("the render workers are stopped")
	}
	for len(p.idle) > 0 {
		worker := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if worker.idle.Stop() {
			p.mu.Unlock()
			return worker, nil
		}
	}
	isolation := p.isolation
	p.mu.Unlock()
	worker, isolation, err := p.start(isolation, job)
	if err != nil {
		return nil, fmt.Errorf("starting a render worker: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isolation = isolation
	return worker, nil
}

// start starts a worker without a network, or, where the system refuses that, with one.
func (p *Pool) start(isolation string, job build.Job) (*process, string, error) {
	const overhead = 64 << 20
	maxMessage := uint32(min(max(p.options.MaxMemory, job.MaxBytes*2)+overhead, 1<<32-1))
	if runtime.GOOS != "linux" {
		isolation = "no network namespaces on " + runtime.GOOS
	}
	if isolation == "" || isolation == NetworkNamespace {
		worker, err := start(p.options.Command, p.options.MaxMemory, maxMessage, true)
		if err == nil {
			return worker, NetworkNamespace, nil
		}
		isolation = "no network namespace: " + err.Error()
	}
	worker, err := start(p.options.Command, p.options.MaxMemory, maxMessage, false)
	return worker, isolation, err
}

// Isolation says how workers are kept from the network: NetworkNamespace, or why they only lack a way to it in their
// code. It is empty until one was started.
func (p *Pool) Isolation() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isolation
}

// run has one worker do one job, and puts it back or ends it.
func (p *Pool) run(ctx context.Context, worker *process, t tree.Tree, job build.Job) (*build.Output, []build.Fact, error) {
	worker.stderr.reset()
	stop := make(chan struct{})
	reason := make(chan error, 1)
	go func() { reason <- p.watch(ctx, worker, job, stop) }()
	done, err := worker.do(t, job)
	close(stop)
	if stopped := <-reason; stopped != nil {
		worker.autopsy()
		return nil, nil, stopped
	}
	if err != nil {
		why, killed := worker.autopsy()
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EPIPE) {
			return nil, nil, &StoppedError{manifest.Problem{File: job.Path, Message: "talking to the render worker: " + err.Error()}}
		}
		if killed {
			return nil, nil, fmt.Errorf("rendering %q: %w: %s", job.Path, errKilled, why)
		}
		return nil, nil, &StoppedError{manifest.Problem{File: job.Path, Message: "the render worker died: " + why, Hint: "a template that calls itself without end does this"}}
	}
	p.release(worker)
	return done.unpack()
}

// do sends a job and answers the worker's questions until the outcome arrives.
func (worker *process) do(t tree.Tree, job build.Job) (outcome, error) {
	var done outcome
	if err := worker.conn.sendJSON(msgJob, job); err != nil {
		return done, err
	}
	for {
		kind, content, err := worker.conn.receive()
		if err != nil {
			return done, err
		}
		if kind == msgDone {
			err := json.Unmarshal(content, &done)
			return done, err
		}
		if err := worker.conn.answer(t, kind, string(content)); err != nil {
			return done, err
		}
	}
}

// watch kills the worker when its time or memory is used up or the caller has gone, and says why.
func (p *Pool) watch(ctx context.Context, worker *process, job build.Job, stop <-chan struct{}) error {
	deadline := time.NewTimer(p.options.Deadline)
	defer deadline.Stop()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			worker.kill()
			return context.Cause(ctx)
		case <-deadline.C:
			worker.kill()
			return &StoppedError{manifest.Problem{File: job.Path, Message: fmt.Sprintf("rendering took longer than %s and was stopped", p.options.Deadline),
				Hint: "look for a loop in a template or a program that does not end"}}
		case <-tick.C:
			used, err := memoryOf(worker.cmd.Process.Pid)
			if err == nil && used > p.options.MaxMemory {
				worker.kill()
				return &StoppedError{manifest.Problem{File: job.Path, Message: fmt.Sprintf("rendering needed more than %d MiB of memory and was stopped", p.options.MaxMemory>>20),
					Hint: "look for a template that repeats without bound, or raise the limit"}}
			}
		}
	}
}

// release puts a worker back, unless it is worn out.
func (p *Pool) release(worker *process) {
	worker.jobs++
	used, err := memoryOf(worker.cmd.Process.Pid)
	worn := worker.jobs >= maxJobs || err == nil && used > p.options.MaxMemory/2
	p.mu.Lock()
	if worn || p.closed {
		p.mu.Unlock()
		worker.end()
		return
	}
	defer p.mu.Unlock()
	worker.idle = time.AfterFunc(p.options.Idle, func() { p.retire(worker) })
	p.idle = append(p.idle, worker)
}

// retire ends a worker that was idle for too long.
func (p *Pool) retire(worker *process) {
	p.mu.Lock()
	for i, other := range p.idle {
		if other == worker {
			p.idle = append(p.idle[:i:i], p.idle[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	worker.end()
}

// Close ends the workers that are idle and waits for them. Renders under way end when their callers' contexts do.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	var ending sync.WaitGroup
	for _, worker := range idle {
		if worker.idle.Stop() {
			ending.Go(worker.end)
		}
	}
	ending.Wait()
}
