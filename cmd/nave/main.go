// Command nave runs a fleet of Kubernetes clusters from one Git repository.
//
// Exit codes: 0 done; 1 it could not be done; 2 wrong usage.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{
		Use:           "nave",
		Short:         "Run a fleet of Kubernetes clusters from one Git repository",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newVersion())
	if err := root.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "nave: %v\nhint: nave --help\n", err)
		os.Exit(2)
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version + " " + info.GoVersion
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "nave", version)
			return err
		},
	}
}
