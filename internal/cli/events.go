package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/spoke"
)

func newEvents(s *settings) *cobra.Command {
	var follow bool
	var cluster, app string
	var since time.Duration
	var limit int
	command := s.outputFlag(&cobra.Command{
		Use: "events [--cluster NAME] [--app NAME] [--since DURATION [--limit N] | --follow]", Short: "Show what was done and why, oldest first", Args: arguments(0, 0),
		Example: "  nave events --follow\n  nave events --cluster prod-us-1 -o json\n  nave events --since 168h --app checkout",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since < 0 || limit < 1 || since > 0 && follow {
				return &UsageError{errors.New("--since is positive and goes without --follow, and --limit is at least 1")}
			}
			if since > 0 {
				return s.showHistory(cmd, url.Values{"cluster": {cluster}, "app": {app}, "since": {time.Now().Add(-since).UTC().Format(time.RFC3339)}}, limit)
			}
			return s.showEvents(cmd, follow, func(e spoke.Event) bool {
				return (cluster == "" || e.Cluster == cluster) && (app == "" || e.App == app)
			})
		},
	})
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on as events come")
	command.Flags().StringVar(&cluster, "cluster", "", "only of this cluster")
	command.Flags().StringVar(&app, "app", "", "only of this app")
	command.Flags().DurationVar(&since, "since", 0, "out of the history, of the last such time, as 24h")
	command.Flags().IntVar(&limit, "limit", 1000, "how many of the history at most, the newest")
	return command
}

func newDrift(s *settings) *cobra.Command {
	var follow bool
	command := s.outputFlag(&cobra.Command{
		Use: "drift [--follow]", Short: "Show who changed what on which cluster, and what was done about it", Args: arguments(0, 0),
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
	all := []spoke.Event{} // so far, where they are not followed
	for {
		wait := time.Duration(0)
		if from > 0 && follow {
			wait = 30 * time.Second
		}
		page, err := c.events(cmd.Context(), from, wait)
		if follow && errors.Is(err, context.Canceled) {
			return nil // Ctrl-C is how following ends
		}
		if err != nil {
			return err
		}
		last := !page.More
		from = max(page.Next, 1)
		events := slices.DeleteFunc(page.Events, func(e spoke.Event) bool { return !want(e) })
		if !follow {
			if all = append(all, events...); !last {
				continue
			}
			return s.print(cmd.OutOrStdout(), all, func(w io.Writer) { writeEvents(w, all) })
		}
		if err := s.stream(cmd.OutOrStdout(), events); err != nil {
			return err
		}
	}
}

// stream writes events to which others are to follow: as JSON one to a line, as
// YAML one to a document.
func (s *settings) stream(out io.Writer, events []spoke.Event) error {
	switch s.output {
	case "json":
		encoder := json.NewEncoder(out)
		for _, e := range events {
			if err := encoder.Encode(e); err != nil {
				return err
			}
		}
		return nil
	case "yaml":
		for _, e := range events {
			text, err := yaml.Marshal(e)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "---\n%s", text); err != nil {
				return err
			}
		}
		return nil
	}
	const width = 16 // so that what comes lines up with what came, mostly
	return writeTable(out, width, func(w io.Writer) { writeEvents(w, events) })
}

func writeEvents(w io.Writer, events []spoke.Event) {
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format(time.DateTime), e.Cluster, e.App, e.Kind, firstLine(e.Message))
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
