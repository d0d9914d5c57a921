package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/store"
)

func newAudit(s *settings) *cobra.Command {
	query := url.Values{}
	var since time.Duration
	var limit int
	var who, action, cluster string
	command := s.outputFlag(&cobra.Command{
		Use:     "audit [--actor NAME] [--action NAME] [--cluster NAME] [--since DURATION] [--limit N]",
		Short:   "Show who did what, and who was refused, the newest first",
		Example: "  nave audit --since 24h\n  nave audit --action confirm --cluster prod-us-1 -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || since < 0 {
				return &UsageError{errors.New("--limit is at least 1, and --since not negative")}
			}
			for name, value := range map[string]string{"actor": who, "action": action, "cluster": cluster} {
				query.Set(name, value)
			}
			if since > 0 {
				query.Set("since", time.Now().Add(-since).UTC().Format(time.RFC3339))
			}
			entries := []store.Entry{}
			for {
				query.Set("limit", strconv.Itoa(min(limit-len(entries), 1000)))
				var page store.EntryPage
				if err := s.client().call(cmd.Context(), http.MethodGet, "/api/v1/audit?"+query.Encode(), nil, &page); err != nil {
					return err
				}
				entries = append(entries, page.Entries...)
				if len(entries) >= limit || page.Next.IsZero() {
					break
				}
				next, err := page.Next.MarshalText()
				if err != nil {
					return err
				}
				query.Set("before", string(next))
			}
			return s.print(cmd.OutOrStdout(), entries, func(w io.Writer) { writeEntries(w, entries) })
		},
	})
	flags := command.Flags()
	flags.StringVar(&who, "actor", "", "only of this user")
	flags.StringVar(&action, "action", "", "only this, such as sync, pause, confirm, join or login")
	flags.StringVar(&cluster, "cluster", "", "only on this cluster")
	flags.DurationVar(&since, "since", 0, "only of the last such time, as 24h")
	flags.IntVar(&limit, "limit", 100, "how many at most")
	return command
}

func writeEntries(w io.Writer, entries []store.Entry) {
	fmt.Fprintln(w, "TIME\tACTOR\tACTION\tCLUSTER\tAPP\tOUTCOME\tREASON")
	for _, e := range entries {
		outcome := e.Outcome
		if outcome == "" {
			outcome = "broken off"
		}
		who := e.Actor
		if e.Address != "" {
			who = strings.TrimPrefix(who+" from "+e.Address, " ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format(time.DateTime), who, e.Action, e.Cluster, e.App, outcome, e.Reason)
	}
}
