package hub

import (
	"nave.dev/internal/desired/checks"
	"nave.dev/internal/spoke"
)

// judge has all clusters judged by the fleet's own health checks, if they are
// others than before. While one of them is in error, which is a problem of the
// fleet repository, those from before stay in force.
func (h *Hub) judge(own checks.Checks) {
	if own.Digest == h.tried {
		return
	}
	h.tried = own.Digest
	checker, err := spoke.NewChecker(own.Files, checks.Dir)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.judged = judgment{own: own, checker: checker}
	for _, m := range h.members {
		if m.spoke != nil {
			m.spoke.Judge(h.judged)
		}
	}
}
