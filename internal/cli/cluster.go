package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/cli/grants"
	"nave.dev/internal/hub"
	"nave.dev/internal/install"
)

func newCluster(s *settings) *cobra.Command {
	command := &cobra.Command{
		Use:   "cluster",
		Short: "Have clusters join the fleet by an agent, and leave it",
		Example: `  nave cluster join prod-eu-1 --hub hub.example.com:7443 | kubectl --context prod-eu-1 apply -f -
  nave cluster list
  nave cluster remove dev-pr-17 --reason 'merged'`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.AddCommand(newClusterJoin(s), newClusterList(s), newClusterRights(s), newClusterRenew(s), newClusterRemove(s))
	return command
}

func newClusterRights(s *settings) *cobra.Command {
	return grants.New(grants.Shell{
		Fleet: s.appsOf, Compile: s.compile, NoCluster: noCluster, Arguments: arguments,
		Output: s.outputFlag, Form: func() string { return s.output }, Print: s.print,
	})
}

func newClusterJoin(s *settings) *cobra.Command {
	var (
		made    install.Agent
		profile string
		reads   []string
		life    time.Duration
	)
	command := &cobra.Command{
		Use:   "join NAME --hub ADDRESS",
		Short: "Print the manifest that has a cluster join: agent, rights, and a token to enrol once",
		Long: `join prints one manifest: the namespace nave-system, the agent, its rights, and a
token with which it enrols. The fleet repository must have a Cluster of the name.
The token is of use once, for this name alone, and for an hour unless told
otherwise; a later token makes the ones before it useless.

Rights: with --profile platform, the default, the agent is cluster-admin. With
--profile restricted it reads what --read names, and writes only as the accounts
that --impersonate names, which Deliveries then name in serviceAccount.`,
		Example: `  nave cluster join prod-eu-1 --hub hub.example.com:7443 | kubectl --context prod-eu-1 apply -f -
  nave cluster join edge-1 --hub hub.example.com:7443 --profile restricted --read apps/deployments@shop --read services@shop --impersonate shop/deployer`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := hostPort("hub", made.Hub); err != nil {
				return err
			}
			switch profile {
			case "platform":
				if len(reads)+len(made.Impersonate) > 0 {
					return &UsageError{errors.New("--read and --impersonate go with --profile restricted")}
				}
			case "restricted":
				made.Restricted = true
			default:
				return &UsageError{fmt.Errorf("no profile %q\nhint: platform or restricted", profile)}
			}
			for _, text := range reads {
				read, err := parseRead(text)
				if err != nil {
					return err
				}
				made.Reads = append(made.Reads, read)
			}
			action := hub.Action{Cluster: args[0], For: life, Actor: actor()}
			var joining hub.Joining
			if err := s.client().call(cmd.Context(), http.MethodPost, "/api/v1/join", action, &joining); errors.Is(err, errNobody) {
				return fmt.Errorf("the fleet has no cluster %q\nhint: commit a Cluster of the name; nave clusters lists those that the hub knows", args[0])
			} else if err != nil {
				return err
			}
			made.Cluster, made.Token, made.Roots = joining.Cluster, joining.Token, []byte(joining.Roots)
			manifest, err := made.Manifest()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(manifest)
			fmt.Fprintf(cmd.ErrOrStderr(), "identity %d; the token counts until %s\n", joining.Number, joining.Expires.Local().Format(time.DateTime))
			return err
		},
	}
	flags := command.Flags()
	flags.StringVar(&made.Hub, "hub", "", "address at which the agent reaches the hub, HOST:PORT")
	flags.StringVar(&profile, "profile", "platform", "rights of the agent: platform or restricted")
	flags.StringArrayVar(&reads, "read", nil, "what a restricted agent may read: GROUP/RESOURCE or RESOURCE, for some namespaces with @NS,NS")
	flags.StringSliceVar(&made.Impersonate, "impersonate", nil, "accounts as which a restricted agent writes, NAMESPACE/NAME")
	flags.StringVar(&made.Image, "image", "", "image of the agent, NAME:TAG")
	flags.StringVar(&made.AgeKeySecret, "age-key-secret", "", "Secret of nave-system whose keys.txt has the age keys that decrypt Secrets")
	flags.StringVar(&made.Proxy, "proxy", "", "URL of an HTTP CONNECT proxy by which the agent reaches the hub")
	flags.DurationVar(&life, "for", time.Hour, "how long the token counts")
	command.MarkFlagRequired("hub")
	return command
}

// parseRead reads GROUP/RESOURCE@NAMESPACE,NAMESPACE.
func parseRead(text string) (install.Read, error) {
	what, where, named := strings.Cut(text, "@")
	group, resource, grouped := strings.Cut(what, "/")
	if !grouped {
		group, resource = "", what
	}
	read := install.Read{Group: group, Resources: []string{resource}}
	if named {
		read.Namespaces = strings.Split(where, ",")
	}
	if resource == "" || strings.Contains(resource, "/") || named && where == "" {
		return read, &UsageError{fmt.Errorf("--read %q is not GROUP/RESOURCE@NAMESPACE\nhint: apps/deployments@shop, or nodes for the core group and all namespaces", text)}
	}
	return read, nil
}
