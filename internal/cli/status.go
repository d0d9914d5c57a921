package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
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
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := s.client().fleet(cmd.Context(), s.shown(hub.UnwellApps))
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), fleet, func(w io.Writer) { writeStatus(w, fleet) })
		},
	})
}

func writeStatus(w io.Writer, fleet hub.Fleet) {
	fmt.Fprintf(w, "fleet %s: %s, %s\n", cmp.Or(fleet.Name, "(not read yet)"), fleet.Sync, fleet.Health)
	if fleet.Revision.Commit != "" {
		fmt.Fprintf(w, "commit %.12s %s\n", fleet.Revision.Commit, fleet.Revision.Subject)
	}
	writeRecovering(w, fleet.Recovering)
	told := writeFailing(w, fleet)
	if fleet.Revision.Error != "" && !told {
		fmt.Fprintln(w, "not in force:", fleet.Revision.Error)
	}
	for _, problem := range fleet.Revision.Problems {
		fmt.Fprintln(w, "problem:", problem)
	}
	fmt.Fprintln(w)
	writeClusters(w, fleet)
	var rows []string // what is the same on several clusters is one
	clusters := map[string][]string{}
	for _, c := range fleet.Clusters {
		for _, app := range c.Apps {
			if app.Sync != spoke.Synced || app.Health.Status != spoke.Healthy {
				row := strings.Join([]string{app.Name, app.Parent, string(app.Sync), string(app.Health.Status), reason(app)}, "\t")
				if clusters[row] == nil {
					rows = append(rows, row)
				}
				clusters[row] = append(clusters[row], c.Cluster)
			}
		}
	}
	const most = 30
	if len(rows) > 0 {
		fmt.Fprintln(w, "\nCLUSTER\tAPP\tOF\tSYNC\tHEALTH\tWHY")
		for _, row := range rows[:min(len(rows), most)] {
			fmt.Fprintln(w, among(clusters[row], len(fleet.Clusters))+"\t"+row)
		}
		if len(rows) > most {
			fmt.Fprintf(w, "and %d more: nave apps\n", len(rows)-most)
		}
	}
}

// writeFailing shows the sources that cannot be fetched, and reports whether one
// of them is why Git's newest state is not in force.
func writeFailing(w io.Writer, fleet hub.Fleet) (told bool) {
	for _, source := range fleet.Sources {
		if !source.Failing() {
			continue
		}
		told = told || strings.Contains(fleet.Revision.Error, source.Err)
		reason := strings.TrimPrefix(source.Err, fmt.Sprintf("fetching source %q: ", source.Source))
		fmt.Fprintf(w, "source %s is failing since %s: %s\n", orNone(source.Name), source.FailingSince.Local().Format(time.DateTime), reason)
		so := "what was fetched before stays in force"
		if source.LastFetched.IsZero() {
			so = "nothing was fetched yet"
		}
		if !fleet.NextFetch.IsZero() {
			so += ", and it is tried again at " + fleet.NextFetch.Local().Format(time.TimeOnly)
		}
		hint := "look at url and credential of the source in fleet.yaml; nave sync APP tries at once"
		if source.Name == "" {
			hint = "look at --repo, --token-file or --ssh-key-file, and --known-hosts-file of nave hub, and whether git ls-remote of it works on the hub's machine"
		}
		fmt.Fprintf(w, "  %s\n  hint: %s\n", so, hint)
	}
	return told
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
	const most = 240 // bytes
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…" // not half a letter
	}
	switch {
	case app.Held == nil:
	case len(app.Problems) > 0: // which a confirmation does not solve
		text += fmt.Sprintf("; also holds %s, to allow: nave confirm %s", count(len(app.Held.Objects), "deletion"), app.Held.Digest)
	default:
		text += "; to allow: nave confirm " + app.Held.Digest
	}
	return text
}

func newClusters(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use: "clusters", Short: "List the clusters", Args: arguments(0, 0), Example: "  nave clusters -o yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fleet, err := s.client().fleet(cmd.Context(), s.shown(hub.NoApps))
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), fleet.Clusters, func(w io.Writer) { writeClusters(w, fleet) })
		},
	})
}

