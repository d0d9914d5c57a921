package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
	"nave.dev/internal/spoke"
)

func newDiff(s *settings) *cobra.Command {
	var cluster, name string
	command := s.outputFlag(&cobra.Command{
		Use:   "diff --cluster NAME [--app NAME]",
		Short: "Show what a sync would change on a cluster now, field by field; writes nothing",
		Long: `diff asks a cluster what syncs of its apps would change now, by dry runs of its
API server: objects created, updated, adopted and deleted, every field with the
manager that made it what it is. Values of Secrets are veiled. Nothing is written,
and it works while the cluster is paused or another hub writes to it.

Exit code 3 says that something differs, 0 that nothing does.`,
		Example: "  nave diff --cluster prod-us-1\n  nave diff --cluster prod-us-1 --app checkout -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			diffs, err := s.client().diff(cmd.Context(), cluster, name)
			if errors.Is(err, errNobody) {
				return nobody(hub.Action{Cluster: cluster})
			}
			if err != nil {
				return err
			}
			if err := s.print(cmd.OutOrStdout(), diffs, func(w io.Writer) { writeDiffs(w, diffs) }); err != nil {
				return err
			}
			err = diffAnswer(diffs)
			if err == nil && s.output == "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing would change")
			}
			return err
		},
	})
	command.Flags().StringVar(&cluster, "cluster", "", "the cluster")
	command.Flags().StringVar(&name, "app", "", "only this app")
	command.MarkFlagRequired("cluster")
	return command
}

func writeDiffs(w io.Writer, diffs []spoke.AppDiff) {
	for _, diff := range diffs {
		if len(diff.Changes) == 0 && diff.Error == "" {
			continue
		}
		fmt.Fprint(w, diff.App)
		if diff.Note != "" {
			fmt.Fprintf(w, " (%s)", diff.Note)
		}
		fmt.Fprintln(w)
		if diff.Error != "" {
			fmt.Fprintf(w, "  cannot be told: %s\n", diff.Error)
		}
		for _, entry := range diff.Changes {
			fmt.Fprintf(w, "  %-9s %s", entry.Action, entry.Object)
			if entry.Reason != "" {
				fmt.Fprintf(w, ": %s", firstLine(entry.Reason))
			}
			fmt.Fprintln(w)
			for _, field := range entry.Fields {
				fmt.Fprintf(w, "              %s\n", field)
			}
		}
	}
}

// diffAnswer is no error if nothing differs, and all of it could be told.
func diffAnswer(diffs []spoke.AppDiff) error {
	objects, failed := 0, 0
	for _, diff := range diffs {
		objects += len(diff.Changes)
		if diff.Error != "" {
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("of %s it cannot be told what a sync would change", count(failed, "app"))
	case objects > 0:
		return &NotSoError{count(objects, "object") + " would change"}
	}
	return nil
}

func newOrphans(s *settings) *cobra.Command {
	var cluster string
	command := s.outputFlag(&cobra.Command{
		Use: "orphans [--cluster NAME]", Short: "List objects whose app is no longer assigned to their cluster", Args: arguments(0, 0),
		Long: `orphans lists the objects that stayed on a cluster when their app left it, because
its Delivery was removed or selects the cluster no more. Nothing deletes them: an
app that has such an object in Git takes it over as it is, and who wants it gone
deletes it.`,
		Example: "  nave orphans\n  nave orphans --cluster prod-us-1 -o yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := s.client().orphans(cmd.Context(), cluster)
			if errors.Is(err, errNobody) {
				return nobody(hub.Action{Cluster: cluster})
			}
			if err != nil {
				return err
			}
			if err := s.print(cmd.OutOrStdout(), found, func(w io.Writer) { writeOrphans(w, found.Orphans) }); err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(found.Errors)) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", name, firstLine(found.Errors[name]))
			}
			if len(found.Errors) > 0 {
				return fmt.Errorf("%s could not be asked", count(len(found.Errors), "cluster"))
			}
			if len(found.Orphans) > 0 && s.output == "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "hint: an app of the cluster that has the object in Git adopts it; kubectl delete removes it")
			}
			return nil
		},
	})
	command.Flags().StringVar(&cluster, "cluster", "", "only of this cluster")
	return command
}

func writeOrphans(w io.Writer, orphans []spoke.Orphan) {
	fmt.Fprintln(w, "CLUSTER\tOBJECT\tAPP\tSINCE")
	for _, o := range orphans {
		since := "not known"
		if !o.Since.IsZero() {
			since = o.Since.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", o.Cluster, o.Object, o.App, since)
	}
}
