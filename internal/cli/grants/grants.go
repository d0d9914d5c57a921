// Package grants is nave cluster rights: it prints what gives the rights that apps of a
// cluster lack, or need. What these are is decided in package rights; nothing is granted.
package grants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/worktree"
	"nave.dev/internal/hub"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/rights"
)

// Shell is what the command has in common with the others of nave.
type Shell struct {
	// Fleet asks the hub for a cluster with its apps.
	Fleet func(ctx context.Context, cluster string) (hub.Fleet, error)
	// Compile is how a repository is compiled without a hub, and NoCluster the error
	// that it has no cluster of a name, of those that it has.
	Compile   func() worktree.Options
	NoCluster func(name string, names []string, problems int) error
	// Arguments wants so many arguments.
	Arguments func(least, most int) cobra.PositionalArgs
	// Output adds -o to a command; Form is what it was given, and Print prints in it.
	Output func(*cobra.Command) *cobra.Command
	Form   func() string
	Print  func(out io.Writer, data any, table func(io.Writer)) error
}

// New returns nave cluster rights.
func New(s Shell) *cobra.Command {
	var all bool
	var dir string
	command := s.Output(&cobra.Command{
		Use:   "rights NAME [--all [--repo DIR]]",
		Short: "Print the manifest that gives the rights that apps of a cluster lack",
		Long: `rights prints roles and their bindings for what apps of the cluster are held for: of
the agent, and of the accounts as which it writes. Nave cannot give rights: a person
reviews the manifest and applies it, with kubectl and rights of one's own. The apps
go on within a minute, or with nave sync.

With --all it prints what all apps of the cluster need, as the files of a fleet
repository say: also before an agent is there. It asks no hub and no cluster, and
takes an agent that was installed by nave cluster join. A release of Helm counts as its
chart renders without the cluster; where that may be otherwise there, it says so.`,
		Example: "  nave cluster rights edge-1\n  nave cluster rights edge-1 | kubectl --context edge-1 apply -f -\n  nave cluster rights edge-1 --all --repo ../fleet",
		Args:    s.Arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all = all || dir != ""
			read := s.lacking
			if all {
				read = func(ctx context.Context, cluster string) ([]string, []rights.Rule, error) {
					return s.needing(ctx, cluster, dir, func(note string) { fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", note) })
				}
			}
			apps, rules, err := read(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(rules) == 0 && s.Form() == "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "no app of %s is known to lack a right\n", args[0])
				return nil
			}
			if s.Form() == "" {
				text, err := rights.Text(args[0], apps, rules, all)
				if err == nil {
					_, err = cmd.OutOrStdout().Write(text)
				}
				return err
			}
			items := append([]runtime.Object{}, rights.Manifest(rules, all)...)
			return s.Print(cmd.OutOrStdout(), map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, nil)
		},
	})
	command.Flags().BoolVar(&all, "all", false, "what all apps need, by the files of a fleet repository")
	command.Flags().StringVar(&dir, "repo", "", "directory of the fleet repository for --all (default: the present one)")
	return command
}

// lacking returns the apps of a cluster that are held for want of rights, and which.
func (s Shell) lacking(ctx context.Context, cluster string) (apps []string, rules []rights.Rule, err error) {
	fleet, err := s.Fleet(ctx, cluster)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range fleet.Clusters {
		for _, one := range c.Apps {
			if len(one.Lacks) > 0 {
				apps, rules = append(apps, one.Name), append(rules, one.Lacks...)
			}
		}
	}
	return apps, rights.Merge(rules), unknownRights(fleet)
}

// unknownRights says why it is not known what a cluster lacks, if so.
func unknownRights(fleet hub.Fleet) error {
	for _, c := range fleet.Clusters {
		if !c.Online {
			return fmt.Errorf("cluster %s does not say what it lacks: %s\nhint: nave cluster rights %s --all, in the fleet repository, prints what all of its apps need", c.Cluster, c.Error, c.Cluster)
		}
	}
	return nil
}

// needing returns the apps that a cluster should hold, and the rights that they need. It
// tells what may be otherwise on the cluster.
func (s Shell) needing(ctx context.Context, cluster, dir string, tell func(note string)) (apps []string, rules []rights.Rule, err error) {
	if dir == "" {
		dir = "."
	}
	tree, err := worktree.Open(ctx, dir, s.Compile())
	if err != nil {
		return nil, nil, err
	}
	defer tree.Close()
	if names := tree.Members(); !slices.Contains(names, cluster) {
		return nil, nil, s.NoCluster(cluster, names, len(tree.Problems))
	}
	compiled, err := tree.Compile(ctx, []string{cluster})
	if err != nil {
		return nil, nil, errors.Join(err, tree.Problems.Err())
	}
	failed := errors.Join(compiled[cluster].Problems...)
	kinds := rights.KindsOf(app.Facts{}, compiled[cluster].Apps)
	released, err := tree.Releases(ctx, cluster, compiled[cluster].Apps)
	if err != nil {
		return nil, nil, err
	}
	for _, desired := range compiled[cluster].Apps {
		failed = errors.Join(failed, desired.Err)
		apps, rules = append(apps, desired.Name), append(rules, rights.Of(desired, kinds)...)
		objects := released(desired.Bundle)
		switch {
		case objects == nil:
		case objects.Err != nil:
			tell(fmt.Sprintf("what the objects of the release of app %q need is told when it is rendered on the cluster: %v", desired.Name, objects.Err))
		default:
			rules = append(rules, rights.OfRelease(desired, kinds, identities(objects.Bundle.Objects), identities(objects.Bundle.Hooks))...)
			for _, doubt := range objects.Doubts {
				tell(fmt.Sprintf("the release of app %q may need other rights on the cluster: %s", desired.Name, doubt))
			}
		}
	}
	return apps, rights.Merge(rules), failed
}

func identities(objects []*unstructured.Unstructured) []object.ID {
	ids := make([]object.ID, len(objects))
	for i, u := range objects {
		ids[i] = object.Of(u)
	}
	return ids
}
