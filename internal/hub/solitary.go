package hub

import (
	"context"

	"nave.dev/internal/desired/checks"
	"nave.dev/internal/hub/alone"
	"nave.dev/internal/hub/told"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

// solitary keeps the one cluster of a process that stands in the place of its agent.
type solitary struct {
	*alone.Keeper
	hub *Hub
}

// Known implements keeper.
func (s solitary) Known() bool { return true }

// Judge has the cluster judged by other checks, and keep them. Those that cannot be
// kept are those of before.
func (s solitary) Judge(j judgment) {
	s.Spoke.Judge(j.checker)
	packed, err := protocol.NewChecks(j.own.Files, checks.Dir, j.own.Digest)
	if err != nil {
		s.hub.opts.Log.Error("the fleet's health checks are not kept", "error", err)
		return
	}
	s.Check(packed)
}

// dwell has the one cluster kept, unless it is; of what the cluster keeps already,
// there is the assignment, with the fleet's own checks. The hub is locked.
func (h *Hub) dwell(fleet string, m *member, there *spoke.Assigned, own protocol.Checks) {
	if m.spoke != nil {
		return
	}
	options := h.spokeOptions(h.opts.Alone.Name, fleet, h.home.Config())
	options.Writer = h.home.Writer
	s := solitary{h.home.Keeper(spoke.New(options), there, own), h}
	if there == nil && h.judged.own.Digest != "" {
		s.Judge(h.judged)
	}
	h.start(m, s)
}

// goOn goes on with what the cluster keeps, if the disk remembers no state of Git.
func (h *Hub) goOn(ctx context.Context) error {
	message, assigned, err := h.home.Load(ctx)
	if err != nil || assigned == nil {
		return err
	}
	if _, err := h.pipeline.PinAccepted(ctx); err == nil {
		return nil
	}
	files, err := message.Checks.Files()
	if err == nil && files != nil {
		var checker spoke.Checker
		if checker, err = spoke.NewChecker(files, "."); err == nil {
			h.judged.checker, h.tried = checker, message.Checks.Digest
		}
	}
	if err != nil {
		h.opts.Log.Error("the fleet's health checks that the cluster keeps are of no use", "error", err)
	}
	h.opts.Log.Info("going on with what the cluster keeps", "apps", len(assigned.Apps))
	h.mu.Lock()
	defer h.mu.Unlock()
	m := &member{given: assigned, key: told.Key(assigned)}
	h.members[h.opts.Alone.Name] = m
	h.dwell(message.Fleet, m, assigned, message.Checks)
	return nil
}
