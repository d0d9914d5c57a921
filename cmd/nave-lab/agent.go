package main

import (
	"github.com/spf13/cobra"

	"nave.dev/internal/lab"
)

func newAgent(open opener) *cobra.Command {
	command := onCluster(open, "agent NAME", "Have a cluster of the fleet join the lab's hub, and start its agent",
		func(cmd *cobra.Command, l *lab.Lab, name string) error { return l.StartAgent(cmd.Context(), name) })
	command.Long = `agent has a cluster join the hub of nave-lab demo: it applies the manifest that nave
cluster join prints, and starts the agent as a process, with the rights and the
arguments that it has there. It is for clusters that came later, or were destroyed
and are there again; the fleet repository must have a Cluster of the name.`
	return command
}
