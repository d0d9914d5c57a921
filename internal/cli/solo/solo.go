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

	"nave.dev/internal/agent"
	"nave.dev/internal/cli/fleetrepo"
	"nave.dev/internal/hub"
	"nave.dev/internal/hub/alone"
)

// Flags are those of an agent without a hub. Without a URL of Repo the agent has one.
type Flags struct {
	Repo        fleetrepo.Flags
	credentials string
	interval    time.Duration
}

var (
	onlyAlone   = append(fleetrepo.Names("git-token-file"), "credentials", "interval")
	onlyWithHub = []string{"hub", "token-file", "roots-file", "refuse", "profiles"}
)

// Add defines the flags.
func (a *Flags) Add(flags *pflag.FlagSet) {
	a.Repo.Add(flags, "URL of the fleet repository, of an agent without a hub", "git-token-file", "with --repo, ")
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
	case a.Repo.URL != "" && other != "":
		return fmt.Errorf("--%s does not go with --repo: such an agent has no hub", other)
	case a.Repo.URL == "" && !flags.Changed("hub"):
		return errors.New("--hub or --repo missing\nhint: nave agent --help")
	case a.Repo.URL == "" && own != "":
		return fmt.Errorf("--%s goes with --repo", own)
	case a.interval < 0:
		return errors.New("--interval is negative")
	case a.Repo.URL == "":
		hub := flags.Lookup("hub").Value.String()
		if _, _, err := net.SplitHostPort(hub); err != nil {
			return fmt.Errorf("--hub %q is not HOST:PORT", hub)
		}
		return nil
	}
	_, err := a.Repo.Repository()
	return err
}

// Run keeps the cluster of an agent by the fleet repository, in a directory.
func (a *Flags) Run(ctx context.Context, dir string, opts agent.Options) error {
	repository, err := a.Repo.Repository()
	if err != nil {
		return err
	}
	return hub.Run(ctx, hub.Options{
		Alone: &alone.Cluster{Name: opts.Cluster, Config: opts.Config},
		Dir:   dir, Repository: repository, CredentialsDir: a.credentials, Interval: a.interval,
		AgeKeyFile: opts.AgeKeyFile, Metrics: opts.Metrics, Listen: opts.Listen,
		WorkerCommand: opts.WorkerCommand, Product: opts.Product, Log: opts.Log,
	})
}