func writeClusters(w io.Writer, fleet hub.Fleet) {
	if len(fleet.Clusters) == 0 {
		why := "the fleet has none, or none that you may see"
		if fleet.Name == "" {
			why = "the hub has not read the fleet repository yet"
		}
		fmt.Fprintln(w, "no clusters: "+why)
		return
	}
	agents := slices.ContainsFunc(fleet.Clusters, func(c hub.Cluster) bool { return c.Agent != nil })
	column := func(text string) string { // of agents, where there are any
		if !agents {
			return ""
		}
		return text + "\t"
	}
	fmt.Fprintln(w, "CLUSTER\tONLINE\tSYNC\tHEALTH\tAPPS\tKUBERNETES\t"+column("IDENTITY")+"NOTE")
	for _, c := range fleet.Clusters {
		online, note := "yes", ""
		switch {
		case !c.Online && !c.OfflineSince.IsZero():
			online, note = "no", fmt.Sprintf("offline since %s: %s", c.OfflineSince.Local().Format(time.DateTime), firstLine(c.Error))
		case !c.Online:
			online, note = "no", firstLine(c.Error)
		case !c.Writer:
			note = "another writer holds it"
		default:
			note = firstLine(c.Error)
		}
		identity := ""
		if c.Agent != nil && c.Agent.Identity > 0 {
			identity = strconv.FormatInt(c.Agent.Identity, 10)
		}
		for _, pause := range c.Pauses {
			what := pause.App
			if what == "" {
				what = "the cluster"
			}
			note = strings.TrimPrefix(fmt.Sprintf("%s; %s is paused until %s by %s: %s", note, what, pause.Until.Local().Format(time.DateTime), pause.Actor, pause.Reason), "; ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s%s\n", c.Cluster, online, c.Sync, c.Health.Status, c.AppsSynced, c.AppCount, c.Version, column(identity), note)
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// The words that filters understand.
var (
	healthWords = []string{"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}
	syncWords   = []string{"Synced", "OutOfSync", "Unknown"}
)

// oneOf refuses the value of a filter that no app can have.
func oneOf(flag, value string, words []string) error {
	if value == "" || slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(word, value) }) {
		return nil
	}
	return &UsageError{fmt.Errorf("--%s is never %q\nhint: it is one of %s", flag, value, strings.Join(words, ", "))}
}

// shown are the apps that are asked for: those that a table needs, or all where the
// data itself is the output.
func (s *settings) shown(table string) string {
	if s.output != "" {
		return hub.AllApps
	}
	return table
}

// appsOf returns the fleet with all apps of a cluster, or of all if none is named.
func (s *settings) appsOf(ctx context.Context, cluster string) (hub.Fleet, error) {
	c := s.client()
	if cluster == "" {
		return c.fleet(ctx, hub.AllApps)
	}
	fleet, err := c.cluster(ctx, cluster)
	if err == nil && len(fleet.Clusters) == 0 {
		if fleet, err = c.fleet(ctx, hub.NoApps); err == nil {
			err = noCluster(cluster, clusterNames(fleet), 0)
		}
	}
	return fleet, err
}

func clusterNames(fleet hub.Fleet) (names []string) {
	for _, c := range fleet.Clusters {
		names = append(names, c.Cluster)
	}
	return names
}

func newApps(s *settings) *cobra.Command {
	var cluster, wantHealth, wantSync string
	command := s.outputFlag(&cobra.Command{
		Use: "apps [--cluster NAME] [--health STATUS] [--sync STATUS]", Short: "List the apps of all clusters", Args: arguments(0, 0),
		Example: "  nave apps --cluster prod-us-1\n  nave apps --health Degraded\n  nave apps --sync OutOfSync -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(oneOf("health", wantHealth, healthWords), oneOf("sync", wantSync, syncWords)); err != nil {
				return err
			}
			fleet, err := s.appsOf(cmd.Context(), cluster)
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
					if (wantHealth == "" || strings.EqualFold(wantHealth, string(app.Health.Status))) &&
						(wantSync == "" || strings.EqualFold(wantSync, string(app.Sync))) {
						rows = append(rows, row{c.Cluster, app})
					}
				}
			}
			return s.print(cmd.OutOrStdout(), rows, func(w io.Writer) {
				fmt.Fprintln(w, "CLUSTER\tAPP\tOF\tSYNC\tHEALTH\tOBJECTS\tSOURCE\tWHY")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Cluster, r.Name, r.Parent, r.Sync, r.Health.Status, r.Objects, r.Source, reason(r.AppState))
				}
			})
		},
	})
	command.Flags().StringVar(&cluster, "cluster", "", "only of this cluster")
	command.Flags().StringVar(&wantHealth, "health", "", "only with this health, such as Degraded")
	command.Flags().StringVar(&wantSync, "sync", "", "only with this sync status, such as OutOfSync")
	return command
}
