// Package told says what a hub tells of what it compiled: a key that names what a
// cluster is given, where apps come from, and what is wrong. It decides nothing.
package told

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
)

// Key names what a cluster is given, with the errors and holds, which are news as
// well.
func Key(given *spoke.Assigned) string {
	text := given.Digest()
	if given.Incomplete != nil {
		text += "|" + given.Incomplete.Error()
	}
	for _, desired := range given.Apps {
		if desired.Err != nil {
			text += "|" + desired.Name + ":" + desired.Err.Error()
		}
		if hold := given.Holds[desired.Name]; hold != "" {
			text += "|" + desired.Name + " held:" + hold
		}
	}
	return object.Digest([]byte(text))
}

// Sources says in a line where each app comes from.
func Sources(sources map[string][]app.Source) map[string]string {
	described := map[string]string{}
	for name, parts := range sources {
		var texts []string
		for _, source := range parts {
			text := source.Path
			if source.Repository != "" {
				text = source.Repository + ":" + cmp.Or(source.Chart, source.Path)
			}
			texts = append(texts, text)
		}
		described[name] = strings.Join(texts, ", ")
	}
	return described
}

// Problems returns what is wrong with a state of the fleet repository and with what was
// compiled of it, each once, sorted.
func Problems(pinned *desired.Pinned, compiled map[string]*desired.Compiled) []string {
	seen := map[string]bool{}
	for _, problem := range pinned.Problems {
		seen[problem.String()] = true
	}
	for _, c := range compiled {
		for _, problem := range c.Problems {
			seen[problem.Error()] = true
		}
		for _, desired := range c.Apps {
			if desired.Err != nil && !pinned.Reported(desired.Err) {
				seen[desired.Name+": "+desired.Err.Error()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// FirstLine is a text without its hints.
func FirstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
