package hub

import (
	"fmt"

	"nave.dev/internal/protocol"
)

// suit names what is wanted as it is for an agent of the version that is connected: a
// newer one is then sent what an older one would have misunderstood.
func (r *remote) suit() {
	if r.key = r.content; r.wanted != nil && !protocol.Suits(r.wanted, r.minor()) {
		r.key += fmt.Sprintf("-1.%d", r.minor())
	}
}

// minor is the minor version of the protocol that the agent speaks, or spoke last.
func (r *remote) minor() int {
	if r.link != nil {
		r.spoken = r.link.Hello().Protocol.Minor
	}
	return r.spoken
}
