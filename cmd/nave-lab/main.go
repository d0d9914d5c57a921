// Command nave-lab runs a fleet of real Kubernetes clusters on one machine, for
// demonstrations, tests and measurements.
//
// Exit codes: 0 done; 1 it could not be done; 2 wrong usage; 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/process"
	"nave.dev/internal/program"
)

func main() {
	process.Gate()
	ctx, cancel := context.WithCancelCause(context.Background())
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupts
		signal.Stop(interrupts) // a second one ends the program at once
		cancel(errInterrupted)
	}()
	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "nave-lab:", strings.TrimSpace(err.Error()))
	var usage *usageError
	switch {
	case errors.Is(context.Cause(ctx), errInterrupted):
		os.Exit(130)
	case errors.As(err, &usage):
		os.Exit(2)
	}
	os.Exit(1)
}

var errInterrupted = errors.New("interrupted")

// usageError is wrong use of the command line.
type usageError struct{ error }

func newCommand() *cobra.Command {
	var opts lab.Options
	root := &cobra.Command{
		Use:   "nave-lab",
		Short: "Run a fleet of real Kubernetes clusters on this machine",
		Long: `nave-lab runs a fleet of real Kubernetes clusters on this machine, without a
container engine: API server, controller manager and scheduler of each are the
real ones, kubelets are played by kwok. A network between the clusters and you
can be cut and slowed, and a Git server takes pushes and posts webhooks.

The lab lives in a directory (--dir, or NAVE_LAB_DIR) and goes on when nave-lab
has returned, until nave-lab down.`,
		Example: `  nave-lab up --fleet examples/ecommerce/lab-small.yaml
  nave-lab kubeconfig prod-us-1 > kc && kubectl --kubeconfig kc get nodes
  nave-lab partition prod-us-1 && nave-lab heal prod-us-1
  nave-lab down`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       program.Version(),
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			if opts.Bin != "" { // programs are started from elsewhere too
				opts.Bin, err = filepath.Abs(opts.Bin)
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w\nhint: %s --help", err, cmd.CommandPath())}
	})
	root.PersistentFlags().StringVar(&opts.Dir, "dir", "", "directory of the lab (default "+lab.DefaultDir()+")")
	root.PersistentFlags().StringVar(&opts.Bin, "bin", "", "directory of the control-plane binaries (default: where nave-lab is)")
	open := func(cmd *cobra.Command) (*lab.Lab, error) {
		opts.Progress = newProgress(cmd.ErrOrStderr())
		return lab.New(opts)
	}
	root.AddCommand(
		newUp(open), newDown(open), newStatus(open), newKubeconfig(open), newKubeconfigs(open), newLogs(open),
		newAdd(open), newRemove(open),
		newStop(open), newStall(open), newStart(open), newDestroy(open),
		newPartition(open), newHeal(open), newLatency(open),
		newSnapshot(open), newRestore(open),
		newGit(open), newAgent(open), newHub(open), newDemo(open), newBench(&opts), newSwarm(&opts), newSoak(&opts, open), newNetwork(open), newRun(),
	)
	markUsage(root)
	return root
}

// markUsage makes what checks of arguments find, in all commands, wrong use.
func markUsage(command *cobra.Command) {
	command.Args = usageOf(command.Args)
	for _, child := range command.Commands() {
		markUsage(child)
	}
}

// usageOf marks what a check of arguments finds as wrong use.
func usageOf(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil && !cmd.HasParent() {
			return &usageError{fmt.Errorf("%w\nhint: nave-lab --help lists the commands", err)}
		}
		if err != nil {
			return &usageError{fmt.Errorf("%w\nhint: usage is %s", err, cmd.UseLine())}
		}
		return nil
	}
}
