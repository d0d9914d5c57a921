package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
)

func newDemo(open progressOpener) *cobra.Command {
	var (
		fleetFile string
		until     bool
	)
	command := &cobra.Command{
		Use:   "demo",
		Short: "Start a fresh sample fleet, say what to try, and remove it on Ctrl-C",
		Example: `  nave-lab demo
  nave-lab demo --until-converged --fleet examples/ecommerce/lab-small.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			l, err := open(cmd)
			if err != nil {
				return err
			}
			if names, err := l.Names(); err != nil || len(names) > 0 {
				return errors.Join(err, fmt.Errorf("there is a lab in %s already\nhint: nave-lab down --delete, or another --dir", l.Dir()))
			}
			fleet, err := lab.ReadFleet(fleetFile)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			defer func() {
				fmt.Fprintln(cmd.ErrOrStderr(), "removing the lab")
				err = errors.Join(err, l.Down(context.WithoutCancel(ctx), true))
			}()
			began := time.Now()
			if err := l.Up(ctx, lab.UpOptions{Fleet: fleet}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d clusters ready after %.1f s\n", len(fleet.Clusters), time.Since(began).Seconds())
			if until {
				return nil
			}
			first := fleet.Clusters[0].Name
			fmt.Fprintf(cmd.OutOrStdout(), `
Try, in another terminal (NAVE_LAB_DIR=%s):
  bin/nave-lab status
  bin/nave-lab kubeconfig %s > kc
  bin/kubectl --kubeconfig kc create deployment web --image=nginx --replicas=3
  bin/nave-lab partition %s      # and heal
Ctrl-C here removes everything.
`, l.Dir(), first, first)
			<-ctx.Done()
			return nil
		},
	}
	command.Flags().StringVar(&fleetFile, "fleet", "auto", `fleet file, or "auto" for the sample fleet that fits this machine`)
	command.Flags().BoolVar(&until, "until-converged", false, "exit as soon as everything is ready")
	return command
}
