package cli

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

// scaffold is what init writes: templates that are given the fleet's name.
//
//go:embed scaffold
var scaffold embed.FS

var fleetName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)

func newInit() *cobra.Command {
	var name string
	command := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Begin a fleet repository: two clusters, a base and a small app, with comments that explain them",
		Long: `init writes the beginnings of a fleet repository into a directory, which it makes
if need be: fleet.yaml, clusters/, deliveries/, base/ and apps/. The two clusters
are called lab-1 and lab-2, as those of the lab. Nothing that exists is written over.`,
		Example: "  nave init fleet\n  nave init --name acme",
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if name == "" {
				name = nameFor(dir)
			}
			if !fleetName.MatchString(name) {
				return &UsageError{fmt.Errorf("%q cannot be the name of a fleet\nhint: lower-case letters, digits, \"-\" and \".\", at most 63", name)}
			}
			written, err := writeScaffold(dir, name)
			if err != nil {
				return err
			}
			for _, path := range written {
				fmt.Fprintln(cmd.OutOrStdout(), path)
			}
			next := "nave validate"
			if dir != "." {
				next += " " + dir
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "fleet %q has begun: read fleet.yaml first\nhint: %s\n", name, next)
			return nil
		},
	}
	command.Flags().StringVar(&name, "name", "", "name of the fleet (default: that of the directory)")
	return command
}

// nameFor makes a fleet's name of that of a directory.
func nameFor(dir string) string {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "fleet"
	}
	name := strings.ReplaceAll(strings.ToLower(filepath.Base(path)), "_", "-")
	if !fleetName.MatchString(name) {
		return "fleet"
	}
	return name
}

// writeScaffold writes the beginnings of a fleet repository and returns the paths
// of its files. It writes nothing if anything is in the way.
func writeScaffold(dir, name string) (written []string, err error) {
	templates, err := template.ParseFS(scaffold, "scaffold/fleet.yaml")
	if err != nil {
		return nil, err
	}
	var fleet strings.Builder
	if err := templates.Execute(&fleet, struct{ Name string }{name}); err != nil {
		return nil, err
	}
	files, err := fs.Sub(scaffold, "scaffold")
	if err != nil {
		return nil, err
	}
	if err := nothingInTheWay(files, dir); err != nil {
		return nil, err
	}
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o777)
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		if path == "fleet.yaml" {
			text = []byte(fleet.String())
		}
		written = append(written, to)
		return os.WriteFile(to, text, 0o666)
	})
	return written, err
}

// nothingInTheWay wants that nothing at the top of a directory has the name of
// what is to be written there: documents of another fleet would become part of
// this one.
func nothingInTheWay(files fs.FS, dir string) error {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return err
	}
	names := []string{"fleet.yml"}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	var there []string
	for _, name := range names {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case err == nil:
			there = append(there, name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("%s has %s already, and nothing is written over\nhint: nave init NAME makes a new directory", dir, strings.Join(there, ", "))
	}
	return nil
}
