package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/process"
)

func newStatus(open opener) *cobra.Command {
	var output string
	command := &cobra.Command{
		Use:     "status",
		Short:   "Show every cluster: whether it is ready, and if not, why",
		Example: "  nave-lab status\n  nave-lab status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			l, err := open(cmd)
			if err != nil {
				return err
			}
			status, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(status)
			}
			return printStatus(cmd.OutOrStdout(), status)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "json, or none for a table")
	return command
}

// checkOutput refuses what -o does not know.
func checkOutput(output string) error {
	if output != "" && output != "json" {
		return &usageError{fmt.Errorf("no output form %q\nhint: -o json, or none for people", output)}
	}
	return nil
}

func printStatus(out io.Writer, status lab.Status) error {
	if status.Git.URL == "" {
		_, err := fmt.Fprintf(out, "no lab in %s\n", status.Dir)
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(status.Clusters) == 0 {
		fmt.Fprintln(table, "no clusters")
	} else {
		fmt.Fprintln(table, "CLUSTER\tREADY\tNODES\tMEMORY\tSERVER\tLABELS\tNOTES")
	}
	for _, c := range status.Clusters {
		ready := "yes"
		if !c.Ready {
			ready = "no"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d MiB\t%s\t%s\t%s\n",
			c.Name, ready, c.Nodes, c.MemoryBytes>>20, c.Server, joinLabels(c.Labels), notes(c))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, shared := range status.Shared {
		fmt.Fprintf(out, "%s is %s\n", shared.Name, shared.State)
	}
	_, err := fmt.Fprintf(out, "%s of memory in all; Git server %s\n", gibibytes(status.MemoryBytes), status.Git.URL)
	return err
}

// notes says in words what is out of the ordinary.
func notes(c lab.ClusterStatus) string {
	var notes []string
	if c.Reason != "" {
		notes = append(notes, c.Reason)
	}
	if c.Partitioned {
		notes = append(notes, "partitioned")
	}
	if c.Latency != "" {
		notes = append(notes, "latency "+c.Latency)
	}
	if c.Etcd == "dedicated" {
		notes = append(notes, "own etcd")
	}
	if c.Expires != nil {
		notes = append(notes, "expires in "+time.Until(*c.Expires).Round(time.Minute).String())
	}
	return strings.Join(notes, "; ")
}

func joinLabels(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for key, value := range labels {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

func gibibytes(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func newLogs(open opener) *cobra.Command {
	var lines int
	command := &cobra.Command{
		Use:   "logs NAME [COMPONENT]",
		Short: "Show the end of a component's log",
		Long: `logs shows the end of a component's log: of the API server unless another
component is named. The processes that all clusters share are called etcd and
network.`,
		Example:           "  nave-lab logs prod-us-1 kube-scheduler --lines 100\n  nave-lab logs etcd",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeCluster(open),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			component := "kube-apiserver"
			if len(args) == 2 {
				component = args[1]
			}
			file, err := l.LogFile(args[0], component)
			if err != nil {
				return err
			}
			tail, err := process.Tail(file, lines)
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "==>", file)
			fmt.Fprintln(cmd.OutOrStdout(), string(tail))
			return nil
		},
	}
	command.Flags().IntVarP(&lines, "lines", "n", 40, "how many lines")
	return command
}
