package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/proxy"
)

func newStop(open opener) *cobra.Command {
	return &cobra.Command{
		Use:               "stop NAME [COMPONENT…]",
		Short:             "Stop a cluster or some of its components, as if power had failed; the data stays",
		Example:           "  nave-lab stop prod-us-1\n  nave-lab stop prod-us-1 kube-scheduler",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeCluster(open),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.Stop(cmd.Context(), args[0], args[1:]...)
		},
	}
}

func newStart(open opener) *cobra.Command {
	return &cobra.Command{
		Use:     "start NAME [COMPONENT…]",
		Short:   "Start again what was stopped, stalled or destroyed",
		Example: "  nave-lab start prod-us-1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.Start(cmd.Context(), args[0], args[1:]...)
		},
	}
}

func newStall(open opener) *cobra.Command {
	return onCluster(open, "stall NAME", "Have the etcd of a cluster that has one of its own answer nothing; start lets it go on",
		func(cmd *cobra.Command, l *lab.Lab, name string) error { return l.Stall(cmd.Context(), name) })
}

func newDestroy(open opener) *cobra.Command {
	return onCluster(open, "destroy NAME", "Stop a cluster and delete its data; start brings it back empty",
		func(cmd *cobra.Command, l *lab.Lab, name string) error { return l.Destroy(cmd.Context(), name) })
}

func newPartition(open opener) *cobra.Command {
	return onCluster(open, "partition NAME", "Cut a cluster off: its API server stays up and nobody outside reaches it",
		func(cmd *cobra.Command, l *lab.Lab, name string) error {
			return l.SetLink(cmd.Context(), name, func(link *proxy.Link) { link.Partitioned = true })
		})
}

func newHeal(open opener) *cobra.Command {
	return onCluster(open, "heal NAME", "Mend a cluster's network: no partition, no latency",
		func(cmd *cobra.Command, l *lab.Lab, name string) error {
			return l.SetLink(cmd.Context(), name, func(link *proxy.Link) { *link = proxy.Link{} })
		})
}

func newLatency(open opener) *cobra.Command {
	return &cobra.Command{
		Use:               "latency NAME DURATION",
		Short:             "Delay everything to and from a cluster by this much in each direction",
		Example:           "  nave-lab latency prod-asia-1 120ms",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeCluster(open),
		RunE: func(cmd *cobra.Command, args []string) error {
			latency, err := time.ParseDuration(args[1])
			if err != nil {
				return &usageError{fmt.Errorf("%q is no duration\nhint: write 120ms or 2s", args[1])}
			}
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.SetLink(cmd.Context(), args[0], func(link *proxy.Link) { link.Latency = latency })
		},
	}
}

func newSnapshot(open opener) *cobra.Command {
	return &cobra.Command{
		Use:               "snapshot NAME FILE",
		Short:             "Save the etcd of a cluster that has one of its own",
		Example:           "  nave-lab snapshot dr-us before.db",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeCluster(open),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.Snapshot(cmd.Context(), args[0], args[1])
		},
	}
}

func newRestore(open opener) *cobra.Command {
	return &cobra.Command{
		Use:     "restore NAME FILE",
		Short:   "Put the etcd of a cluster that has one of its own back to a snapshot",
		Example: "  nave-lab restore dr-us before.db",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.Restore(cmd.Context(), args[0], args[1])
		},
	}
}
