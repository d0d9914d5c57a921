package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/agent"
	"nave.dev/internal/cli/solo"
	"nave.dev/internal/heap"
)

func newAgent(s *settings) *cobra.Command {
	var (
		opts                              agent.Options
		kubeconfig, token, roots, logForm string
		alone                             solo.Flags
	)
	command := &cobra.Command{
		Use:   "agent {--hub ADDRESS | --repo URL} --cluster NAME",
		Short: "Keep the cluster that this runs on, as its hub or Git says",
		Long: `agent dials in at a hub and keeps its cluster as the hub says. What it was given it
keeps on the cluster, in Secrets of nave-system, so that it goes on while there is
no hub, and after it was started elsewhere with an empty disk.

The first time it enrols, with the token that nave cluster join printed: its key is
made here and never leaves the cluster. nave cluster join prints the manifest that
runs the agent in the cluster; by hand it needs a kubeconfig.

With --repo there is no hub: the agent follows the fleet repository itself and does
for its one cluster what a hub would do. The other commands reach it as they reach
a hub, by --dir, and see that cluster alone.`,
		Example: `  nave agent --hub hub.example.com:7443 --cluster prod-eu-1 --token-file token --roots-file roots.pem
  nave agent --hub 127.0.0.1:7443 --cluster dev --kubeconfig dev.kubeconfig --token-file token --roots-file roots.pem
  nave agent --repo https://git.example.com/fleet.git --git-token-file token --cluster edge-7`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Log, err = logger(cmd, logForm); err != nil {
				return err
			}
			if err := alone.Check(cmd.Flags()); err != nil {
				return &UsageError{err}
			}
			if opts.Config, err = clusterConfig(kubeconfig); err != nil {
				return err
			}
			opts.Product, opts.WorkerCommand = s.version, s.worker
			go heap.Release(cmd.Context())
			if alone.Repo.URL != "" {
				return alone.Run(cmd.Context(), s.directory(), opts)
			}
			if roots != "" {
				opts.Roots, err = os.ReadFile(roots)
				if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be gone once there is a certificate
					return fmt.Errorf("reading --roots-file: %w", err)
				}
			}
			opts.Token = func() (string, error) {
				if token == "" {
					return "", nil
				}
				data, err := os.ReadFile(token)
				if errors.Is(err, fs.ErrNotExist) {
					return "", nil
				}
				return strings.TrimSpace(string(data)), err
			}
			return agent.Run(cmd.Context(), opts)
		},
	}
	flags := command.Flags()
	flags.StringVar(&opts.Hub, "hub", "", "address of the hub, HOST:PORT")
	flags.StringVar(&opts.Cluster, "cluster", "", "name of this cluster in the fleet repository")
	flags.StringVar(&token, "token-file", "", "file with the token that nave cluster join printed")
	flags.StringVar(&roots, "roots-file", "", "file with the roots that nave cluster join printed, in PEM")
	flags.StringVar(&kubeconfig, "kubeconfig", "", "how the cluster is reached (default: from inside, by the service account)")
	flags.StringVar(&opts.AgeKeyFile, "age-key-file", "", "file with the age keys that decrypt Secrets of SOPS, as SOPS_AGE_KEY_FILE")
	flags.StringSliceVar(&opts.Refuse, "refuse", nil, "requests of the hub that are not answered, of "+strings.Join(agent.Requests, ", "))
	flags.StringVar(&opts.Metrics, "metrics", "", "Service of a Prometheus in the cluster that may be queried, NAMESPACE/SERVICE:PORT")
	flags.StringVar(&opts.Listen, "listen", "", "address of /healthz, /readyz and /metrics, such as 127.0.0.1:7480")
	flags.BoolVar(&opts.Profiles, "profiles", false, "serve Go's profiles at --listen too, under /debug/pprof")
	flags.StringVar(&logForm, "log", "text", "form of the log: text or json")
	alone.Add(flags)
	command.MarkFlagRequired("cluster")
	return command
}

// clusterConfig reaches a cluster by a kubeconfig, or the one that this runs in.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("reading --kubeconfig: %w", err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: outside of a cluster, --kubeconfig says how it is reached", err)
	}
	return config, nil
}
