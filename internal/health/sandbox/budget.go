package sandbox

import (
	"errors"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
)

var errCancelled = errors.New("cancelled")

const (
	// clockEvery is the number of steps between two looks at the clock and at the caller's context.
	clockEvery = 256
	// graceSteps: a run that is late after so few steps was most likely not running at all (a stalled machine, a
	// long garbage collection), so it gets the time limit once more.
	graceSteps = 4096
	// maxString bounds one string, and with it the time of one comparison or one look-up.
	maxString = 1 << 20
)

var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// budget is what one run may still use. It is handed to the virtual machine as its context, because the machine asks
// its context for the Done channel before every instruction: that makes it an exact counter, with no timer and no
// second goroutine.
type budget struct {
	limits    Limits
	cancelled <-chan struct{}
	deadline  time.Time
	used      int
	bytes     int
	look      int
	graced    bool
	// over says why the run was ended, nil while it may go on.
	over error
}

func (b *budget) start(cancelled <-chan struct{}, limits Limits) {
	*b = budget{limits: limits, cancelled: cancelled, deadline: time.Now().Add(limits.Time), look: clockEvery}
}

// Done implements context.Context; each call is one step.
func (b *budget) Done() <-chan struct{} {
	b.used++
	if b.used >= b.look {
		b.check()
	}
	if b.over != nil {
		return closed
	}
	return nil
}

// Err implements context.Context.
func (b *budget) Err() error { return b.over }

// Deadline implements context.Context. The machine has no use for it.
func (b *budget) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (b *budget) Value(any) any { return nil }

func (b *budget) check() {
	b.look = min(b.used+clockEvery, b.limits.Steps+1)
	if b.over != nil {
		return
	}
	if b.used > b.limits.Steps {
		b.over = fmt.Errorf("%w after %d steps", ErrLimit, b.limits.Steps)
		return
	}
	select {
	case <-b.cancelled:
		b.over = errCancelled
		return
	default:
	}
	if now := time.Now(); now.After(b.deadline) {
		if b.used < graceSteps && !b.graced {
			b.graced, b.deadline = true, now.Add(b.limits.Time)
			return
		}
		b.over = fmt.Errorf("%w after %s", ErrLimit, b.limits.Time)
	}
}

// work counts steps done inside a library function and raises an error in the script when they are used up.
func (b *budget) work(l *lua.LState, steps int) {
	// Saturates: a product of two lengths may be far over the limit, but must not wrap around.
	b.used += min(max(steps, 0), b.limits.Steps+1)
	if b.used >= b.look {
		b.check()
	}
	if b.over != nil {
		l.RaiseError("%s", b.over.Error())
	}
}

// alloc counts bytes before they are asked for and raises an error in the script when they are used up.
func (b *budget) alloc(l *lua.LState, bytes int) {
	if bytes < 0 || bytes > b.limits.Bytes-b.bytes {
		b.over = fmt.Errorf("%w after %d bytes of memory", ErrLimit, b.limits.Bytes)
		l.RaiseError("%s", b.over.Error())
	}
	b.bytes += bytes
}

// text counts a string that is about to be made.
func (b *budget) text(l *lua.LState, length int) {
	if length < 0 || length > maxString {
		l.RaiseError("string of more than %d bytes", maxString)
	}
	b.alloc(l, length)
	b.work(l, length/64)
}
