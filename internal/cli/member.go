package cli

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
)

func newClusterRenew(s *settings) *cobra.Command {
	action := hub.Action{}
	command := &cobra.Command{
		Use:   "renew NAME",
		Short: "Have the agent of a cluster get a certificate for a new key now",
		Long: `renew does at once what an agent does by itself when a third of its certificate's
life is over. The identity stays the same: to shut out a key that somebody has seen,
raise identity in the Cluster's file and enrol the agent again with nave cluster join.`,
		Example: "  nave cluster renew prod-eu-1",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			action.Cluster, action.Actor = args[0], actor()
			var outcome hub.Outcome
			if err := s.client().call(cmd.Context(), http.MethodPost, "/api/v1/renew", action, &outcome); err != nil {
				return err
			}
			if text := outcome[args[0]]; text != "" {
				return fmt.Errorf("%s: %s", args[0], text)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the agent of %s has a new certificate\n", args[0])
			return nil
		},
	}
	command.Flags().StringVar(&action.Reason, "reason", "", "why, for the audit")
	return command
}

func newClusterRemove(s *settings) *cobra.Command {
	action := hub.Action{}
	command := &cobra.Command{
		Use:   "remove NAME --reason TEXT",
		Short: "Have the agent of a cluster that is not in the fleet repository any more leave",
		Long: `remove ends a cluster's membership for good, once its Cluster is no longer in the
fleet repository. Its certificate is not accepted any more, and what the hub knows of
it is forgotten, but for history and audit. The agent is told when it connects next,
and leaves: it removes its namespace nave-system and its rights. What Nave applied to
the cluster stays as it is. The name may be used again, by nave cluster join.

Without remove, an agent whose Cluster is gone goes on with what it was given last.`,
		Example: "  nave cluster remove dev-pr-17 --reason 'merged'",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if action.Reason == "" {
				return &UsageError{errors.New("--reason is missing\nhint: say why, for who looks later")}
			}
			action.Cluster, action.Actor = args[0], actor()
			var removed hub.Removed
			if err := s.client().call(cmd.Context(), http.MethodPost, "/api/v1/remove", action, &removed); err != nil {
				return err
			}
			if removed.Identity == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%s has no agent that the hub knows of; nothing is left of it here\nhint: a hub that lost its database knows an agent once that has tried to connect: remove it again then\n", args[0])
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is removed; its agent (identity %d) leaves when it connects next\n", args[0], removed.Identity)
			return nil
		},
	}
	command.Flags().StringVar(&action.Reason, "reason", "", "why")
	return command
}
