package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/bench"
	"nave.dev/internal/swarm"
)

func newSwarm(options *lab.Options) *cobra.Command {
	var (
		opts   swarm.Options
		output string
	)
	command := &cobra.Command{
		Use:   "swarm",
		Short: "Measure a hub with very many agents",
		Long: `swarm starts a hub on a fleet repository of its own and connects simulated agents to
it, which speak the real protocol for clusters that are made up: enrolment by tokens,
assignments, bundles, reports. It measures the hub's memory and processor time at
rest, after commits and while things happen on the clusters; how soon a commit
reaches all; pages of the API; all agents reconnecting at once; and how long a hub
that was killed, and one that lost its database, takes to know everything again.

The last line says whether the bars held, and so does the exit status: 0 if they
did. They are those of 1,000 agents with 100 apps, which take about six minutes and
6 GiB of memory.`,
		Example: `  nave-lab swarm --agents 1000 --apps 100
  nave-lab swarm --agents 50 --apps 20 --phase 10s
  nave-lab swarm --profiles /tmp/profiles -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if err := opts.Validate(); err != nil {
				return &usageError{err}
			}
			if opts.Profiles != "" {
				if err := os.MkdirAll(opts.Profiles, 0o700); err != nil {
					return err
				}
			}
			opts.Bin = options.Bin
			opts.Progress = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
			if output == "" {
				opts.Measured = func(f bench.Figure) { fmt.Fprintln(cmd.OutOrStdout(), f) }
			}
			figures, err := swarm.Run(cmd.Context(), opts)
			if output == "json" {
				if encodeErr := json.NewEncoder(cmd.OutOrStdout()).Encode(figures); encodeErr != nil {
					return encodeErr
				}
			}
			if err != nil {
				return err
			}
			summary, held := swarm.Summary(figures)
			if !held {
				return errors.New(summary)
			}
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), summary)
			return err
		},
	}
	flags := command.Flags()
	flags.IntVar(&opts.Agents, "agents", 1000, "number of agents")
	flags.IntVar(&opts.Apps, "apps", 100, "number of apps on each cluster")
	flags.DurationVar(&opts.Phase, "phase", 0, "how long rest and churn last (default 1m)")
	flags.DurationVar(&opts.Every, "every", 0, "how often something happens on a cluster while there is churn (default 10s)")
	flags.StringVar(&opts.Profiles, "profiles", "", "directory for profiles of the hub in each phase")
	flags.BoolVar(&opts.Keep, "keep", false, "leave the directory of the run, with the hub's log")
	flags.StringVarP(&output, "output", "o", "", "json, or none for lines")
	return command
}
