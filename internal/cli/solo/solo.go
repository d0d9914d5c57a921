// Package solo has the flags of an agent without a hub, which follows the fleet
// repository itself.
package solo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/agent"
	"nave.dev/internal/desired"
	"nave.dev/internal/hub"
	"nave.dev/internal/hub/alone"
)

// Flags are those of an agent without a hub. Without Repo the agent has one.
type Flags struct {
	Repo                       string // URL of the fleet repository
	branch, token, credentials string
	interval                   time.Duration
}

var (
	onlyAlone   = []string{"branch", "git-token-file", "credentials", "interval"}
	onlyWithHub = []string{"hub", "token-file", "roots-file", "refuse", "profiles"}
)

// Add defines the flags.
func (a *Flags) Add(flags *pflag.FlagSet) {
	flags.StringVar(&a.Repo, "repo", "", "URL of the fleet repository, of an agent without a hub")
	flags.StringVar(&a.branch, "branch", "", "with --repo, its branch (default: the repository's own default branch)")
	flags.StringVar(&a.token, "git-token-file", "", "with --repo, file with a password or token for it")
	flags.StringVar(&a.credentials, "credentials", "", "with --repo, directory of the files that credentials of other sources name")
	flags.DurationVar(&a.interval, "interval", time.Minute, "with --repo, time between looks at the remotes")
}

// Check refuses flags of an agent that do not go together, and a hub without a port.
func (a *Flags) Check(flags *pflag.FlagSet) error {
	given := func(names []string) string {
		at := slices.IndexFunc(names, flags.Changed)
		if at < 0 {
			return ""
		}
		return names[at]
	}
	switch other, own := given(onlyWithHub), given(onlyAlone); {
	case a.Repo != "" && other != "":
		return fmt.Errorf("--%s does not go with --repo: such an agent has no hub", other)
	case a.Repo == "" && !flags.Changed("hub"):
		return errors.New("--hub or --repo missing\nhint: nave agent --help")
	case a.Repo == "" && own != "":
		return fmt.Errorf("--%s goes with --repo", own)
	case a.interval < 0:
		return errors.New("--interval is negative")
	case a.Repo == "":
		hub := flags.Lookup("hub").Value.String()
		if _, _, err := net.SplitHostPort(hub); err != nil {
			return fmt.Errorf("--hub %q is not HOST:PORT", hub)
		}
	}
	return nil
}

// Run keeps the cluster of an agent by the fleet repository, in a directory.
func (a *Flags) Run(ctx context.Context, dir string, opts agent.Options) error {
	repository := desired.Repository{URL: a.Repo, Revision: v1alpha1.Revision{Branch: a.branch}}
	if a.token != "" {
		repository.Credential = &v1alpha1.Credential{TokenFile: a.token}
	}
	return hub.Run(ctx, hub.Options{
		Alone: &alone.Cluster{Name: opts.Cluster, Config: opts.Config},
		Dir:   dir, Repository: repository, CredentialsDir: a.credentials, Interval: a.interval,
		AgeKeyFile: opts.AgeKeyFile, Metrics: opts.Metrics, Listen: opts.Listen,
		WorkerCommand: opts.WorkerCommand, Product: opts.Product, Log: opts.Log,
	})
}
