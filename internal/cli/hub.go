package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/hub"
)

func newHub(s *settings) *cobra.Command {
	var (
		opts                    hub.Options
		branch, tokenFile, form string
	)
	command := &cobra.Command{
		Use:   "hub --repo URL --kubeconfigs DIR",
		Short: "Keep a fleet: follow its repository and apply to its clusters",
		Long: `hub follows a fleet repository and keeps every cluster as it says. Each cluster
needs a file NAME.kubeconfig in the directory of kubeconfigs. Ctrl-C ends the hub;
the clusters stay as they are.`,
		Example: `  nave hub --repo https://git.example.com/fleet.git --token-file token --kubeconfigs ./kubeconfigs
  nave hub --repo file:///srv/fleet.git --kubeconfigs ./kubeconfigs --listen 127.0.0.1:7480 --webhook-secret-file secret`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch form {
			case "text":
				opts.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			case "json":
				opts.Log = slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			default:
				return &UsageError{fmt.Errorf("no log form %q\nhint: --log text or --log json", form)}
			}
			if opts.Interval < 0 {
				return &UsageError{errors.New("--interval is negative")}
			}
			if info, err := os.Stat(opts.Kubeconfigs); err != nil {
				return fmt.Errorf("reading --kubeconfigs: %w\nhint: make the directory; it has a file NAME.kubeconfig for each cluster, which may come later", err)
			} else if !info.IsDir() {
				return &UsageError{fmt.Errorf("--kubeconfigs %q is no directory\nhint: it is a directory with a file NAME.kubeconfig for each cluster", opts.Kubeconfigs)}
			}
			opts.Dir, opts.WorkerCommand = s.directory(), s.worker
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
	flags.StringVar(&opts.Kubeconfigs, "kubeconfigs", "", "directory with NAME.kubeconfig for each cluster")
	flags.StringVar(&opts.CredentialsDir, "credentials", "", "directory of the files that credentials of other sources name")
	flags.StringVar(&opts.AgeKeyFile, "age-key-file", "", "file with the age keys that decrypt Secrets of SOPS, as SOPS_AGE_KEY_FILE")
	flags.DurationVar(&opts.Interval, "interval", time.Minute, "time between looks at the remotes")
	flags.StringVar(&opts.Listen, "listen", "", "address of metrics, health and webhooks, such as 127.0.0.1:7480")
	flags.StringVar(&opts.WebhookSecretFile, "webhook-secret-file", "", "file with the key of webhook signatures")
	flags.StringVar(&form, "log", "text", "form of the log: text or json")
	command.MarkFlagRequired("repo")
	command.MarkFlagRequired("kubeconfigs")
	return command
}
