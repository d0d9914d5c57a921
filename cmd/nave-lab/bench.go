package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
)

func newBench(options *lab.Options) *cobra.Command {
	var fleetFile, output string
	command := &cobra.Command{
		Use:     "bench",
		Short:   "Bring up a fresh fleet, measure it, and remove it",
		Long:    "bench measures a fleet in a lab of its own: time until all clusters are ready,\nmemory (proportional set size of all processes) and processor when idle.",
		Example: "  nave-lab bench\n  nave-lab bench --fleet examples/ecommerce/lab-small.yaml -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			fleet, err := lab.ReadFleet(fleetFile)
			if err != nil {
				return err
			}
			opts := *options
			opts.Progress = newProgress(cmd.ErrOrStderr())
			if opts.Dir == "" {
				if opts.Dir, err = os.MkdirTemp("", "nave-bench-"); err != nil {
					return err
				}
				defer os.RemoveAll(opts.Dir)
			}
			l, err := lab.New(opts)
			if err != nil {
				return err
			}
			figures, err := l.Bench(cmd.Context(), fleet)
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(figures)
			}
			for _, figure := range figures {
				fmt.Fprintln(cmd.OutOrStdout(), figure)
			}
			return nil
		},
	}
	command.Flags().StringVar(&fleetFile, "fleet", "auto", `fleet file, or "auto" for the sample fleet that fits this machine`)
	command.Flags().StringVarP(&output, "output", "o", "", "json, or none for lines")
	return command
}
