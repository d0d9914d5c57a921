package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCharts(open opener) *cobra.Command {
	command := &cobra.Command{
		Use:   "charts",
		Short: "Fill the Helm repository that the Git server serves too",
		Example: `  nave-lab git charts add ./web
  nave-lab git charts stop && nave-lab git charts start`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.AddCommand(newChartsURL(open), newChartsAdd(open),
		newChartsAway(open, "stop", "Answer every request for a chart with 503, until start", true),
		newChartsAway(open, "start", "Serve charts again", false))
	return command
}

func newChartsURL(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "url", Short: "Print the address of the Helm repository", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			url, err := l.ChartsURL()
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), url)
			}
			return err
		},
	}
}

func newChartsAdd(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "add DIRECTORY…", Short: "Pack charts into the Helm repository, beside their other versions", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			for _, dir := range args {
				name, version, err := l.AddChart(cmd.Context(), dir)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), name, version)
			}
			return nil
		},
	}
}

func newChartsAway(open opener, use, short string, away bool) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		l, err := open(cmd)
		if err != nil {
			return err
		}
		return l.SetChartsAway(cmd.Context(), away)
	}}
}
