// Package cli is nave's command line: one file per group of commands. Commands
// that look at files or Git work without a hub; the others ask the hub that
// works in --dir. Data goes to standard output, talk to standard error. The
// package prints what others decide.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/program"
)

// UsageError is wrong use of the command line: exit code 2.
type UsageError struct{ error }

// Unwrap returns what was wrong.
func (e *UsageError) Unwrap() error { return e.error }

// NotSoError says that a question was answered with no, such as a validation
// that found problems: exit code 3, and all has been said already.
type NotSoError struct{ message string }

// Error says what is not so.
func (e *NotSoError) Error() string { return e.message }

// settings are the flags that all commands share.
type settings struct {
	dir    string
	server string
	output string
	worker []string // the command that starts a render worker

	version string
}

// New returns nave's command line. The worker command starts a render worker.
func New(version string, worker []string) *cobra.Command {
	s := &settings{worker: worker, version: version}
	root := &cobra.Command{
		Use:   "nave",
		Short: "Run a fleet of Kubernetes clusters from one Git repository",
		Long: `nave runs a fleet of Kubernetes clusters from one Git repository.

Without a hub:    init, validate, render, plan, health
The hub:          hub, agent
With a hub:       status, cluster, clusters, apps, events, drift, diff, orphans,
                  get, logs, query, sync, confirm, pause, wait
People:           user, login, logout, whoami, audit

Exit codes: 0 done; 1 it could not be done; 2 wrong usage; 3 the answer is no
(problems were found, something differs or is not healthy, or the fleet has not
converged).`,
		Example: `  nave init fleet
  nave validate
  nave plan --from main --to HEAD
  nave hub --repo https://git.example.com/fleet.git --kubeconfigs ./kubeconfigs
  nave status`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &UsageError{fmt.Errorf("%w\nhint: %s --help", err, cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&s.dir, "dir", "", "directory of the hub and its caches (default "+defaultDir()+")")
	root.PersistentFlags().StringVar(&s.server, "server", "", "hub over a network, HOST:PORT, where nave login has logged in (NAVE_SERVER)")
	root.AddCommand(
		newInit(), newValidate(s), newRender(s), newPlan(s), newHealth(s), newHub(s), newAgent(s), newCluster(s),
		newStatus(s), newClusters(s), newApps(s), newEvents(s), newDrift(s), newDiff(s), newOrphans(s),
		newGet(s), newLogs(s), newQuery(s), newSync(s), newConfirm(s), newPause(s), newWait(s),
		newUser(s), newLogin(s), newLogout(s), newWhoami(s), newAudit(s),
	)
	for _, command := range root.Commands() {
		s.settle(command)
	}
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil {
				return &UsageError{err}
			}
			return knownCommand(found, rest)
		}
	}
	return root
}

// settle gives a command, and those below it, what all have.
func (s *settings) settle(command *cobra.Command) {
	command.DisableFlagsInUseLine = true // each Use names the flags that matter
	s.complete(command)
	check := command.Args
	command.Args = func(cmd *cobra.Command, args []string) error {
		return errors.Join(check(cmd, args), requiredFlags(cmd), s.outputForm())
	}
	for _, below := range command.Commands() {
		s.settle(below)
	}
}

// knownCommand refuses what is no command of nave.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := cmd.CommandPath() + " --help lists the commands"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &UsageError{fmt.Errorf("no command %q\nhint: %s", args[0], hint)}
}

// arguments wants so many arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &UsageError{fmt.Errorf("an argument is missing\nhint: %s", cmd.UseLine())}
		case len(args) > most:
			return &UsageError{fmt.Errorf("one argument too many: %q\nhint: %s", args[most], cmd.UseLine())}
		}
		return nil
	}
}

// requiredFlags wants the flags that a command cannot do without.
func requiredFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, required := f.Annotations[cobra.BashCompOneRequiredFlag]; required && !f.Changed {
			name := "--" + f.Name
			if f.Shorthand != "" { // which is how the usage line calls it
				name = "-" + f.Shorthand
			}
			missing = append(missing, name)
		}
	})
	if len(missing) == 0 {
		return nil
	}
	return &UsageError{fmt.Errorf("%s missing\nhint: %s", strings.Join(missing, " and "), cmd.UseLine())}
}

// defaultDir is where a hub and its caches are unless told otherwise.
func defaultDir() string { return program.StateDir("NAVE_DIR", "nave") }

func (s *settings) directory() string {
	if s.dir != "" {
		return s.dir
	}
	return defaultDir()
}

// outputFlag adds -o to a command that prints a table.
func (s *settings) outputFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&s.output, "output", "o", "", "json or yaml; a table if left out")
	return cmd
}

// print writes data in the form that -o asks for, or as the table.
func (s *settings) print(out io.Writer, data any, table func(io.Writer)) error {
	switch s.output {
	case "":
		return writeTable(out, 0, table)
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(data)
	case "yaml":
		text, err := yaml.Marshal(data)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	return s.outputForm()
}

// writeTable lines up what is written to the table, whose columns are at least
// so wide, and leaves no blanks at the ends of lines.
func writeTable(out io.Writer, width int, table func(io.Writer)) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, width, 0, 2, ' ', 0)
	table(w)
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// outputForm refuses a value of -o that is none.
func (s *settings) outputForm() error {
	switch s.output {
	case "", "json", "yaml":
		return nil
	}
	return &UsageError{fmt.Errorf("no output form %q\nhint: -o json or -o yaml, or none for a table", s.output)}
}

// Report writes an error as the command line shows it, and returns the exit code.
func Report(ctx context.Context, err error, out io.Writer) int {
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(out, "nave:", strings.TrimSpace(err.Error()))
	var (
		usage *UsageError
		no    *NotSoError
	)
	switch {
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &no):
		return 3
	}
	return 1
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// actor is who an action is recorded as: the user of this machine.
func actor() string {
	for _, name := range []string{"NAVE_ACTOR", "USER", "LOGNAME"} {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
