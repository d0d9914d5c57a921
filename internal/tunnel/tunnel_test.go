package tunnel

import (
	"testing"
)

// TestBothWays is a day without trouble: an agent enrols, and each end calls the
// other over the one connection.
func TestBothWays(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 3)).start()
	c := m.connected()
	eventually(t, "the link is there", w.linked("prod"))
	link := w.server.Links()[0]

	want := Identity{Fleet: "test", Cluster: "prod", Number: 3}
	if c.Identity() != want || link.Identity() != want {
		t.Errorf("the ends name %s and %s, not %s", c.Identity(), link.Identity(), want)
	}
	if link.Hello().Product != "v0-agent" || link.Hello().Instance == "" || c.Hub().Product != "v0-test" || link.Address() != "127.0.0.1" {
		t.Errorf("the hellos are %+v from %s and %+v", link.Hello(), link.Address(), c.Hub())
	}
	for range 3 {
		mustCall(t, c.Client(), HubURL+"/reports", "up", "hub to prod: up")
		mustCall(t, link.Client(), AgentURL+"/object", "down", "agent: down")
	}
}
