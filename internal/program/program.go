// Package program is what the programs nave and nave-lab have in common: what
// they say of themselves and where they keep their state. It knows nothing of
// what they do.
package program

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// StateDir returns where a program keeps its state unless told otherwise: where
// an environment variable says, or else below the user's state directory, so
// that it is found from anywhere.
func StateDir(variable, name string) string {
	if dir := os.Getenv(variable); dir != "" {
		return dir
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, name)
}

// Version returns the running program's version, as Describe has it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return Describe(info)
}

// library stands for all of Kubernetes' Go libraries, whose versions go together.
const library = "k8s.io/client-go"

// Describe says in one line what a program was built from: the module's version,
// the commit and its date where the build knows them, Go, and the version of
// Kubernetes' libraries if they are part of it.
func Describe(info *debug.BuildInfo) string {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	var about []string
	if revision := settings["vcs.revision"]; revision != "" {
		text := "commit " + revision[:min(12, len(revision))]
		if at, err := time.Parse(time.RFC3339, settings["vcs.time"]); err == nil {
			text += " of " + at.UTC().Format(time.DateOnly)
		}
		if settings["vcs.modified"] == "true" {
			text += ", changed since"
		}
		about = append(about, text)
	}
	if info.GoVersion != "" {
		about = append(about, info.GoVersion)
	}
	for _, module := range info.Deps {
		if module.Path == library {
			about = append(about, "Kubernetes libraries "+module.Version)
		}
	}
	if len(about) == 0 {
		return version
	}
	return version + " (" + strings.Join(about, "; ") + ")"
}
