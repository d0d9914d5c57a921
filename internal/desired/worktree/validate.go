package worktree

import (
	"cmp"
	"context"
	"slices"
)

// Finding is something wrong or strange, and the clusters on which it is so. It
// has none if it is in the repository's documents themselves.
type Finding struct {
	Text     string
	Clusters []string
}

// Findings are what is to be said of a repository.
type Findings struct {
	Clusters, Apps, Objects int // apps and objects of all clusters
	Problems, Warnings      []Finding
}

// Validate compiles every app of every cluster. Equal findings of several clusters
// are one; the order is that of their texts.
func (w *Worktree) Validate(ctx context.Context) (Findings, error) {
	compiled, err := w.Compile(ctx, w.Members())
	if err != nil {
		return Findings{}, err
	}
	found := Findings{Clusters: len(w.Fleet.Members)}
	for _, problem := range w.Problems {
		found.Problems = append(found.Problems, Finding{Text: problem.String()})
	}
	for _, warning := range w.Fleet.Warnings {
		found.Warnings = append(found.Warnings, Finding{Text: warning.String()})
	}
	problems, warnings := map[string][]string{}, map[string][]string{}
	for cluster, c := range compiled {
		for _, problem := range c.Problems {
			problems[problem.Error()] = append(problems[problem.Error()], cluster)
		}
		for _, d := range c.Apps {
			found.Apps++
			if d.Err != nil {
				if !w.Reported(d.Err) {
					text := d.Name + ": " + d.Err.Error()
					problems[text] = append(problems[text], cluster)
				}
				continue
			}
			found.Objects += len(d.Bundle.Objects)
			for _, warning := range c.Warnings[d.Name] {
				text := d.Name + ": " + warning
				warnings[text] = append(warnings[text], cluster)
			}
		}
	}
	found.Problems = sorted(found.Problems, problems)
	found.Warnings = sorted(found.Warnings, warnings)
	return found, nil
}

// sorted adds what was found on clusters, by text.
func sorted(findings []Finding, onClusters map[string][]string) []Finding {
	for text, clusters := range onClusters {
		slices.Sort(clusters)
		findings = append(findings, Finding{text, clusters})
	}
	slices.SortFunc(findings, func(a, b Finding) int { return cmp.Compare(a.Text, b.Text) })
	return findings
}
