package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
	"nave.dev/internal/spoke"
)

func newStatus(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use:     "status",
		Short:   "Show the fleet on one screen: what is not as it should be, first",
		Example: "  nave status\n  nave status -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := s.client().fleet(cmd.Context())
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), fleet, func(w io.Writer) { writeStatus(w, fleet) })
		},
	})
}

func writeStatus(w io.Writer, fleet hub.Fleet) {
	fmt.Fprintf(w, "fleet %s: %s, %s\n", orNone(fleet.Name), fleet.Sync, fleet.Health)
	if fleet.Revision.Commit != "" {
		fmt.Fprintf(w, "commit %.12s %s\n", fleet.Revision.Commit, fleet.Revision.Subject)
	}
	if fleet.Revision.Error != "" {
		fmt.Fprintln(w, "not in force:", fleet.Revision.Error)
	}
	for _, source := range fleet.Sources {
		if source.Failing() {
			fmt.Fprintf(w, "source %s is failing since %s: %s\n", orNone(source.Name), source.FailingSince.Format(time.DateTime), source.Err)
		}
	}
	for _, problem := range fleet.Revision.Problems {
		fmt.Fprintln(w, "problem:", problem)
	}
	fmt.Fprintln(w)
	writeClusters(w, fleet)
	var rows [][]string
	for _, c := range fleet.Clusters {
		for _, app := range c.Apps {
			if app.Sync != spoke.Synced || app.Health.Status != spoke.Healthy {
				rows = append(rows, []string{c.Cluster, app.Name, string(app.Sync), string(app.Health.Status), reason(app)})
			}
		}
	}
	const most = 30
	if len(rows) > 0 {
		fmt.Fprintln(w, "\nCLUSTER\tAPP\tSYNC\tHEALTH\tWHY")
		for _, row := range rows[:min(len(rows), most)] {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		if len(rows) > most {
			fmt.Fprintf(w, "and %d more: nave apps\n", len(rows)-most)
		}
	}
}

func orNone(text string) string {
	if text == "" {
		return "(fleet repository)"
	}
	return text
}

// reason says in one line why an app is not as it should be.
func reason(app spoke.AppState) string {
	text := app.Message
	if text == "" && len(app.Health.Reasons) > 0 {
		first := app.Health.Reasons[0]
		text = first.Name + ": " + first.Message
	}
	text, _, _ = strings.Cut(text, "\n")
	const most = 140
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

func newClusters(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use: "clusters", Short: "List the clusters", Args: cobra.NoArgs, Example: "  nave clusters -o yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := s.client().fleet(cmd.Context())
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), fleet.Clusters, func(w io.Writer) { writeClusters(w, fleet) })
		},
	})
}

func writeClusters(w io.Writer, fleet hub.Fleet) {
	fmt.Fprintln(w, "CLUSTER\tONLINE\tSYNC\tHEALTH\tAPPS\tKUBERNETES\tNOTE")
	for _, c := range fleet.Clusters {
		online, note := "yes", ""
		switch {
		case !c.Online && !c.OfflineSince.IsZero():
			online, note = "no", fmt.Sprintf("offline since %s: %s", c.OfflineSince.Format(time.TimeOnly), firstLine(c.Error))
		case !c.Online:
			online, note = "no", firstLine(c.Error)
		case !c.Writer:
			note = "another writer holds it"
		}
		for _, pause := range c.Pauses {
			what := pause.App
			if what == "" {
				what = "the cluster"
			}
			note = strings.TrimPrefix(fmt.Sprintf("%s; %s is paused until %s by %s: %s", note, what, pause.Until.Format(time.TimeOnly), pause.Actor, pause.Reason), "; ")
		}
		synced := 0
		for _, app := range c.Apps {
			if app.Sync == spoke.Synced {
				synced++
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\n", c.Cluster, online, c.Sync, c.Health.Status, synced, len(c.Apps), c.Version, note)
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func newApps(s *settings) *cobra.Command {
	var cluster, wantHealth, wantSync string
	command := s.outputFlag(&cobra.Command{
		Use: "apps", Short: "List the apps of all clusters", Args: cobra.NoArgs,
		Example: "  nave apps --cluster prod-us-1\n  nave apps --health Degraded\n  nave apps --sync OutOfSync -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := s.client().fleet(cmd.Context())
			if err != nil {
				return err
			}
			type row struct {
				Cluster string `json:"cluster"`
				spoke.AppState
			}
			rows := []row{}
			for _, c := range fleet.Clusters {
				for _, app := range c.Apps {
					if (cluster == "" || c.Cluster == cluster) &&
						(wantHealth == "" || strings.EqualFold(wantHealth, string(app.Health.Status))) &&
						(wantSync == "" || strings.EqualFold(wantSync, string(app.Sync))) {
						rows = append(rows, row{c.Cluster, app})
					}
				}
			}
			return s.print(cmd.OutOrStdout(), rows, func(w io.Writer) {
				fmt.Fprintln(w, "CLUSTER\tAPP\tSYNC\tHEALTH\tOBJECTS\tSOURCE\tWHY")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Cluster, r.Name, r.Sync, r.Health.Status, r.Objects, r.Source, reason(r.AppState))
				}
			})
		},
	})
	command.Flags().StringVar(&cluster, "cluster", "", "only of this cluster")
	command.Flags().StringVar(&wantHealth, "health", "", "only with this health, such as Degraded")
	command.Flags().StringVar(&wantSync, "sync", "", "only with this sync status, such as OutOfSync")
	return command
}

func newEvents(s *settings) *cobra.Command {
	var follow bool
	var cluster string
	command := s.outputFlag(&cobra.Command{
		Use: "events", Short: "Show what was done and why, oldest first", Args: cobra.NoArgs,
		Example: "  nave events --follow\n  nave events --cluster prod-us-1 -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.showEvents(cmd, follow, func(e spoke.Event) bool { return cluster == "" || e.Cluster == cluster })
		},
	})
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on as events come")
	command.Flags().StringVar(&cluster, "cluster", "", "only of this cluster")
	return command
}

