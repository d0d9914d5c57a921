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

	"nave.dev/internal/cli/fleetrepo"
	"nave.dev/internal/heap"
	"nave.dev/internal/hub"
	"nave.dev/internal/hub/upkeep"
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
cluster has to be enrolled anew.

Beside the key in --dir it makes the hub's database, so that a hub that finds the key
alone knows that it has lost what it remembered. A hub that starts elsewhere, with a
key made by --authority, is told once: nave hub recovered.`,
		Example: `  nave hub init acme
  nave hub init acme --authority ./authority
  kubectl -n nave create secret generic nave-authority --from-file ./authority`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if dir == "" {
				dir = s.authority()
				err = upkeep.Init(cmd.Context(), s.directory(), dir, args[0], time.Now())
			} else {
				err = authority.Init(dir, args[0], time.Now())
			}
			if err != nil {
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
		opts hub.Options
		repo fleetrepo.Flags
		form string
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
  nave hub --repo git@git.example.com:platform/fleet.git --ssh-key-file key --known-hosts-file known_hosts --agents 0.0.0.0:7443
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
			}
			if opts.Authority == "" {
				opts.Authority = s.authority()
			}
			if opts.People.API != "" {
				if err := hostPort("api", opts.People.API); err != nil {
					return err
				}
			} else if opts.People.CertFile != "" || len(opts.People.Names) > 0 {
				return &UsageError{errors.New("--tls-cert and --api-name go with --api")}
			}
			if (opts.People.CertFile == "") != (opts.People.KeyFile == "") {
				return &UsageError{errors.New("--tls-cert and --tls-key go together")}
			}
			if opts.Kubeconfigs == "" {
				// there are agents alone
			} else if info, err := os.Stat(opts.Kubeconfigs); err != nil {
				return fmt.Errorf("reading --kubeconfigs: %w\nhint: make the directory; it has a file NAME.kubeconfig for each cluster, which may come later", err)
			} else if !info.IsDir() {
				return &UsageError{fmt.Errorf("--kubeconfigs %q is no directory\nhint: it is a directory with a file NAME.kubeconfig for each cluster", opts.Kubeconfigs)}
			}
			opts.Dir, opts.WorkerCommand, opts.Product = s.directory(), s.worker, s.version
			if opts.Repository, err = repo.Repository(); err != nil {
				return &UsageError{err}
			}
			go heap.Release(cmd.Context())
			return hub.Run(cmd.Context(), opts)
		},
	}
	flags := command.Flags()
	repo.Add(flags, "URL of the fleet repository", "token-file", "")
	flags.StringVar(&opts.Agents, "agents", "", "address at which agents dial in, such as 0.0.0.0:7443")
	flags.StringVar(&opts.Authority, "authority", "", "directory with the key that nave hub init made (default: authority in --dir)")
	flags.StringVar(&opts.People.API, "api", "", "address at which people log in over TLS, such as 0.0.0.0:7444")
	flags.StringSliceVar(&opts.People.Names, "api-name", nil, "names by which people reach it, for a certificate of the fleet's authority (default: the host of --api)")
	flags.StringVar(&opts.People.CertFile, "tls-cert", "", "file of PEM with a certificate of your own for --api, read again when it changes")
	flags.StringVar(&opts.People.KeyFile, "tls-key", "", "file of PEM with its key")
	flags.StringVar(&opts.Kubeconfigs, "kubeconfigs", "", "directory with NAME.kubeconfig for each cluster")
	flags.StringVar(&opts.CredentialsDir, "credentials", "", "directory of the files that credentials of other sources name")
	flags.StringVar(&opts.AgeKeyFile, "age-key-file", "", "file with the age keys that decrypt Secrets of SOPS, as SOPS_AGE_KEY_FILE")
	flags.StringVar(&opts.Metrics, "metrics", "", "Service of the Prometheus in clusters with a kubeconfig that nave query asks, NAMESPACE/SERVICE:PORT")
	flags.DurationVar(&opts.Interval, "interval", time.Minute, "time between looks at the remotes")
	flags.StringVar(&opts.Listen, "listen", "", "address of metrics, health and webhooks, such as 127.0.0.1:7480")
	flags.StringVar(&opts.WebhookSecretFile, "webhook-secret-file", "", "file with the key of webhook signatures")
	flags.StringVar(&form, "log", "text", "form of the log: text or json")
	command.MarkFlagRequired("repo")
	command.AddCommand(newHubInit(s), newHubRecovered(s), newHubBackup(s), newHubRestore(s), newHubRotate(s))
	return command
}
