package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/soak"
)

func newSoak(options *lab.Options, open opener) *cobra.Command {
	var (
		fleetFile, dir, output string
		settings               soak.Options
	)
	command := &cobra.Command{
		Use:   "soak",
		Short: "Disturb a fresh sample fleet for an hour, and see whether anything is lost or grows",
		Long: `soak starts the sample fleet with a hub and then commits to its repository,
changes objects by hand, stops, cuts off and slows down clusters, and restarts
the hub. It samples the hub's memory, goroutines, file descriptors, watches and
processor time, checks on the clusters that every commit arrived, every change by
hand was undone and nothing else was deleted, and removes the fleet.

It writes report.json, samples.csv and plots (SVG) to --out, and the hub's log if
something was wrong; interrupted, it writes and prints what it has. Exit code 1
says that something was lost, or rises.`,
		Example: `  nave-lab soak --fleet examples/ecommerce/lab.yaml --out docs/img
  nave-lab soak --for 10m --fleet examples/ecommerce/lab-small.yaml --seed 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			if settings.For < 10*time.Second {
				return &usageError{fmt.Errorf("a soak of %s\nhint: --for 10s at least, an hour to judge a fleet by", settings.For)}
			}
			if !cmd.Flags().Changed("seed") {
				settings.Seed = rand.Uint64()
			}
			fleet, err := lab.ReadFleet(fleetFile)
			if err != nil {
				return err
			}
			l, err := open(cmd)
			if err != nil {
				return err
			}
			talk := cmd.ErrOrStderr()
			remove, err := converge(cmd, l, fleet, arrangement{out: talk})
			defer func() { err = errors.Join(err, remove()) }()
			if err != nil {
				return err
			}
			// Clusters that come and go are not worth a line each.
			quiet := *options
			quiet.Dir, quiet.Progress = l.Dir(), nil
			still, err := lab.New(quiet)
			if err != nil {
				return err
			}
			settings.Progress = func(text string) { fmt.Fprintln(talk, text) }
			fmt.Fprintf(talk, "soaking with seed %d\n", settings.Seed)
			report, err := soak.Run(cmd.Context(), still, settings)
			if report == nil {
				return err
			}
			err = errors.Join(err, report.Write(dir), printSoak(cmd.OutOrStdout(), report, output))
			if report.Passed() {
				return err
			}
			if err == nil {
				err = errors.New("something was lost, or rises")
			}
			kept := filepath.Join(dir, "hub.log")
			return errors.Join(err, copyFile(l.HubLog(), kept), errors.New("hint: the hub's log is in "+kept))
		},
	}
	command.Flags().StringVar(&fleetFile, "fleet", "auto", `fleet file with clusters of the sample, or "auto" for what fits this machine`)
	command.Flags().DurationVar(&settings.For, "for", time.Hour, "how long to disturb the fleet; rests and checks come on top")
	command.Flags().Uint64Var(&settings.Seed, "seed", 0, "what decides what is done in which order (default: another one each time)")
	command.Flags().StringVar(&dir, "out", "soak", "directory for samples and plots")
	command.Flags().StringVarP(&output, "output", "o", "", "json, or none for tables")
	return command
}

func printSoak(out io.Writer, report *soak.Report, output string) error {
	if output == "json" {
		return report.WriteJSON(out)
	}
	return report.Print(out)
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
