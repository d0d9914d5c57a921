package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
	"nave.dev/internal/hub/marking"
	"nave.dev/internal/hub/past"
	"nave.dev/internal/hub/upkeep"
	"nave.dev/internal/spoke"
)

func newHubRecovered(s *settings) *cobra.Command {
	action := hub.Action{}
	command := &cobra.Command{
		Use:   "recovered [--without NAME,…] --reason TEXT",
		Short: "End a hub's recovering without the clusters that stay away",
		Long: `recovered ends the wait of a hub whose database is new, or was put back. Until every
cluster that is not suspended has reported, no cluster can enrol: the database may
lack a token that was used. Name with --without those that are not to be waited for,
because they are new, or gone; nave status lists whom the hub waits for.`,
		Example: "  nave hub recovered --without edge-7,edge-9 --reason 'both are switched off, OPS-77'",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if action.Reason == "" {
				return &UsageError{errors.New("--reason is missing\nhint: say why, for who looks later")}
			}
			action.Actor = actor()
			var ended marking.Recovering
			if err := s.client().call(cmd.Context(), http.MethodPost, "/api/v1/recovered", action, &ended); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "recovered, without %s\n", count(len(ended.Awaited), "cluster"))
			return nil
		},
	}
	command.Flags().StringSliceVar(&action.Without, "without", nil, "clusters that are not waited for")
	command.Flags().StringVar(&action.Reason, "reason", "", "why")
	return command
}

func newHubBackup(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy the database of the hub of this machine to a new file, also while it runs", Args: arguments(1, 1),
		Long: `backup copies what the hub remembers: events, the audit, what was last known of
clusters, and used tokens. The authority's key is not in it.`,
		Example: "  nave hub backup /backup/hub.db",
		RunE: func(cmd *cobra.Command, args []string) error {
			return upkeep.Backup(cmd.Context(), s.directory(), args[0])
		},
	}
}

func newHubRestore(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "restore FILE", Short: "Put a backup back as the database of the hub, which must not be running", Args: arguments(1, 1),
		Long: `restore makes a backup the database. What was there is moved aside. The hub is
recovering when it starts: no cluster enrols before all have reported.`,
		Example: "  nave hub restore /backup/hub.db",
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := upkeep.Restore(cmd.Context(), s.directory(), args[0])
			if before != "" {
				fmt.Fprintln(cmd.OutOrStdout(), "the database that was there is in", before)
			}
			return err
		},
	}
}

func newHubRotate(s *settings) *cobra.Command {
	var dir string
	var retire, early bool
	command := &cobra.Command{
		Use: "rotate [--retire [--early]]", Short: "Give the fleet's authority a new key, and later end the trust in the old one", Args: arguments(0, 0),
		Long: `rotate makes a new key, signed by the old one, so that no cluster enrols again. A hub
that runs takes it within seconds, and agents learn of it when they connect or renew.
After eight days rotate --retire ends the trust in the old key; with --early at once,
as when it was stolen: agents that have not renewed since must then join anew.`,
		Example: "  nave hub rotate\n  nave hub rotate --retire",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if early && !retire {
				return &UsageError{errors.New("--early goes with --retire")}
			}
			if dir == "" {
				dir = s.authority()
			}
			act, done := upkeep.Rotate, "the authority has a new key, which a hub that runs takes within seconds\nhint: in eight days, nave hub rotate --retire ends the trust in the one before"
			if retire {
				act = func(dir string, now time.Time) error { return upkeep.Retire(dir, early, now) }
				done = "the key before the newest is no longer trusted"
			}
			if err := act(dir, time.Now()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), done)
			return nil
		},
	}
	command.Flags().StringVar(&dir, "authority", "", "directory of the key (default: authority in --dir)")
	command.Flags().BoolVar(&retire, "retire", false, "end the trust in the key before the newest")
	command.Flags().BoolVar(&early, "early", false, "also while certificates count that it signed")
	return command
}

func newClusterList(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use: "list", Short: "List the clusters that agents keep, with what is known of the agents", Args: arguments(0, 0), Example: "  nave cluster list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := s.client().fleet(cmd.Context(), hub.NoApps)
			if err != nil {
				return err
			}
			kept := slices.DeleteFunc(fleet.Clusters, func(c hub.Cluster) bool { return c.Agent == nil })
			return s.print(cmd.OutOrStdout(), kept, func(w io.Writer) {
				fmt.Fprintln(w, "CLUSTER\tCONNECTED\tIDENTITY\tCERTIFICATE UNTIL\tAGENT\tLAST SEEN\tADDRESS")
				for _, c := range kept {
					connected, identity := "no", ""
					if !c.Agent.Connected.IsZero() {
						connected = "yes"
					}
					if c.Agent.Identity > 0 {
						identity = strconv.FormatInt(c.Agent.Identity, 10)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Cluster, connected, identity,
						clock(c.Agent.CertificateEnd), c.Agent.Version, clock(c.Agent.LastSeen), c.Agent.Address)
				}
			})
		},
	})
}

// clock is a moment for a table, and nothing where there is none.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// showHistory shows events that are older than what a hub has at hand, the oldest
// first; limit keeps the newest.
func (s *settings) showHistory(cmd *cobra.Command, query url.Values, limit int) error {
	events := []spoke.Event{}
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(events), 1000)))
		var page past.Events
		if err := s.client().call(cmd.Context(), http.MethodGet, "/api/v1/history?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		events = append(events, page.Events...)
		if len(events) >= limit || page.Next.IsZero() {
			break
		}
		next, err := page.Next.MarshalText()
		if err != nil {
			return err
		}
		query.Set("before", string(next))
	}
	slices.Reverse(events)
	return s.print(cmd.OutOrStdout(), events, func(w io.Writer) { writeEvents(w, events) })
}

func writeRecovering(w io.Writer, r *marking.Recovering) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "recovering: %s; no cluster enrols before every one has reported\n", r.Why)
	if len(r.Awaited) == 0 {
		return
	}
	const most = 10
	names := r.Awaited[:min(len(r.Awaited), most)]
	fmt.Fprintf(w, "  waits for %s: %s", count(len(r.Awaited), "cluster"), strings.Join(names, ", "))
	if more := len(r.Awaited) - len(names); more > 0 {
		fmt.Fprintf(w, " and %d more", more)
	}
	fmt.Fprintln(w, "\n  hint: those that are new, or stay away, are named to nave hub recovered --without")
}
