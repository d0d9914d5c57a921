package main

import (
	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
)

func newHub(open opener) *cobra.Command {
	command := &cobra.Command{
		Use: "hub", Short: "Kill the hub of the demo, and start it again",
		Example: "  nave-lab hub kill\n  nave-lab hub start",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	on := func(use, short string, run func(*cobra.Command, *lab.Lab) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				l, err := open(cmd)
				if err != nil {
					return err
				}
				return run(cmd, l)
			},
		}
	}
	command.AddCommand(
		on("kill", "Kill the hub without a warning", func(cmd *cobra.Command, l *lab.Lab) error {
			return l.StopHub(cmd.Context(), 0)
		}),
		on("start", "Start the hub again as it was", func(cmd *cobra.Command, l *lab.Lab) error {
			return l.RestartHub(cmd.Context())
		}),
	)
	return command
}
