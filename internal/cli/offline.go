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

// worktree opens a pipeline on the directory being edited, which the caller
// closes, and pins what is there.
func (s *settings) worktree(ctx context.Context, path string) (*desired.Pipeline, *desired.Pinned, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil, nil, fmt.Errorf("%s is no directory\nhint: name the directory with fleet.yaml, or begin one with nave init", path)
	}
	pipeline, err := desired.Open(ctx, desired.Options{
		Dir: filepath.Join(s.directory(), "local"), Worktree: path, WorkerCommand: s.worker, Repository: knownAs(ctx, path),
	})
	if err != nil {
		return nil, nil, err
	}
	pinned, err := pipeline.Pin(ctx)
	if err != nil {
		pipeline.Close()
		return nil, nil, err
	}
	return pipeline, pinned, nil
}

// knownAs returns what Argo CD's objects may call the repository in a directory:
// the URLs of its remotes, and the branch that what is there may become. There are
// none of a directory without Git.
func knownAs(ctx context.Context, dir string) (repository desired.Repository) {
	if urls, err := git(ctx, dir, "config", "--get-regexp", `^remote\..*\.url$`); err == nil {
		for line := range strings.Lines(urls) {
			if _, url, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				repository.URLs = append(repository.URLs, url)
			}
		}
	}
	repository.Revision.Branch = "main"
	if name, err := git(ctx, dir, "symbolic-ref", "--quiet", "refs/remotes/origin/HEAD"); err == nil {
		repository.Revision.Branch = strings.TrimPrefix(name, "refs/remotes/origin/")
	}
	return repository
}

// noFacts is what is known of clusters that are not asked.
func noFacts(string) app.Facts { return app.Facts{} }

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
			pipeline, pinned, err := s.worktree(ctx, dir)
			if err != nil {
				return err
			}
			defer pipeline.Close()
			compiled, err := pipeline.Compile(ctx, pinned, pinned.Members(), noFacts)
			if err != nil {
				return err
			}
			report := validation(pinned, compiled)
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
		for _, problem := range c.Problems {
			problems[problem.Error()] = append(problems[problem.Error()], cluster)
		}
		for _, d := range c.Apps {
			report.Apps++
			if d.Err != nil {
				if pinned.Reported(d.Err) {
					continue
				}
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
		report.Problems = append(report.Problems, located(text, among(clusters, report.Clusters)))
	}
	for text, clusters := range warnings {
		report.Warnings = append(report.Warnings, located(text, among(clusters, report.Clusters)))
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
			pipeline, pinned, err := s.worktree(ctx, dir)
			if err != nil {
				return err
			}
			defer pipeline.Close()
			if pinned.Fleet.Name == "" && len(pinned.Members()) == 0 {
				return fmt.Errorf("no fleet can be read in %q\nhint: --repo names the directory with fleet.yaml; nave validate says what is wrong with one", dir)
			}
			if names := pinned.Members(); !slices.Contains(names, cluster) {
				return noCluster(cluster, names, len(pinned.Problems))
			}
			compiled, err := pipeline.Compile(ctx, pinned, []string{cluster}, noFacts)
			if err != nil {
				return errors.Join(err, pinned.Problems.Err())
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
			ctx := cmd.Context()
			top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
			if err != nil {
				return fmt.Errorf("%w\nhint: plan compares commits; --repo says in which directory", err)
			}
			before, err := commitOf(ctx, dir, from)
			if err != nil {
				return err
			}
			after, err := commitOf(ctx, dir, to)
			if err != nil {
				return err
			}
			repository := knownAs(ctx, top)
			repository.URL = top
			pipeline, err := desired.Open(ctx, desired.Options{
				Dir: filepath.Join(s.directory(), "plan"), Repository: repository, WorkerCommand: s.worker,
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

// commitOf returns the hash of the commit that a revision names.
func commitOf(ctx context.Context, dir, revision string) (string, error) {
	commit, err := git(ctx, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("there is no revision %q\nhint: --from and --to name branches, tags or commits; by default the last commit is compared with the one before", revision)
	}
	return commit, err
}

// git asks git one question about a directory.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("git %s: %s", strings.Join(args, " "), strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
