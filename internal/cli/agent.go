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
)

func newAgent(s *settings) *cobra.Command {
	var (
		opts                              agent.Options
		kubeconfig, token, roots, logForm string
	)
	command := &cobra.Command{
		Use:   "agent --hub ADDRESS --cluster NAME",
		Short: "Keep the cluster that this runs on, as its hub says",
		Long: `agent dials in at a hub and keeps its cluster as the hub says. What it was given it
keeps on the cluster, in Secrets of nave-system, so that it goes on while there is
no hub, and after it was started elsewhere with an empty disk.

The first time it enrols, with the token that nave cluster join printed: its key is
made here and never leaves the cluster. nave cluster join prints the manifest that
runs the agent in the cluster; by hand it needs a kubeconfig.`,
		Example: `  nave agent --hub hub.example.com:7443 --cluster prod-eu-1 --token-file token --roots-file roots.pem
  nave agent --hub 127.0.0.1:7443 --cluster dev --kubeconfig dev.kubeconfig --token-file token --roots-file roots.pem`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if opts.Log, err = logger(cmd, logForm); err != nil {
				return err
			}
			if err := hostPort("hub", opts.Hub); err != nil {
				return err
			}
			if opts.Config, err = clusterConfig(kubeconfig); err != nil {
				return err
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
			opts.Product, opts.WorkerCommand = s.version, s.worker
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
	flags.StringVar(&opts.Listen, "listen", "", "address of /healthz, such as 127.0.0.1:7480")
	flags.StringVar(&logForm, "log", "text", "form of the log: text or json")
	command.MarkFlagRequired("hub")
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
