package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
)

func newSync(s *settings) *cobra.Command {
	var cluster string
	var hooks bool
	command := &cobra.Command{
		Use: "sync APP [--cluster NAME] [--rerun-hooks]", Short: "Look at Git now and apply an app again, on all clusters or one", Args: arguments(1, 1), ValidArgsFunction: s.completeApps,
		Example: "  nave sync checkout\n  nave sync checkout --cluster prod-us-1\n  nave sync checkout --rerun-hooks",
		RunE: func(cmd *cobra.Command, args []string) error {
			c := s.client()
			if err := c.call(cmd.Context(), "POST", "/api/v1/refresh", nil, &struct{}{}); err != nil {
				return err
			}
			return c.act(cmd.Context(), cmd.OutOrStdout(), "/api/v1/sync", hub.Action{App: args[0], Cluster: cluster, RerunHooks: hooks}, "syncing")
		},
	}
	command.Flags().StringVar(&cluster, "cluster", "", "only there")
	command.Flags().BoolVar(&hooks, "rerun-hooks", false, "run the app's hooks again; those that still run are stopped")
	return command
}

func newConfirm(s *settings) *cobra.Command {
	var cluster, reason string
	command := &cobra.Command{
		Use: "confirm DIGEST --reason TEXT [--cluster NAME]", Short: "Allow the deletions of a held list, which nave status names by its digest", Args: arguments(1, 1),
		Example: "  nave confirm 3f9a… --reason 'search was retired, OPS-412'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				return &UsageError{errors.New("--reason is missing\nhint: say why, for who looks later")}
			}
			return s.client().act(cmd.Context(), cmd.OutOrStdout(), "/api/v1/confirm", hub.Action{Digest: args[0], Cluster: cluster, Reason: reason}, "confirmed")
		},
	}
	command.Flags().StringVar(&cluster, "cluster", "", "only there")
	command.Flags().StringVar(&reason, "reason", "", "why")
	return command
}

func newPause(s *settings) *cobra.Command {
	var cluster, reason string
	var length time.Duration
	command := &cobra.Command{
		Use: "pause [APP] [--cluster NAME] --for DURATION --reason TEXT", Short: "Write nothing to an app, or a cluster, for a while; --for 0s ends a pause", Args: arguments(0, 1), ValidArgsFunction: s.completeApps,
		Example: "  nave pause checkout --for 1h --reason 'incident 88'\n  nave pause --cluster prod-us-1 --for 30m --reason 'node repair'\n  nave pause checkout --for 0s --reason over",
		RunE: func(cmd *cobra.Command, args []string) error {
			action := hub.Action{Cluster: cluster, For: length, Reason: reason}
			if len(args) > 0 {
				action.App = args[0]
			}
			switch {
			case action.App == "" && cluster == "":
				return &UsageError{errors.New("what is to be paused?\nhint: name an app, or --cluster, or both")}
			case !cmd.Flags().Changed("for") || reason == "":
				return &UsageError{errors.New("--for and --reason are needed\nhint: every pause expires, and says why")}
			case length < 0 || length > 7*24*time.Hour:
				return &UsageError{errors.New("--for must be between 0s and 168h")}
			}
			done := "paused for " + length.String()
			if length == 0 {
				done = "no longer paused"
			}
			return s.client().act(cmd.Context(), cmd.OutOrStdout(), "/api/v1/pause", action, done)
		},
	}
	command.Flags().StringVar(&cluster, "cluster", "", "only there; without an app, the whole cluster")
	command.Flags().DurationVar(&length, "for", 0, "how long, such as 1h")
	command.Flags().StringVar(&reason, "reason", "", "why")
	return command
}
