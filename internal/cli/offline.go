package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/worktree"
	"nave.dev/internal/object"
)

// compile is how repositories are compiled without a hub.
func (s *settings) compile() worktree.Options {
	return worktree.Options{Caches: s.directory(), Worker: s.worker}
}

func newValidate(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check a fleet repository: its documents, and that every app of every cluster renders",
		Example: `  nave validate
  nave validate ../fleet -o json`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			ctx := cmd.Context()
			tree, err := worktree.Open(ctx, dir, s.compile())
			if err != nil {
				return err
			}
			defer tree.Close()
			found, err := tree.Validate(ctx)
			if err != nil {
				return err
			}
			report := findings{found.Clusters, found.Apps, found.Objects, sentences(found.Problems, found.Clusters), sentences(found.Warnings, found.Clusters)}
			if err := s.print(cmd.OutOrStdout(), report, func(w io.Writer) { report.write(w) }); err != nil {
				return err
			}
			if len(report.Problems) > 0 {
				return &NotSoError{count(len(report.Problems), "problem")}
			}
			return nil
		},
	})
}

// findings are what validate says.
type findings struct {
	Clusters int      `json:"clusters"`
	Apps     int      `json:"apps"`
	Objects  int      `json:"objects"`
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

// sentences are findings with the clusters that have them, of so many.
func sentences(found []worktree.Finding, clusters int) []string {
	texts := []string{}
	for _, f := range found {
		if len(f.Clusters) > 0 {
			f.Text = located(f.Text, among(f.Clusters, clusters))
		}
		texts = append(texts, f.Text)
	}
	return texts
}

func (f findings) write(w io.Writer) {
	for _, problem := range f.Problems {
		fmt.Fprintln(w, problem)
	}
	for _, warning := range f.Warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
	fmt.Fprintf(w, "%s, %s, %s: %s, %s\n", count(f.Clusters, "cluster"), count(f.Apps, "app"), count(f.Objects, "object"),
		count(len(f.Problems), "problem"), count(len(f.Warnings), "warning"))
}

// located says after the first line of a problem which clusters have it: what follows are hints, and other problems.
func located(text, clusters string) string {
	first, rest, more := strings.Cut(text, "\n")
	if more {
		rest = "\n" + rest
	}
	return first + " (on " + clusters + ")" + rest
}

// among names clusters for a sentence.
func among(clusters []string, all int) string {
	slices.Sort(clusters)
	switch {
	case len(clusters) == all && all > 1:
		return fmt.Sprintf("all %d clusters", all)
	case len(clusters) > 4:
		return fmt.Sprintf("%s and %d more", strings.Join(clusters[:4], ", "), len(clusters)-4)
	}
	return strings.Join(clusters, ", ")
}

func newRender(s *settings) *cobra.Command {
	var cluster, name, dir string
	command := &cobra.Command{
		Use:     "render --cluster NAME [--app NAME] [--repo DIR]",
		Short:   "Print what a cluster should hold, as the files of a directory say",
		Example: "  nave render --cluster prod-us-1\n  nave render --cluster prod-us-1 --app checkout",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			tree, err := worktree.Open(ctx, dir, s.compile())
			if err != nil {
				return err
			}
			defer tree.Close()
			if tree.Fleet.Name == "" && len(tree.Members()) == 0 {
				return fmt.Errorf("no fleet can be read in %q\nhint: --repo names the directory with fleet.yaml; nave validate says what is wrong with one", dir)
			}
			if names := tree.Members(); !slices.Contains(names, cluster) {
				return noCluster(cluster, names, len(tree.Problems))
			}
			compiled, err := tree.Compile(ctx, []string{cluster})
			if err != nil {
				return errors.Join(err, tree.Problems.Err())
			}
			found, failed := false, errors.Join(compiled[cluster].Problems...)
			for _, d := range compiled[cluster].Apps {
				if name != "" && d.Name != name {
					continue
				}
				found = true
				if d.Err != nil {
					failed = errors.Join(failed, fmt.Errorf("app %s: %w", d.Name, d.Err))
					continue
				}
				for _, u := range append(slices.Clone(d.Bundle.Objects), d.Bundle.Hooks...) {
					text, err := yaml.Marshal(object.Redact(u, nil).Object)
					if err != nil {
						return err
					}
					fmt.Fprintf(cmd.OutOrStdout(), "---\n# app: %s\n%s", describeApp(d), text)
				}
			}
			if !found && name != "" {
				var names []string
				for _, d := range compiled[cluster].Apps {
					names = append(names, d.Name)
				}
				return fmt.Errorf("cluster %s has no app %q\nhint: it has %s", cluster, name, orNothing(names))
			}
			return failed
		},
	}
	command.Flags().StringVar(&cluster, "cluster", "", "the cluster")
	command.Flags().StringVar(&name, "app", "", "only this app")
	command.Flags().StringVar(&dir, "repo", ".", "directory of the fleet repository")
	command.MarkFlagRequired("cluster")
	return command
}

// describeApp names an app and, if it came of one, that.
func describeApp(d app.Desired) string {
	if parent := d.Options.Lineage.Parent; parent != "" {
		return d.Name + ", of " + parent
	}
	return d.Name
}

// noCluster says that a repository has no such cluster.
func noCluster(name string, names []string, problems int) error {
	hint := "it has " + orNothing(names)
	if problems > 0 {
		hint = fmt.Sprintf("its documents have %s: nave validate", count(problems, "problem"))
	}
	return fmt.Errorf("the fleet has no cluster %q\nhint: %s", name, hint)
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return among(names, 0)
}

func newPlan(s *settings) *cobra.Command {
	var from, to, dir string
	command := s.outputFlag(&cobra.Command{
		Use:   "plan [--from REV] [--to REV] [--repo DIR]",
		Short: "Show what a change in Git would do on every cluster; asks no cluster",
		Long: `plan compares two revisions of a fleet repository and shows, per app, which
objects of which clusters are added, changed and removed. Equal changes on several
clusters are shown once. Revisions are whatever git rev-parse understands.

Exit code 3 says that the revision gone to has problems; changes alone are no reason.`,
		Example: "  nave plan --from main --to my-branch\n  nave plan --from HEAD~1 --to HEAD -o json",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan, err := worktree.Plan(cmd.Context(), dir, from, to, s.compile())
			if err != nil {
				return err
			}
			if err := s.print(cmd.OutOrStdout(), plan, func(w io.Writer) { io.WriteString(w, plan.String()) }); err != nil {
				return err
			}
			if len(plan.Problems) > 0 {
				return &NotSoError{count(len(plan.Problems), "problem")}
			}
			return nil
		},
	})
	command.Flags().StringVar(&from, "from", "HEAD~1", "the revision before")
	command.Flags().StringVar(&to, "to", "HEAD", "the revision after")
	command.Flags().StringVar(&dir, "repo", ".", "directory of the fleet repository")
	return command
}
