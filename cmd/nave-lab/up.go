package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
)

// opener returns the lab that the flags name, which tells the command's user
// what it waits for.
type opener func(*cobra.Command) (*lab.Lab, error)

func newUp(open opener) *cobra.Command {
	var (
		fleetFile, passwordFile string
		clusters                int
	)
	command := &cobra.Command{
		Use:   "up [--fleet FILE | --clusters N]",
		Short: "Start the clusters of a fleet file, and again those that are down",
		Long: `up starts the clusters of a fleet file and returns when all are ready. What is
there already keeps its data; clusters of an earlier up are started too. Without
a flag it starts again what the lab has, or the sample fleet if it has none.`,
		Example: `  nave-lab up --fleet examples/ecommerce/lab.yaml
  nave-lab up --fleet auto        # the sample fleet that fits this machine's memory
  nave-lab up --clusters 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("clusters") && cmd.Flags().Changed("fleet") {
				return &usageError{errors.New("--fleet and --clusters exclude each other\nhint: name the clusters in the file")}
			}
			l, err := open(cmd)
			if err != nil {
				return err
			}
			opts := lab.UpOptions{}
			switch {
			case cmd.Flags().Changed("clusters"):
				if opts.Fleet, err = lab.Numbered(clusters); err != nil {
					err = &usageError{err}
				}
			case cmd.Flags().Changed("fleet"):
				opts.Fleet, err = lab.ReadFleet(fleetFile)
			default:
				names, namesErr := l.Names()
				if err = namesErr; err == nil && len(names) == 0 {
					opts.Fleet, err = lab.ReadFleet("auto")
				}
			}
			if err != nil {
				return err
			}
			if passwordFile != "" {
				password, err := os.ReadFile(passwordFile)
				if err != nil {
					return fmt.Errorf("reading the Git password: %w", err)
				}
				if opts.GitPassword = strings.TrimSpace(string(password)); opts.GitPassword == "" {
					return errors.New("the Git password file is empty")
				}
			}
			began := time.Now()
			if err := l.Up(cmd.Context(), opts); err != nil {
				return err
			}
			status, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d clusters ready after %.1f s, %s of memory\nGit server %s\n",
				len(status.Clusters), time.Since(began).Seconds(), gibibytes(status.MemoryBytes), status.Git.URL)
			return nil
		},
	}
	command.Flags().StringVar(&fleetFile, "fleet", "", `fleet file, or "auto" for the sample fleet that fits this machine`)
	command.Flags().IntVar(&clusters, "clusters", 0, "start this many equal clusters instead")
	command.Flags().StringVar(&passwordFile, "git-password-file", "", "file with a password that the Git server asks for")
	return command
}

func newDown(open opener) *cobra.Command {
	var remove bool
	command := &cobra.Command{
		Use:     "down",
		Short:   "End every process of the lab; the data stays for the next up",
		Example: "  nave-lab down\n  nave-lab down --delete    # and delete the lab",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.Down(cmd.Context(), remove)
		},
	}
	command.Flags().BoolVar(&remove, "delete", false, "delete the lab's data as well")
	return command
}

func newAdd(open opener) *cobra.Command {
	var (
		spec   lab.Cluster
		like   string
		labels map[string]string
		alone  bool
	)
	command := &cobra.Command{
		Use:     "add NAME",
		Short:   "Start one more cluster",
		Example: "  nave-lab add prod-asia-3 --like prod-asia-2\n  nave-lab add pr-109 --label env=ephemeral --ttl 2h",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			if like != "" {
				model, err := l.SpecOf(like)
				if err != nil {
					return err
				}
				spec.NodePools, spec.Labels = model.NodePools, model.Labels
			}
			spec.Name = args[0]
			if len(labels) > 0 {
				spec.Labels = labels
			}
			if alone {
				spec.Etcd = "dedicated"
			}
			began := time.Now()
			if err := l.Add(cmd.Context(), spec); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s ready after %.1f s\n", spec.Name, time.Since(began).Seconds())
			return nil
		},
	}
	command.Flags().StringVar(&like, "like", "", "copy the node pools and labels of this cluster")
	command.Flags().StringToStringVar(&labels, "label", nil, "label of the cluster, key=value; may be repeated")
	command.Flags().DurationVar(&spec.TTL.Duration, "ttl", 0, "remove the cluster by itself after this time")
	command.Flags().BoolVar(&alone, "dedicated-etcd", false, "give it an etcd of its own")
	return command
}

func newRemove(open opener) *cobra.Command {
	return onCluster(open, "remove NAME", "Stop a cluster and forget it, with its data",
		func(cmd *cobra.Command, l *lab.Lab, name string) error { return l.Remove(cmd.Context(), name) })
}

func newKubeconfig(open opener) *cobra.Command {
	return onCluster(open, "kubeconfig NAME", "Print a cluster administrator's kubeconfig",
		func(cmd *cobra.Command, l *lab.Lab, name string) error {
			data, err := l.Kubeconfig(name)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		})
}

// onCluster makes a command whose one argument is a cluster.
func onCluster(open opener, use, short string, run func(*cobra.Command, *lab.Lab, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completeCluster(open),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return run(cmd, l, args[0])
		},
	}
}

// completeCluster completes a first argument that names a cluster.
func completeCluster(open opener) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		l, err := open(cmd)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, _ := l.Names()
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// newKubeconfigs prints a directory rather than files: hubs look there for clusters
// that join later.
func newKubeconfigs(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfigs", Short: "Print the directory with NAME.kubeconfig for each cluster", Args: cobra.NoArgs,
		Example: `  nave hub --repo "$(nave-lab git url)/fleet.git" --kubeconfigs "$(nave-lab kubeconfigs)"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), l.Kubeconfigs())
			}
			return err
		},
	}
}
