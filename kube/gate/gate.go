// Package gate ties a control-plane process to the program that starts it.
//
// A starter passes the read end of a pipe and names its descriptor in the
// environment variable NAVE_LAB_GATE. The process does nothing until one byte
// arrives, so a starter that dies between fork and writing down the process's
// identity leaves nothing behind. The byte says what follows: Detach lets the
// process outlive its starter, Tie ends it as soon as the starter is gone, in
// whatever way. Without the variable the gate is open.
package gate

import (
	"fmt"
	"os"
	"strconv"
)

// Env names the environment variable that holds the descriptor of the pipe.
const Env = "NAVE_LAB_GATE"

// The bytes that open the gate.
const (
	Detach = 'd'
	Tie    = 't'
)

// Wait blocks until the starter opens the gate. It exits the process when the
// starter is gone before that, and later as well if it was opened with Tie.
func Wait() {
	value := os.Getenv(Env)
	if value == "" {
		return
	}
	os.Unsetenv(Env)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		fmt.Fprintf(os.Stderr, "%s: want a descriptor above 2, have %q\n", Env, value)
		os.Exit(2)
	}
	pipe := os.NewFile(uintptr(fd), "gate")
	order := make([]byte, 1)
	if n, _ := pipe.Read(order); n == 0 {
		os.Exit(1)
	}
	switch order[0] {
	case Tie:
		go func() {
			pipe.Read(order) // returns only when the starter's end is closed
			os.Exit(1)
		}()
	default:
		pipe.Close()
	}
}
