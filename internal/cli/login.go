package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nave.dev/internal/cli/prompt"
	"nave.dev/internal/cli/users"
	"nave.dev/internal/people"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/people/session"
)

// remote returns a client of the hub over a network that is meant, if one is: the one
// that is named, or the one of the last login where no directory is named.
func (s *settings) remote() *client {
	server := s.server
	if server == "" {
		server = os.Getenv("NAVE_SERVER")
	}
	if server == "" && (s.dir != "" || os.Getenv("NAVE_DIR") != "") {
		return nil
	}
	book, err := session.Open()
	if err != nil {
		if server == "" {
			return nil // who has no home has not logged in
		}
		return &client{err: err}
	}
	at, found, err := book.Find(server)
	switch {
	case err != nil:
		return &client{err: err}
	case !found && server == "":
		return nil
	case !found:
		return &client{err: fmt.Errorf("nobody has logged in at %s from here\nhint: nave login %s", server, server)}
	}
	return clientOf(at)
}

func clientOf(at session.Session) *client {
	asks, err := at.Client()
	return &client{http: asks, session: at, err: err}
}

// url is what paths of the hub's API come after.
func (c *client) url() string {
	if c.session.Server == "" {
		return "http://hub"
	}
	return "https://" + c.session.Server
}

func newUser(s *settings) *cobra.Command {
	return users.New(users.Shell{Authority: s.authority, Arguments: arguments, Command: knownCommand, Output: s.outputFlag, Print: s.print})
}

func newLogin(s *settings) *cobra.Command {
	var user, tokenFile, rootsFile, fingerprint string
	command := &cobra.Command{
		Use:   "login HOST:PORT [--user NAME | --token-file FILE]",
		Short: "Log in at a hub over a network, where all commands then ask",
		Long: `login asks for a password, and keeps what the hub gives for it, which counts for 12
hours, in a file of yours alone. With --token-file it keeps a token of nave user
token instead.

The hub is trusted by the roots of the system, by those of --roots-file, or by that
of the login before. Where none knows it, the fingerprint of the root that it shows is printed, to be
compared with the one in the hub's log, and to be named by --fingerprint where
nobody can be asked.

Commands ask the hub of --server or NAVE_SERVER, or else the one that works in
--dir or NAVE_DIR if these are set, or else that of the last login.`,
		Example: `  nave login hub.example.com:7444
  nave login hub.example.com:7444 --token-file token --roots-file roots.pem`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := hostPort("server", args[0]); err != nil {
				return err
			}
			at := session.Session{Server: args[0]}
			if err := trust(cmd, &at, rootsFile, fingerprint); err != nil {
				return err
			}
			var err error
			if tokenFile != "" {
				err = tokenLogin(cmd, &at, tokenFile)
			} else {
				err = passwordLogin(cmd, &at, user)
			}
			if err != nil {
				return err
			}
			book, err := session.Open()
			if err == nil {
				err = book.Save(at)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "logged in at %s as %s until %s\n", at.Server, at.User, at.Expires.Local().Format(time.DateTime))
			if s.dir != "" || os.Getenv("NAVE_DIR") != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "hint: NAVE_DIR or --dir is set, which commands ask first; --server %s asks this hub\n", at.Server)
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&user, "user", "", "name of the user (default: that of this machine's user)")
	flags.StringVar(&tokenFile, "token-file", "", "file with a token, in place of a password")
	flags.StringVar(&rootsFile, "roots-file", "", "file of PEM with the roots by which the hub is trusted")
	flags.StringVar(&fingerprint, "fingerprint", "", "of the root that the hub shows, sha256:…")
	return command
}