func newDrift(s *settings) *cobra.Command {
	var follow bool
	command := s.outputFlag(&cobra.Command{
		Use: "drift", Short: "Show who changed what on which cluster, and what was done about it", Args: cobra.NoArgs,
		Example: "  nave drift\n  nave drift --follow",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.showEvents(cmd, follow, func(e spoke.Event) bool { return e.Kind == spoke.EventDrift })
		},
	})
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on as drift comes")
	return command
}

func (s *settings) showEvents(cmd *cobra.Command, follow bool, want func(spoke.Event) bool) error {
	c := s.client()
	var from int64
	for {
		wait := time.Duration(0)
		if from > 0 && follow {
			wait = 30 * time.Second
		}
		page, err := c.events(cmd.Context(), from, wait)
		if err != nil {
			return err
		}
		from = max(page.Next, 1)
		events := slices.DeleteFunc(page.Events, func(e spoke.Event) bool { return !want(e) })
		if len(events) > 0 || !follow {
			err = s.print(cmd.OutOrStdout(), events, func(w io.Writer) { writeEvents(w, events) })
		}
		if err != nil || !follow {
			return err
		}
	}
}

func writeEvents(w io.Writer, events []spoke.Event) {
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format(time.TimeOnly), e.Cluster, e.App, e.Kind, firstLine(e.Message))
		if e.Kind != spoke.EventDrift {
			continue
		}
		for _, entry := range e.Changes {
			fmt.Fprintf(w, "\t\t\t%s\t%s %s\n", entry.Action, entry.Object, entry.Reason)
			for _, field := range entry.Fields {
				fmt.Fprintf(w, "\t\t\t\t%s\n", field)
			}
		}
	}
}

func newSync(s *settings) *cobra.Command {
	var cluster string
	command := &cobra.Command{
		Use: "sync APP", Short: "Look at Git now and apply an app again, on all clusters or one", Args: cobra.ExactArgs(1),
		Example: "  nave sync checkout\n  nave sync checkout --cluster prod-us-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			c := s.client()
			if err := c.call(cmd.Context(), "POST", "/api/v1/refresh", nil, &struct{}{}); err != nil {
				return err
			}
			return c.act(cmd.Context(), cmd.OutOrStdout(), "/api/v1/sync", hub.Action{App: args[0], Cluster: cluster}, "syncing")
		},
	}
	command.Flags().StringVar(&cluster, "cluster", "", "only there")
	return command
}

func newConfirm(s *settings) *cobra.Command {
	var cluster, reason string
	command := &cobra.Command{
		Use: "confirm DIGEST --reason TEXT", Short: "Allow the deletions of a held list, which nave status names by its digest", Args: cobra.ExactArgs(1),
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
		Use: "pause [APP] --for DURATION --reason TEXT", Short: "Write nothing to an app, or a cluster, for a while; --for 0s ends a pause", Args: cobra.MaximumNArgs(1),
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

func newWait(s *settings) *cobra.Command {
	var revision string
	var timeout time.Duration
	command := &cobra.Command{
		Use: "wait [--revision SHA] [--timeout DURATION]", Short: "Wait until every cluster is Synced and Healthy", Args: cobra.NoArgs,
		Example: "  nave wait --revision $(git rev-parse HEAD) --timeout 10m",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := s.client()
			began, last := time.Now(), ""
			var from int64
			for {
				fleet, err := c.fleet(cmd.Context())
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

// converged reports whether the whole fleet is as Git says, and how far it is.
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
	if len(waiting) > 0 {
		line += "; waiting for " + strings.Join(waiting[:min(5, len(waiting))], ", ")
		if len(waiting) > 5 {
			line += fmt.Sprintf(" and %d more", len(waiting)-5)
		}
	}
	return len(fleet.Clusters) > 0 && done == len(fleet.Clusters), line
}
