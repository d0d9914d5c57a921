package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
)

func newDemo(open opener) *cobra.Command {
	var (
		fleetFile     string
		until, direct bool
	)
	command := &cobra.Command{
		Use:   "demo",
		Short: "Start a fresh sample fleet, say what to try, and remove it on Ctrl-C",
		Example: `  nave-lab demo
  nave-lab demo --direct
  nave-lab demo --until-converged --fleet examples/ecommerce/lab-small.yaml`,
		Long: `demo starts the sample fleet in a lab of its own. Each cluster is kept by an agent
of its own, which joined as nave cluster join says and dials in at the hub: the hub
holds no key to a cluster. With --direct the hub keeps all clusters from its own
process, by their kubeconfigs.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			fleet, err := lab.ReadFleet(fleetFile)
			if err != nil {
				return err
			}
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			remove, err := converge(cmd, l, fleet, arrangement{agents: !direct, out: out})
			defer func() { err = errors.Join(err, remove()) }()
			if err != nil {
				return err
			}
			converged, err := l.Converged(ctx)
			if err != nil {
				return err
			}
			for _, c := range converged {
				fmt.Fprintf(out, "%-22s Synced and Healthy after %5.1f s", c.Cluster, c.Took.Seconds())
				if c.Identity > 0 {
					fmt.Fprintf(out, ", kept by its agent, identity %d", c.Identity)
				}
				fmt.Fprintln(out)
			}
			if until {
				return nil
			}
			fmt.Fprintf(out, whatToTry, l.Dir(), l.HubDir(), l.SampleDir(), fleet.Clusters[0].Name)
			if !direct {
				fmt.Fprintf(out, withAgents, fleet.Clusters[0].Name)
			}
			fmt.Fprint(out, "\nCtrl-C here removes everything.\n")
			<-ctx.Done()
			return nil
		},
	}
	command.Flags().StringVar(&fleetFile, "fleet", "auto", `fleet file, or "auto" for the sample fleet that fits this machine`)
	command.Flags().BoolVar(&until, "until-converged", false, "exit as soon as everything is ready")
	command.Flags().BoolVar(&direct, "direct", false, "the hub keeps the clusters from its own process, and there are no agents")
	return command
}

// arrangement is how the sample fleet is kept, and who is told of it.
type arrangement struct {
	agents bool
	out    io.Writer
}

// converge starts the sample fleet in a lab of its own, and returns when the hub
// says that every cluster is Synced and Healthy. What it returns removes the lab,
// and is to be called after an error too.
func converge(cmd *cobra.Command, l *lab.Lab, fleet lab.Fleet, kept arrangement) (remove func() error, err error) {
	ctx := cmd.Context()
	if l.Exists() {
		return func() error { return nil }, fmt.Errorf("there is a lab in %s already\nhint: nave-lab down --delete, or another --dir", l.Dir())
	}
	remove = func() error {
		fmt.Fprintln(cmd.ErrOrStderr(), "removing the lab")
		return l.Down(context.WithoutCancel(ctx), true)
	}
	began := time.Now()
	if err := l.Up(ctx, lab.UpOptions{Fleet: fleet}); err != nil {
		return remove, err
	}
	fmt.Fprintf(kept.out, "%d clusters ready after %.1f s\n", len(fleet.Clusters), time.Since(began).Seconds())
	if err := l.PushSample(ctx); err != nil {
		return remove, err
	}
	if err := l.StartHub(ctx, lab.HubOptions{Agents: kept.agents}); err != nil {
		return remove, err
	}
	if kept.agents {
		if err := l.StartAgents(ctx); err != nil {
			return remove, err
		}
		fmt.Fprintf(kept.out, "%d agents have joined after %.1f s\n", len(fleet.Clusters), time.Since(began).Seconds())
	}
	return remove, l.AwaitFleet(ctx, func(wait *exec.Cmd) { wait.Stderr = cmd.ErrOrStderr() })
}

const whatToTry = `
The fleet is as its repository says. In another terminal:

  export NAVE_LAB_DIR=%[1]s NAVE_DIR=%[2]s

See it:
  bin/nave status
  bin/nave apps --cluster %[4]s
  bin/nave events --follow

Change it: edit, look at what that would do everywhere, push, watch it arrive
  cd %[3]s
  git commit -a -m 'my change'
  bin/nave plan
  git push && bin/nave wait --revision $(git rev-parse HEAD)

Break it by hand, and see it come back
  bin/nave-lab kubeconfig %[4]s > kc
  bin/kubectl --kubeconfig kc delete deployment --all -n shop
  bin/nave drift

Take a cluster down, and bring it back
  bin/nave-lab stop %[4]s && bin/nave clusters
  bin/nave-lab start %[4]s
`

// withAgents goes on after whatToTry where there are agents.
const withAgents = `
Cut a cluster off: its agent goes on, and catches up
  bin/nave-lab partition %[1]s && bin/nave clusters
  bin/nave-lab heal %[1]s

Kill the hub: what others change is undone, and the next hub finds all in order
  bin/nave-lab hub kill
  bin/kubectl --kubeconfig kc delete deployment --all -n shop
  bin/nave-lab logs %[1]s nave-agent
  bin/nave-lab hub start && bin/nave clusters
`
