package past

import (
	"encoding/json"
	"errors"

	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
)

// ErrUnseen says of a cluster that its state is that of an earlier hub's time.
var ErrUnseen = errors.New("no agent has connected since the hub was started; this is what was known before")

// State is what a hub before this one knew last of a cluster, of which nothing
// counts as being so now.
func State(c store.Cluster) (state spoke.State, known bool) {
	if len(c.State) == 0 || json.Unmarshal(c.State, &state) != nil {
		return spoke.State{}, false
	}
	state.Cluster, state.Online, state.Writer, state.Sync = c.Name, false, false, spoke.Unknown
	state.OfflineSince, state.Error = c.LastSeen, ErrUnseen.Error()
	state.Health = spoke.Health{Status: spoke.HealthUnknown}
	for i := range state.Apps {
		state.Apps[i].Sync, state.Apps[i].Held = spoke.Unknown, nil
	}
	return state, true
}
