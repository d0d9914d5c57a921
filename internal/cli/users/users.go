// Package users is nave user: the commands that change who may use a hub over a
// network. They work on a file, without a hub.
package users

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/cli/prompt"
	"nave.dev/internal/people"
)

// Shell is what the commands have in common with the others of nave.
type Shell struct {
	// Authority is where the file is unless told otherwise.
	Authority func() string
	// Arguments wants so many arguments, and Command the name of a command below.
	Arguments func(least, most int) cobra.PositionalArgs
	Command   cobra.PositionalArgs
	// Output adds -o to a command that prints a table by Print.
	Output func(*cobra.Command) *cobra.Command
	Print  func(out io.Writer, data any, table func(io.Writer)) error
}

// New returns nave user.
func New(s Shell) *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "user",
		Short: "Change who may use the hub over a network",
		Long: `user works on the file people.yaml beside the authority's key. A hub that runs reads
it again when it changes. What the groups of users may do is said in spec.access of
the Fleet, in Git.`,
		Example: `  nave user add ana --group platform
  nave user token ci --for 720h
  nave user list`,
		Args: s.Command,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.PersistentFlags().StringVar(&dir, "authority", "", "directory of the file, beside the authority's key (default: authority in --dir)")
	file := func() people.File {
		if dir == "" {
			return people.File{Dir: s.Authority()}
		}
		return people.File{Dir: dir}
	}
	command.AddCommand(s.add(file), s.list(file), s.remove(file), s.passwd(file), s.token(file))
	return command
}

func (s Shell) add(file func() people.File) *cobra.Command {
	var groups []string
	var without bool
	command := &cobra.Command{
		Use: "add NAME [--group NAME,…] [--no-password]", Short: "Add a user, whose password is asked for", Args: s.Arguments(1, 1),
		Example: "  nave user add ana --group platform,oncall\n  nave user add ci --group deployers --no-password",
		RunE: func(cmd *cobra.Command, args []string) error {
			password := ""
			if !without {
				var err error
				if password, err = prompt.NewPassword(cmd); err != nil {
					return err
				}
			}
			return file().Add(args[0], groups, password)
		},
	}
	command.Flags().StringSliceVar(&groups, "group", nil, "groups that the user is in")
	command.Flags().BoolVar(&without, "no-password", false, "for a program: it has tokens, and nobody can log in as it")
	return command
}

func (s Shell) list(file func() people.File) *cobra.Command {
	return s.Output(&cobra.Command{
		Use: "list", Short: "List users, their groups and their tokens", Args: s.Arguments(0, 0), Example: "  nave user list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := file().Users()
			if err != nil {
				return err
			}
			type row struct {
				Name     string         `json:"name"`
				Groups   []string       `json:"groups"`
				Password bool           `json:"password"`
				Tokens   []people.Token `json:"tokens"`
			}
			rows := []row{}
			for _, u := range users {
				rows = append(rows, row{u.Name, append([]string{}, u.Groups...), u.Password != "", append([]people.Token{}, u.Tokens...)})
			}
			return s.Print(cmd.OutOrStdout(), rows, func(w io.Writer) {
				fmt.Fprintln(w, "USER\tGROUPS\tPASSWORD\tTOKENS")
				for _, r := range rows {
					var tokens []string
					for _, t := range r.Tokens {
						tokens = append(tokens, fmt.Sprintf("%s until %s", t.Name, t.Expires.Local().Format(time.DateTime)))
					}
					has := map[bool]string{true: "yes", false: "no"}[r.Password]
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, strings.Join(r.Groups, ","), has, strings.Join(tokens, ", "))
				}
			})
		},
	})
}

func (s Shell) remove(file func() people.File) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Remove a user; tokens and logins end at once", Args: s.Arguments(1, 1), Example: "  nave user remove ana",
		RunE: func(_ *cobra.Command, args []string) error { return file().Remove(args[0]) },
	}
}

func (s Shell) passwd(file func() people.File) *cobra.Command {
	return &cobra.Command{
		Use: "passwd NAME", Short: "Give a user another password; logins end at once, tokens stay", Args: s.Arguments(1, 1), Example: "  nave user passwd ana",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := prompt.NewPassword(cmd)
			if err != nil {
				return err
			}
			return file().SetPassword(args[0], password)
		},
	}
}

func (s Shell) token(file func() people.File) *cobra.Command {
	var name, remove string
	var life time.Duration
	command := &cobra.Command{
		Use: "token NAME [--name TOKEN] [--for 720h] [--remove TOKEN]", Short: "Make a token of a user, and show it once", Args: s.Arguments(1, 1),
		Example: "  nave user token ci --for 720h > token\n  nave login hub.example.com:7444 --token-file token\n  nave user token ci --remove default",
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove != "" {
				return file().RemoveToken(args[0], remove)
			}
			secret, err := file().AddToken(args[0], name, life, time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), secret)
			fmt.Fprintf(cmd.ErrOrStderr(), "the token %q of %s counts for %s; it is not shown again\n", name, args[0], life)
			return err
		},
	}
	command.Flags().StringVar(&name, "name", "default", "name of the token, of which the user can have several")
	command.Flags().DurationVar(&life, "for", 720*time.Hour, "how long it counts")
	command.Flags().StringVar(&remove, "remove", "", "end this token in place of making one")
	return command
}
