// Package prompt asks who types at a command line: for passwords, which are not
// shown, and for a yes. Where nobody types it reads a line of standard input, or asks
// nothing.
package prompt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// NewPassword asks for a password, and of who types for the same once more.
func NewPassword(cmd *cobra.Command) (string, error) {
	first, err := Password(cmd, "new password: ")
	if err != nil || !OnTerminal(cmd) {
		return first, err
	}
	again, err := Password(cmd, "once more: ")
	if err == nil && again != first {
		err = errors.New("the passwords differ")
	}
	return first, err
}

// OnTerminal reports whether a person types what the command reads.
func OnTerminal(cmd *cobra.Command) bool {
	file, ok := cmd.InOrStdin().(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// Password asks for a password without showing it, or, where nobody types, reads
// a line.
func Password(cmd *cobra.Command, question string) (string, error) {
	if OnTerminal(cmd) {
		fmt.Fprint(cmd.ErrOrStderr(), question)
		defer fmt.Fprintln(cmd.ErrOrStderr())
		return typed(cmd.Context(), int(cmd.InOrStdin().(*os.File).Fd()))
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading a password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("no password was given\nhint: type it at a terminal, or pass it as a line of standard input")
	}
	return line, nil
}

// typed reads a line from a terminal that does not show it. Ctrl-C ends that, and
// the terminal shows again what is typed.
func typed(ctx context.Context, terminal int) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		text, err := term.ReadPassword(terminal)
		read <- result{text, err}
	}()
	select {
	case r := <-read:
		return string(r.text), r.err
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(terminal, before))
	}
}

// Yes asks a question and reports whether the answer is yes.
func Yes(cmd *cobra.Command, question string) (bool, error) {
	fmt.Fprint(cmd.ErrOrStderr(), question, " [yes/no] ")
	said := make([]byte, 16)
	n, err := cmd.InOrStdin().Read(said)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	word := strings.ToLower(strings.TrimSpace(string(said[:n])))
	return word == "yes" || word == "y", nil
}
