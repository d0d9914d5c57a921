package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/hub"
	"nave.dev/internal/tunnel/authority"
)

// hostPort is an address of a flag.
func hostPort(flag, value string) error {
	if _, _, err := net.SplitHostPort(value); err != nil {
		return &UsageError{fmt.Errorf("--%s %q is not HOST:PORT", flag, value)}
	}
	return nil
}

// logger returns a log of a form on standard error.
func logger(cmd *cobra.Command, form string) (*slog.Logger, error) {
	switch form {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil)), nil
	}
	return nil, &UsageError{fmt.Errorf("no log form %q\nhint: --log text or --log json", form)}
}

// newHubInit makes the authority's key.
func newHubInit(s *settings) *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "init FLEET",
		Short: "Make the key by which the agents of a fleet are known",
		Long: `init makes the authority of a fleet: the key that signs the certificates of its
agents. It lives outside the hub's database: keep a copy of the directory where you
keep secrets. A hub that has lost everything else goes on with it; without it every
cluster has to be enrolled anew.`,
		Example: `  nave hub init acme
  nave hub init acme --authority ./authority
  kubectl -n nave create secret generic nave-authority --from-file ./authority`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				dir = s.authority()
			}
			if err := authority.Init(dir, args[0], time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the authority of the fleet %q is in %s\n", args[0], dir)
			return nil
		},
	}
	command.Flags().StringVar(&dir, "authority", "", "directory of the key (default: authority in --dir)")
	return command
}

// authority is where the authority's key is unless told otherwise.
func (s *settings) authority() string { return filepath.Join(s.directory(), "authority") }

func newHub(s *settings) *cobra.Command {
	var (
		opts                    hub.Options
		branch, tokenFile, form string
	)
	command := &cobra.Command{
		Use:   "hub --repo URL {--agents ADDRESS | --kubeconfigs DIR}",
		Short: "Keep a fleet: follow its repository and apply to its clusters",
		Long: `hub follows a fleet repository and keeps every cluster as it says. With --agents
the clusters keep themselves: the agent of each dials in, and the hub holds no key
to any of them. A cluster with a file NAME.kubeconfig in the directory of
kubeconfigs is kept from the hub's own process. Ctrl-C ends the hub; the clusters
stay as they are, and agents go on with what they have.`,
		Example: `  nave hub --repo https://git.example.com/fleet.git --token-file token --kubeconfigs ./kubeconfigs
  nave hub init acme && nave hub --repo https://git.example.com/fleet.git --agents 0.0.0.0:7443
  nave hub --repo file:///srv/fleet.git --kubeconfigs ./kubeconfigs --listen 127.0.0.1:7480 --webhook-secret-file secret`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Log, err = logger(cmd, form); err != nil {
				return err
			}
			if opts.Interval < 0 {
				return &UsageError{errors.New("--interval is negative")}
			}
			if opts.Agents == "" && opts.Kubeconfigs == "" {
				return &UsageError{fmt.Errorf("--agents or --kubeconfigs missing\nhint: %s", cmd.UseLine())}
			}
			if opts.Agents != "" {
				if err := hostPort("agents", opts.Agents); err != nil {
					return err
				}
				if opts.Authority == "" {
					opts.Authority = s.authority()
				}
			}
			if opts.Kubeconfigs == "" {
				// there are agents alone
			} else if info, err := os.Stat(opts.Kubeconfigs); err != nil {
				return fmt.Errorf("reading --kubeconfigs: %w\nhint: make the directory; it has a file NAME.kubeconfig for each cluster, which may come later", err)
			} else if !info.IsDir() {
				return &UsageError{fmt.Errorf("--kubeconfigs %q is no directory\nhint: it is a directory with a file NAME.kubeconfig for each cluster", opts.Kubeconfigs)}
			}
			opts.Dir, opts.WorkerCommand, opts.Product = s.directory(), s.worker, s.version
			opts.Repository.Revision = v1alpha1.Revision{Branch: branch}
			if tokenFile != "" {
				opts.Repository.Credential = &v1alpha1.Credential{TokenFile: tokenFile}
			}
			return hub.Run(cmd.Context(), opts)
		},
	}
	flags := command.Flags()
	flags.StringVar(&opts.Repository.URL, "repo", "", "URL of the fleet repository")
	flags.StringVar(&branch, "branch", "", "its branch (default: the repository's own default branch)")
	flags.StringVar(&tokenFile, "token-file", "", "file with a password or token for the fleet repository")
	flags.StringVar(&opts.Agents, "agents", "", "address at which agents dial in, such as 0.0.0.0:7443")
	flags.StringVar(&opts.Authority, "authority", "", "directory with the key that nave hub init made (default: authority in --dir)")
	flags.StringVar(&opts.Kubeconfigs, "kubeconfigs", "", "directory with NAME.kubeconfig for each cluster")
	flags.StringVar(&opts.CredentialsDir, "credentials", "", "directory of the files that credentials of other sources name")
	flags.StringVar(&opts.AgeKeyFile, "age-key-file", "", "file with the age keys that decrypt Secrets of SOPS, as SOPS_AGE_KEY_FILE")
	flags.DurationVar(&opts.Interval, "interval", time.Minute, "time between looks at the remotes")
	flags.StringVar(&opts.Listen, "listen", "", "address of metrics, health and webhooks, such as 127.0.0.1:7480")
	flags.StringVar(&opts.WebhookSecretFile, "webhook-secret-file", "", "file with the key of webhook signatures")
	flags.StringVar(&form, "log", "text", "form of the log: text or json")
	command.MarkFlagRequired("repo")
	command.AddCommand(newHubInit(s))
	return command
}
