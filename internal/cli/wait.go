package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
	"nave.dev/internal/spoke"
)

func newWait(s *settings) *cobra.Command {
	var revision string
	var timeout time.Duration
	command := &cobra.Command{
		Use: "wait [--revision SHA] [--timeout DURATION]", Short: "Wait until every cluster is Synced and Healthy", Args: arguments(0, 0),
		Example: "  nave wait --revision $(git rev-parse HEAD) --timeout 10m",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := s.client()
			began, last := time.Now(), ""
			var from int64
			for {
				fleet, err := c.fleet(cmd.Context(), hub.NoApps)
				if err != nil {
					return err
				}
				done, line := converged(fleet, revision)
				if line != last {
					fmt.Fprintf(cmd.ErrOrStderr(), "%6.1fs %s\n", time.Since(began).Seconds(), line)
					last = line
				}
				if done {
					return nil
				}
				left := timeout - time.Since(began)
				if left <= 0 {
					return &NotSoError{fmt.Sprintf("not converged after %s: %s\nhint: nave status", timeout, line)}
				}
				page, err := c.events(cmd.Context(), from, min(left, time.Second))
				if err != nil {
					return err
				}
				from = page.Next
			}
		},
	}
	command.Flags().StringVar(&revision, "revision", "", "of this commit of the fleet repository; a beginning of its hash will do")
	command.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "give up after this time")
	return command
}

// converged reports whether the whole fleet is as Git says, and how far it is. A
// fleet without clusters is not, nor one whose newest commit could not be read.
func converged(fleet hub.Fleet, revision string) (bool, string) {
	if revision != "" && !strings.HasPrefix(fleet.Revision.Commit, revision) {
		return false, fmt.Sprintf("waits for commit %.12s; the hub has %.12s", revision, fleet.Revision.Commit)
	}
	done, waiting := 0, []string{}
	for _, c := range fleet.Clusters {
		if c.Online && c.Sync == spoke.Synced && c.Health.Status == spoke.Healthy {
			done++
			continue
		}
		waiting = append(waiting, c.Cluster)
	}
	line := fmt.Sprintf("%d of %d clusters are Synced and Healthy", done, len(fleet.Clusters))
	if fleet.Revision.Commit != "" {
		line += fmt.Sprintf(" at commit %.12s", fleet.Revision.Commit)
	}
	if len(waiting) > 0 {
		line += "; waiting for " + strings.Join(waiting[:min(5, len(waiting))], ", ")
		if len(waiting) > 5 {
			line += fmt.Sprintf(" and %d more", len(waiting)-5)
		}
	}
	if fleet.Revision.Error != "" {
		return false, line + "; Git's newest state is not in force: " + firstLine(fleet.Revision.Error)
	}
	return len(fleet.Clusters) > 0 && done == len(fleet.Clusters), line
}
