package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nave.dev/internal/desired/worktree"
	"nave.dev/internal/object"
)

func newHealth(s *settings) *cobra.Command {
	var file, repo string
	command := s.outputFlag(&cobra.Command{
		Use:   "health -f FILE [--repo DIR]",
		Short: "Show the health of objects in a file, as Nave judges it, and by which check",
		Long: `health judges objects as they were read from a cluster, status and all, without a
cluster or a hub. With --repo, the health checks of that fleet repository come
before those that Nave ships. With -o json each is an object of group (if any),
kind, namespace, name, status, message and check.

Exit code 3 says that an object is neither Healthy nor Suspended.`,
		Example: "  kubectl get deployment web -o yaml | nave health -f -\n  nave health -f dump.yaml --repo . -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			objects, err := worktree.ReadObjects(file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			verdicts, err := worktree.Judge(cmd.Context(), repo, objects)
			if err != nil {
				return err
			}
			if err := s.print(cmd.OutOrStdout(), verdicts, func(w io.Writer) { writeVerdicts(w, verdicts) }); err != nil {
				return err
			}
			return verdictAnswer(verdicts)
		},
	})
	command.Flags().StringVarP(&file, "filename", "f", "", "file of objects, as YAML or JSON; - is standard input")
	command.Flags().StringVar(&repo, "repo", "", "directory of a fleet repository whose health checks are to count")
	command.MarkFlagRequired("filename")
	return command
}

func writeVerdicts(w io.Writer, verdicts []worktree.Verdict) {
	fmt.Fprintln(w, "OBJECT\tSTATUS\tCHECK\tMESSAGE")
	for _, v := range verdicts {
		id := object.ID{Group: v.Group, Kind: v.Kind, Namespace: v.Namespace, Name: v.Name}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", id, v.Status, v.Check, firstLine(v.Message))
	}
}

// verdictAnswer is no error if no object has anything wrong.
func verdictAnswer(verdicts []worktree.Verdict) error {
	ill := 0
	for _, v := range verdicts {
		if v.Status != "Healthy" && v.Status != "Suspended" {
			ill++
		}
	}
	if ill > 0 {
		return &NotSoError{fmt.Sprintf("%d of %s not healthy", ill, count(len(verdicts), "object"))}
	}
	return nil
}
