package process

import (
	"fmt"
	"os"
	"strconv"
)

// gateVariable names, in a process's environment, the descriptor of the pipe
// on which it waits. Its form is shared with nave.dev/kube/gate, which lives in
// a module of its own.
const gateVariable = "NAVE_LAB_GATE"

// What the byte that opens the gate says: the process lives on by itself, or
// ends when the write end of the pipe closes.
const (
	orderDetach = 'd'
	orderTie    = 't'
)

// Gate blocks until the program that started this process has written down
// its identity, and exits if that program is gone before. Every binary that a
// Table starts calls it first. Outside a table it returns at once.
func Gate() {
	value := os.Getenv(gateVariable)
	if value == "" {
		return
	}
	os.Unsetenv(gateVariable)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		fmt.Fprintf(os.Stderr, "%s: want a descriptor above 2, have %q\n", gateVariable, value)
		os.Exit(2)
	}
	pipe := os.NewFile(uintptr(fd), "gate")
	order := make([]byte, 1)
	if n, _ := pipe.Read(order); n == 0 {
		os.Exit(1)
	}
	if order[0] != orderTie {
		pipe.Close()
		return
	}
	go func() {
		pipe.Read(order) // returns when the starter is gone
		os.Exit(1)
	}()
}
