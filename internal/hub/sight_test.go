package hub

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nave.dev/internal/hub/marking"
	"nave.dev/internal/people/gate"
)

func TestWhyOfRecoveringNamesNoUnseenCluster(t *testing.T) {
	fleet := Fleet{Recovering: &marking.Recovering{Why: "the agent of prod-7 was told of a later state of the database"}}
	if seen := fleet.seenBy(gate.Caller{}).Recovering; seen == nil || strings.Contains(seen.Why, "prod-7") {
		t.Errorf("who does not see all clusters is told %+v", seen)
	}
	if seen := fleet.seenBy(gate.Caller{Owner: true}).Recovering; seen.Why != fleet.Recovering.Why {
		t.Errorf("the owner is told %q, not %q", seen.Why, fleet.Recovering.Why)
	}
}

func TestNoEventsAreAnEmptyList(t *testing.T) {
	h := lostHub(t, t.TempDir())
	answer := httptest.NewRecorder()
	h.serveEvents(answer, httptest.NewRequest(http.MethodGet, "/api/v1/events?from=0", nil))
	if body := answer.Body.String(); !strings.Contains(body, `"events":[]`) {
		t.Errorf("where there are no events the answer is %s", body)
	}
}