// trust finds out how the hub is trusted, and asks whoever types if nothing says, the
// login before this one among it.
func trust(cmd *cobra.Command, at *session.Session, rootsFile, fingerprint string) error {
	var roots []byte
	shows := "a root that nothing here knows"
	if rootsFile == "" && fingerprint == "" {
		if before := rootsBefore(at.Server); len(before) > 0 {
			if _, err := session.Meet(cmd.Context(), at.Server, before); err == nil {
				at.Roots = string(before)
				return nil
			}
			shows = "ANOTHER ROOT THAN AT THE LAST LOGIN, as a hub with a new authority does, and as does who stands between you and the hub"
		}
	}
	if rootsFile != "" {
		var err error
		if roots, err = os.ReadFile(rootsFile); err != nil {
			return fmt.Errorf("reading --roots-file: %w", err)
		}
	}
	met, err := session.Meet(cmd.Context(), at.Server, roots)
	if err != nil {
		return err
	}
	at.Roots = string(met.Roots)
	switch {
	case met.Fingerprint == "" || strings.EqualFold(met.Fingerprint, fingerprint):
		return nil
	case fingerprint != "":
		return fmt.Errorf("%s shows another root: its fingerprint is %s", at.Server, met.Fingerprint)
	case !prompt.OnTerminal(cmd):
		return fmt.Errorf("%s shows %s: %s\nhint: compare it with the one in the hub's log, and pass it as --fingerprint", at.Server, shows, met.Fingerprint)
	}
	yes, err := prompt.Yes(cmd, fmt.Sprintf("%s shows %s: %s\nIs that the fingerprint in the hub's log?", at.Server, shows, met.Fingerprint))
	if err == nil && !yes {
		err = errors.New("the hub is not trusted")
	}
	return err
}

// rootsBefore returns the roots by which a hub was trusted at the last login, if there
// was one.
func rootsBefore(server string) []byte {
	book, err := session.Open()
	if err != nil {
		return nil
	}
	before, _, err := book.Find(server)
	if err != nil {
		return nil
	}
	return []byte(before.Roots)
}

func tokenLogin(cmd *cobra.Command, at *session.Session, file string) error {
	token, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading --token-file: %w", err)
	}
	if at.Token = string(bytes.TrimSpace(token)); at.Token == "" {
		return fmt.Errorf("there is no token in %s", file)
	}
	var who gate.Whoami
	if err := clientOf(*at).call(cmd.Context(), http.MethodGet, gate.WhoamiPath, nil, &who); err != nil {
		return err
	}
	at.User, at.Expires = who.Name, who.Expires
	return nil
}

func passwordLogin(cmd *cobra.Command, at *session.Session, user string) error {
	if user == "" {
		user = actor()
	}
	password, err := prompt.Password(cmd, fmt.Sprintf("password of %s at %s: ", user, at.Server))
	if err != nil {
		return err
	}
	var in gate.LoggedIn
	if err := clientOf(*at).call(cmd.Context(), http.MethodPost, gate.LoginPath, gate.Login{Name: user, Password: password}, &in); err != nil {
		return err
	}
	at.User, at.Token, at.Expires = in.Name, in.Token, in.Expires
	return nil
}

func newLogout(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "End the login at a hub, the last one or that of --server", Args: arguments(0, 0), Example: "  nave logout",
		RunE: func(cmd *cobra.Command, _ []string) error {
			book, err := session.Open()
			if err != nil {
				return err
			}
			server := s.server
			if server == "" {
				server = os.Getenv("NAVE_SERVER")
			}
			at, found, err := book.Find(server)
			if err != nil {
				return err
			}
			if !found {
				return errors.New("nobody is logged in")
			}
			if err := clientOf(at).call(cmd.Context(), http.MethodPost, gate.LogoutPath, nil, &struct{}{}); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "the hub was not told, and its token counts until it ends: %v\n", firstLine(err.Error()))
			}
			return book.Remove(at)
		},
	}
}

func newWhoami(s *settings) *cobra.Command {
	return s.outputFlag(&cobra.Command{
		Use: "whoami", Short: "Show who the hub takes you for, and what you may do", Args: arguments(0, 0), Example: "  nave whoami",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var who gate.Whoami
			if err := s.client().call(cmd.Context(), http.MethodGet, gate.WhoamiPath, nil, &who); err != nil {
				return err
			}
			if who.Owner {
				who.Person = people.Person{Name: actor()}
			}
			return s.print(cmd.OutOrStdout(), who, func(w io.Writer) { writeWhoami(w, who) })
		},
	})
}

func writeWhoami(w io.Writer, who gate.Whoami) {
	fmt.Fprintf(w, "%s", who.Name)
	switch {
	case who.Owner:
		fmt.Fprint(w, ", by the hub's socket")
	case len(who.Groups) > 0:
		fmt.Fprintf(w, ", in %s", strings.Join(who.Groups, ", "))
	}
	fmt.Fprintln(w)
	for _, right := range who.Rights {
		fmt.Fprintln(w, right)
	}
	if len(who.Rights) == 0 {
		fmt.Fprintln(w, "no rights: spec.access of the Fleet gives them to groups")
	}
}
