package desired

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/desired/offline"
	"nave.dev/internal/strictyaml"
)

// Plan is what going from one revision of the fleet repository to another means
// for every cluster, before anything is applied.
type Plan struct {
	From   string      `json:"from"`
	To     string      `json:"to"`
	Groups []PlanGroup `json:"groups"`
	// Problems of the revision that is gone to: its documents, and apps that do
	// not render, whose present state stays in force.
	Problems []string `json:"problems,omitempty"`
	Clusters int      `json:"clusters"` // in either revision
}

// PlanGroup is one change of an app that is the same on several clusters.
type PlanGroup struct {
	App      string     `json:"app"`
	Clusters []string   `json:"clusters"`
	Changes  change.Set `json:"changes"`
	// Note says what happens beside, such as that an app leaves a cluster and its
	// objects stay.
	Note string `json:"note,omitempty"`
	// Confirm is the digest of the held deletions among Changes, for a Delivery's
	// confirmPrune. Objects on a cluster that nobody has asked can make the list
	// another one, and then it is held all the same.
	Confirm string `json:"confirm,omitempty"`
}

// Plan compares what two revisions of the fleet repository say of every cluster.
func (p *Pipeline) Plan(ctx context.Context, from, to v1alpha1.Revision) (*Plan, error) {
	before, err := p.PinAt(ctx, from)
	if err != nil {
		return nil, err
	}
	after, err := p.PinAt(ctx, to)
	if err != nil {
		return nil, err
	}
	noFacts := func(string) app.Facts { return app.Facts{} }
	old, err := p.Compile(ctx, before, before.Members(), noFacts)
	if err != nil {
		return nil, err
	}
	members := map[string]Member{}
	for _, cluster := range after.Members() {
		had := apps(old[cluster])
		members[cluster] = Member{Parent: func(name string) string { return had[name].Options.Lineage.Parent }}
	}
	wanted, err := p.CompileFor(ctx, after, members)
	if err != nil {
		return nil, err
	}
	plan := &Plan{From: before.Snapshot.Fleet, To: after.Snapshot.Fleet, Groups: []PlanGroup{}}
	for _, problem := range after.Problems {
		plan.Problems = append(plan.Problems, problem.String())
	}
	c := comparison{
		plan: plan, key: make([]byte, 32), groups: map[string]*PlanGroup{}, reported: after.Reported,
		releases: offline.New(p.render), version: func(cluster string) string { return after.member(cluster).KubernetesVersion },
	}
	if _, err := rand.Read(c.key); err != nil {
		return nil, fmt.Errorf("making a key for redaction: %w", err)
	}
	if err := c.render(ctx, old, wanted); err != nil {
		return nil, err
	}
	c.compare(old, wanted, after.Fleet.Incomplete)
	return plan, nil
}

// Members returns the names of the fleet's clusters.
func (p *Pinned) Members() []string {
	var names []string
	for _, member := range p.Fleet.Members {
		names = append(names, member.Name)
	}
	return names
}

// Reported reports whether what is wrong with an app is what is wrong with the
// fleet's documents, which Problems tell with all else.
func (p *Pinned) Reported(err error) bool {
	found, ok := errors.AsType[strictyaml.Problems](err)
	return ok && !slices.ContainsFunc(found, func(problem strictyaml.Problem) bool { return !slices.Contains(p.Problems, problem) })
}

// String returns the plan as the command line prints it.
func (plan *Plan) String() string {
	var b strings.Builder
	for _, problem := range plan.Problems {
		fmt.Fprintf(&b, "problem: %s\n", problem)
	}
	touched := map[string]bool{}
	for _, group := range plan.Groups {
		for _, cluster := range group.Clusters {
			touched[cluster] = true
		}
		where := strings.Join(group.Clusters, ", ")
		if len(group.Clusters) == plan.Clusters && plan.Clusters > 1 {
			where = fmt.Sprintf("all %d clusters", plan.Clusters)
		} else if len(group.Clusters) > 6 {
			where = fmt.Sprintf("%d clusters: %s", len(group.Clusters), where)
		}
		fmt.Fprintf(&b, "\n%s on %s\n", group.App, where)
		if group.Note != "" {
			fmt.Fprintf(&b, "  %s\n", group.Note)
		}
		for line := range strings.Lines(group.Changes.String()) {
			b.WriteString("  " + line)
		}
		if group.Confirm != "" {
			fmt.Fprintf(&b, "  what is held goes with confirmPrune: %s\n", group.Confirm)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d clusters change\n", len(touched), plan.Clusters)
	return strings.TrimPrefix(b.String(), "\n")
}
