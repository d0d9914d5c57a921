package hub

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/hub/told"
	"nave.dev/internal/spoke"
)

// compile hands every cluster what it should hold of a snapshot.
func (h *Hub) compile(ctx context.Context, pinned *desired.Pinned) error {
	h.judge(pinned.Checks)
	h.admit(pinned)
	h.revoke()
	h.keepPauses()
	h.recover(ctx, pinned)
	h.mu.Lock()
	members := map[string]*member{} // those with a spoke
	all := len(h.members)
	if h.home != nil && all == 0 {
		h.mu.Unlock()
		return fmt.Errorf("the fleet has no cluster %q\nhint: it needs a file of the kind Cluster", h.opts.Alone.Name)
	}
	for name, m := range h.members {
		if m.spoke != nil {
			members[name] = m
		}
	}
	h.mu.Unlock()
	inputs := h.inputs(members, all)
	if h.inForce(ctx, pinned, inputs) {
		return nil
	}
	asked := map[string]desired.Member{}
	for name, m := range members {
		last, _ := h.ledger.Entry(name)
		parent := func(app string) string { return last.Apps[app].Given().Lineage.Parent }
		asked[name] = desired.Member{Facts: m.spoke.Facts(), Parent: parent, Early: h.early(pinned, name, m, all-1)}
	}
	compiled, err := h.pipeline.CompileFor(ctx, pinned, asked)
	if err != nil {
		return err
	}
	receivers := map[string]desired.Receiver{}
	for name, c := range compiled {
		if !members[name].spoke.Known() {
			continue // its agent says first what is there
		}
		if c.FactsUsed && len(asked[name].Facts.APIVersions) == 0 {
			continue // a guess; once the cluster is reached, this is done again
		}
		receivers[name] = h.receiver(name, members[name], c)
	}
	for name, m := range members {
		if r, ok := m.spoke.(*remote); ok && receivers[name].Assignment == nil {
			r.owe(true)
		}
	}
	var group sync.WaitGroup
	turn := make(chan struct{}, 16)
	for name, given := range desired.Handover(pinned.ID(), receivers, all-len(receivers)) {
		group.Go(func() { // since each waits for the disk
			turn <- struct{}{}
			defer func() { <-turn }()
			h.give(members[name], given, told.Sources(compiled[name].Sources))
		})
	}
	group.Wait()
	// Only now, so that nobody takes what was Synced before for this revision.
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned = pinned
	h.revision = Revision{
		Commit: pinned.Snapshot.Fleet, Subject: pinned.Commit.Subject, Snapshot: pinned.ID(),
		Compiled: h.opts.Now(), Problems: told.Problems(pinned, compiled),
	}
	if h.agents != nil {
		if err := h.agents.authority.Serves(pinned.Fleet.Name); err != nil {
			h.revision.Problems = append(h.revision.Problems, err.Error())
		}
	}
	h.compiled = told.Compilation{At: time.Now(), Inputs: inputs}
	for _, m := range members {
		if m.unkept != nil || len(h.revision.Problems) > 0 {
			h.compiled = told.Compilation{} // it may go well another time
		}
	}
	return nil
}

// inputs is a digest of what a compilation takes from the clusters and from the one
// before it.
func (h *Hub) inputs(members map[string]*member, all int) uint64 {
	sum := told.Sum(uint64(all), h.ledger.Changes())
	for name, m := range members {
		sum += told.Inputs(name, m.spoke.Known(), m.spoke.Facts(), m.spoke.Found(), m.spoke.Settled(m.given))
	}
	return sum
}

// inForce reports whether compiling a snapshot would come to what is in force: work is
// for what changes, and most looks at Git find nothing.
func (h *Hub) inForce(ctx context.Context, pinned *desired.Pinned, inputs uint64) bool {
	h.mu.Lock()
	before, last := h.pinned, h.compiled
	for _, m := range h.members {
		if m.spoke != nil && m.key == "" && m.spoke.Known() {
			last = told.Compilation{} // it was given nothing yet
		}
	}
	h.mu.Unlock()
	if !last.Holds(inputs) || !h.pipeline.Unchanged(ctx, before, pinned) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revision.Error = ""
	return true
}

// early returns how a cluster is given what is rendered before all is, if it never
// was given anything: nothing can be missed there. Others are the further members.
func (h *Hub) early(pinned *desired.Pinned, name string, m *member, others int) func(*desired.Compiled) {
	if _, known := h.ledger.Entry(name); known || m.given != nil || !m.spoke.Known() {
		return nil
	}
	return func(c *desired.Compiled) {
		given := desired.Handover(pinned.ID(), map[string]desired.Receiver{name: h.receiver(name, m, c)}, others)
		h.give(m, given[name], told.Sources(c.Sources))
	}
}

// receiver is a member as the handover sees it.
func (h *Hub) receiver(name string, m *member, c *desired.Compiled) desired.Receiver {
	last, _ := h.ledger.Entry(name)
	given := map[string]*app.Bundle{}
	if m.given != nil {
		for _, desired := range m.given.Apps {
			if desired.Bundle != nil {
				given[desired.Bundle.Digest] = desired.Bundle
			}
		}
	}
	before := m.spoke.Found()
	found := func(name string) (applied, known bool) { return slices.Contains(before, name), before != nil }
	return desired.Receiver{
		Assignment: c.Assignment, Trees: c.Trees, Last: last, Settled: m.spoke.Settled(m.given), Found: found,
		Bundle: func(digest string) *app.Bundle {
			if bundle := given[digest]; bundle != nil {
				return bundle
			}
			bundle, err := h.ledger.Bundle(digest)
			if err != nil && h.lose(digest) {
				h.opts.Log.Warn("what a cluster was given is lost; its prunes are held until it was seen in order", "cluster", name, "error", err)
			}
			return bundle
		},
	}
}

// lose notes that a bundle is lost, and reports whether that is news.
func (h *Hub) lose(digest string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := !h.lost[digest]
	h.lost[digest] = true
	return news
}

// give gives a cluster what it should hold, once that is on the disk: a hub that
// is killed in between gives it again. Where the disk does not take it, the cluster
// keeps what it has until it does. Objects of which nobody remembers that they were
// given could go later without counting against the fleet's budget.
func (h *Hub) give(m *member, given desired.Given, sources map[string]string) {
	var bundles []*app.Bundle
	for _, desired := range given.Apps {
		if desired.Bundle != nil {
			bundles = append(bundles, desired.Bundle)
		}
	}
	if err := h.ledger.Keep(given.Cluster, given.Entry, bundles); err != nil {
		h.mu.Lock()
		m.unkept = err
		h.mu.Unlock()
		h.opts.Log.Error("a cluster is given nothing new", "error", err)
		return
	}
	next := &spoke.Assigned{Assignment: given.Assignment, Sources: sources, Holds: given.Holds}
	key := told.Key(next)
	h.mu.Lock()
	news := m.key != key
	if news {
		m.key, m.given, m.leaving = key, next, nil
		if slices.ContainsFunc(given.Apps, func(d app.Desired) bool { return d.Removed }) {
			m.leaving = next
		}
	}
	h.mu.Unlock()
	if news {
		m.spoke.Assign(next)
	}
	if r, ok := m.spoke.(*remote); ok {
		r.owe(false)
	}
	h.mu.Lock()
	m.unkept = nil // only now: until it was given this, it is not Synced with it
	h.mu.Unlock()
}
