package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"nave.dev/internal/hub"
)

// complete makes the shell complete the values of a command's flags. Names come
// from the hub; without one there are none.
func (s *settings) complete(command *cobra.Command) {
	if command.Flags().Lookup("cluster") != nil {
		command.RegisterFlagCompletionFunc("cluster", s.completeClusters)
	}
	if command.Flags().Lookup("app") != nil {
		command.RegisterFlagCompletionFunc("app", s.completeAppNames)
	}
	words := map[string][]string{"output": {"json", "yaml"}, "health": healthWords, "sync": syncWords, "log": {"text", "json"}}
	for flag, values := range words {
		if command.Flags().Lookup(flag) != nil {
			command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

func (s *settings) completeClusters(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	fleet, err := s.client().fleet(cmd.Context(), hub.NoApps)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return clusterNames(fleet), cobra.ShellCompDirectiveNoFileComp
}

// completeApps completes the one argument of a command that names an app.
func (s *settings) completeApps(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.completeAppNames(cmd, args, word)
}

func (s *settings) completeAppNames(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	fleet, err := s.client().fleet(cmd.Context(), hub.AllApps)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range fleet.Clusters {
		for _, app := range c.Apps {
			names = append(names, app.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
