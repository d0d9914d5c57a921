package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/object"
)

// worktree opens a pipeline on the directory being edited.
func (s *settings) worktree(ctx context.Context, path string) (*desired.Pipeline, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil, errors.Join(err, fmt.Errorf("%s is no directory", path))
	}
	return desired.Open(ctx, desired.Options{
		Dir: filepath.Join(s.directory(), "local"), Worktree: path, WorkerCommand: s.worker,
	})
}

// noFacts is what is known of clusters that are not asked.
func noFacts(string) app.Facts { return app.Facts{} }

func newValidate(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check a fleet repository: its documents, and that every app of every cluster renders",
		Example: `  nave validate
  nave validate ../fleet -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			ctx := cmd.Context()
			pipeline, err := s.worktree(ctx, dir)
			if err != nil {
				return err
			}
			defer pipeline.Close()
			pinned, err := pipeline.Pin(ctx)
			if err != nil {
				return err
			}
			compiled, err := pipeline.Compile(ctx, pinned, membersOf(pinned), noFacts)
			if err != nil {
				return err
			}
			report := validation(pinned, compiled)
			if err := s.print(cmd.OutOrStdout(), report, func(w io.Writer) { report.write(w) }); err != nil {
				return err
			}
			if len(report.Problems) > 0 {
				return &NotSoError{fmt.Sprintf("%d problems", len(report.Problems))}
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

func validation(pinned *desired.Pinned, compiled map[string]*desired.Compiled) findings {
	report := findings{Clusters: len(pinned.Fleet.Members), Problems: []string{}, Warnings: []string{}}
	for _, problem := range pinned.Problems {
		report.Problems = append(report.Problems, problem.String())
	}
	for _, warning := range pinned.Fleet.Warnings {
		report.Warnings = append(report.Warnings, warning.String())
	}
	problems, warnings := map[string][]string{}, map[string][]string{}
	for cluster, c := range compiled {
		for _, d := range c.Apps {
			report.Apps++
			if d.Err != nil {
				text := d.Name + ": " + d.Err.Error()
				problems[text] = append(problems[text], cluster)
				continue
			}
			report.Objects += len(d.Bundle.Objects)
			for _, warning := range c.Warnings[d.Name] {
				text := d.Name + ": " + warning
				warnings[text] = append(warnings[text], cluster)
			}
		}
	}
	for text, clusters := range problems {
		report.Problems = append(report.Problems, text+" (on "+among(clusters, report.Clusters)+")")
	}
	for text, clusters := range warnings {
		report.Warnings = append(report.Warnings, text+" (on "+among(clusters, report.Clusters)+")")
	}
	slices.Sort(report.Problems)
	slices.Sort(report.Warnings)
	return report
}

func (f findings) write(w io.Writer) {
	for _, problem := range f.Problems {
		fmt.Fprintln(w, problem)
	}
	for _, warning := range f.Warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
	fmt.Fprintf(w, "%d clusters, %d apps, %d objects: %d problems, %d warnings\n", f.Clusters, f.Apps, f.Objects, len(f.Problems), len(f.Warnings))
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

func membersOf(pinned *desired.Pinned) []string {
	var names []string
	for _, member := range pinned.Fleet.Members {
		names = append(names, member.Name)
	}
	return names
}

func newRender(s *settings) *cobra.Command {
	var cluster, name, dir string
	command := &cobra.Command{
		Use:     "render --cluster NAME [--app NAME]",
		Short:   "Print what a cluster should hold, as the files of a directory say",
		Example: "  nave render --cluster prod-us-1\n  nave render --cluster prod-us-1 --app checkout",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			pipeline, err := s.worktree(ctx, dir)
			if err != nil {
				return err
			}
			defer pipeline.Close()
			pinned, err := pipeline.Pin(ctx)
			if err != nil {
				return err
			}
			compiled, err := pipeline.Compile(ctx, pinned, []string{cluster}, noFacts)
			if err != nil {
				return errors.Join(err, pinned.Problems.Err())
			}
			found, failed := false, error(nil)
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
					fmt.Fprintf(cmd.OutOrStdout(), "---\n# app: %s\n%s", d.Name, text)
				}
			}
			if !found && name != "" {
				return fmt.Errorf("cluster %s has no app %q", cluster, name)
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

func newPlan(s *settings) *cobra.Command {
	var from, to, dir string
	command := s.outputFlag(&cobra.Command{
		Use:   "plan [--from REV] [--to REV]",
		Short: "Show what a change in Git would do on every cluster; asks no cluster",
		Long: `plan compares two revisions of a fleet repository and shows, per app, which
objects of which clusters are added, changed and removed. Equal changes on several
clusters are shown once. Revisions are whatever git rev-parse understands.`,
		Example: "  nave plan --from main --to my-branch\n  nave plan --from HEAD~1 --to HEAD -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
			if err != nil {
				return err
			}
			before, err := git(ctx, dir, "rev-parse", "--verify", "--end-of-options", from+"^{commit}")
			if err != nil {
				return err
			}
			after, err := git(ctx, dir, "rev-parse", "--verify", "--end-of-options", to+"^{commit}")
			if err != nil {
				return err
			}
			pipeline, err := desired.Open(ctx, desired.Options{
				Dir: filepath.Join(s.directory(), "plan"), Repository: desired.Repository{URL: top}, WorkerCommand: s.worker,
			})
			if err != nil {
				return err
			}
			defer pipeline.Close()
			for _, state := range pipeline.Fetch(ctx, nil) {
				if state.Err != "" {
					return fmt.Errorf("reading %s: %s", top, state.Err)
				}
			}
			plan, err := pipeline.Plan(ctx, v1alpha1.Revision{Commit: before}, v1alpha1.Revision{Commit: after})
			if err != nil {
				return err
			}
			return s.print(cmd.OutOrStdout(), plan, func(w io.Writer) { io.WriteString(w, plan.String()) })
		},
	})
	command.Flags().StringVar(&from, "from", "HEAD~1", "the revision before")
	command.Flags().StringVar(&to, "to", "HEAD", "the revision after")
	command.Flags().StringVar(&dir, "repo", ".", "directory of the fleet repository")
	return command
}

// git asks git one question about a directory.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %s", strings.Join(args, " "), strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
