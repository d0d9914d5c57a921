package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/bench"
)

func newBench(options *lab.Options) *cobra.Command {
	var (
		opts            bench.Options
		fleetFile, page string
		output          string
		list            bool
	)
	command := &cobra.Command{
		Use:   "bench [NAME…]",
		Short: "Measure nave and the lab, in labs of their own",
		Long: `bench measures nave on real clusters and holds the figures against their bars. Each
bench has a lab in a fresh directory, which is removed in the end; those that need
equal labs share one. A floor is a plain loop that applies the same objects with
no logic at all, measured in the same run on the same clusters. Without names
everything is measured, which takes most of an hour.`,
		Example: `  nave-lab bench --list
  nave-lab bench cold-1x1000 -o json
  nave-lab bench one-line drift --scale 0.1`,
		Args: func(_ *cobra.Command, args []string) error {
			_, err := bench.Select(args)
			return err
		},
		ValidArgsFunction: completeBench,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(output); err != nil {
				return err
			}
			if opts.Scale <= 0 {
				return &usageError{fmt.Errorf("--scale %g: want more than 0", opts.Scale)}
			}
			if list {
				return listBenches(cmd)
			}
			if opts.Fleet, err = lab.ReadFleet(fleetFile); err != nil {
				return err
			}
			opts.Names, opts.Bin = args, options.Bin
			opts.Progress = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
			opts.Starting = newProgress(cmd.ErrOrStderr())
			if output == "" {
				opts.Measured = func(f bench.Figure) { fmt.Fprintln(cmd.OutOrStdout(), f) }
			}
			figures, err := bench.Run(cmd.Context(), opts)
			if output == "json" {
				if encodeErr := json.NewEncoder(cmd.OutOrStdout()).Encode(figures); encodeErr != nil {
					return encodeErr
				}
			}
			if err == nil && page != "" {
				err = bench.WritePage(page, figures, time.Now())
			}
			return err
		},
	}
	flags := command.Flags()
	flags.Float64Var(&opts.Scale, "scale", 1, "multiply the numbers of clusters, apps and objects; the bars are about 1")
	flags.StringVar(&fleetFile, "fleet", "auto", `fleet file for the bench "lab", or "auto" for the sample fleet that fits this machine`)
	flags.StringVar(&page, "page", "", "put the figures into the table of this Markdown file")
	flags.BoolVar(&list, "list", false, "list the benches and measure nothing")
	flags.StringVarP(&output, "output", "o", "", "json, or none for lines")
	return command
}

func listBenches(cmd *cobra.Command) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, b := range bench.All() {
		fmt.Fprintf(table, "%s\t%s\n", b.Name, b.About)
	}
	return table.Flush()
}

func completeBench(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, b := range bench.All() {
		if !strings.Contains(" "+strings.Join(args, " ")+" ", " "+b.Name+" ") {
			names = append(names, b.Name+"\t"+b.About)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
