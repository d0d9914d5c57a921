package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
	"nave.dev/internal/lab/gitserver/webhook"
)

func newGit(open opener) *cobra.Command {
	command := &cobra.Command{
		Use:   "git",
		Short: "Show the Git server and say where it posts pushes to",
		Long: `The lab's Git server takes pushes and fetches of ordinary git clients at
URL/NAME.git; a repository is made by the first push to it. It serves a Helm
repository too.`,
		Example: `  git push "$(nave-lab git url)/fleet.git" main
  nave-lab git hook add http://127.0.0.1:8080/webhook --secret-file secret`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	hook := &cobra.Command{Use: "hook", Short: "Say where pushes are posted to", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	hook.AddCommand(newHookAdd(open), newHookRemove(open), newHookList(open))
	command.AddCommand(newGitURL(open), hook, newDeliveries(open), newCharts(open))
	return command
}

func newGitURL(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "url", Short: "Print the address of the Git server", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			url, err := l.GitURL()
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), url)
			}
			return err
		},
	}
}

func newHookAdd(open opener) *cobra.Command {
	var secretFile string
	command := &cobra.Command{
		Use: "add URL", Short: "Post every push to this address, as GitHub does", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			hook := webhook.Hook{URL: args[0]}
			if secretFile != "" {
				secret, err := os.ReadFile(secretFile)
				if err != nil {
					return fmt.Errorf("reading the secret: %w", err)
				}
				hook.Secret = strings.TrimSpace(string(secret))
			}
			return changeHooks(cmd, open, func(hooks []webhook.Hook) ([]webhook.Hook, error) {
				hooks = slices.DeleteFunc(hooks, func(h webhook.Hook) bool { return h.URL == hook.URL })
				return append(hooks, hook), nil
			})
		},
	}
	command.Flags().StringVar(&secretFile, "secret-file", "", "file with the key of the signature")
	return command
}

func newHookRemove(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "remove URL", Short: "Post no more pushes to this address", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeHooks(cmd, open, func(hooks []webhook.Hook) ([]webhook.Hook, error) {
				left := slices.DeleteFunc(slices.Clone(hooks), func(h webhook.Hook) bool { return h.URL == args[0] })
				if len(left) == len(hooks) {
					return nil, fmt.Errorf("no hook posts to %q\nhint: nave-lab git hook list", args[0])
				}
				return left, nil
			})
		},
	}
}

func changeHooks(cmd *cobra.Command, open opener, change func([]webhook.Hook) ([]webhook.Hook, error)) error {
	l, err := open(cmd)
	if err != nil {
		return err
	}
	return l.SetHooks(cmd.Context(), change)
}

func newHookList(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List where pushes are posted to", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			hooks, err := l.Hooks()
			for _, hook := range hooks {
				fmt.Fprintln(cmd.OutOrStdout(), hook.URL)
			}
			return err
		},
	}
}

func newDeliveries(open opener) *cobra.Command {
	return &cobra.Command{
		Use: "deliveries", Short: "Show the last webhook deliveries", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			deliveries, err := l.Deliveries(cmd.Context())
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "QUEUED\tREPOSITORY\tREF\tURL\tSTATE\tATTEMPTS\tSTATUS\tERROR")
			for _, d := range deliveries {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n",
					d.Queued.Format(time.TimeOnly), d.Repository, d.Ref, d.URL, d.State, d.Attempts, d.Status, d.Error)
			}
			return table.Flush()
		},
	}
}

// newNetwork is the command of the lab's network process, which up starts.
func newNetwork(open opener) *cobra.Command {
	return &cobra.Command{
		Use: lab.NetworkCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			return l.ServeNetwork(cmd.Context(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
}

// newRun waits at the gate, which main has done, and becomes another program.
func newRun() *cobra.Command {
	return &cobra.Command{
		Use: lab.RunCommand + " PROGRAM [ARGUMENT…]", Hidden: true, DisableFlagParsing: true, Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return fmt.Errorf("running %s: %w", args[0], syscall.Exec(args[0], args, os.Environ()))
		},
	}
}
