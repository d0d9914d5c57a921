package protocol

import (
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/spoke"
)

// An agent that does not know expressions for health would call the app healthy by other
// rules, and what depends on it would go on.
func TestSuit(t *testing.T) {
	bundle, err := app.NewBundle(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	judged := app.Options{HealthChecks: []app.HealthCheck{{Group: "example.org", Current: "true"}}}
	a := &spoke.Assigned{Assignment: &app.Assignment{Cluster: "one", Apps: []app.Desired{{Name: "judged", Bundle: bundle, Options: judged}, {Name: "plain", Bundle: bundle}}}}
	for minor, want := range map[int]string{0: tooOld, 1: "", 2: ""} {
		message := NewAssignment(a, "k", Checks{})
		message.Suit(minor)
		if message.Apps[0].Error != want || message.Apps[1].Error != "" {
			t.Errorf("an agent of 1.%d is given %+v", minor, message.Apps)
		}
		if Suits(a, minor) != (want == "") {
			t.Errorf("an agent of 1.%d understands it: %t", minor, Suits(a, minor))
		}
		got, err := message.Assigned(func(string) (*app.Bundle, error) { return bundle, nil })
		if err != nil {
			t.Fatal(err)
		}
		if got.Apps[0].Bundle == nil || (got.Apps[0].Err != nil) != (want != "") {
			t.Errorf("an agent of 1.%d has %+v of it", minor, got.Apps[0])
		}
	}
	if !strings.Contains(tooOld, "hint: ") {
		t.Error("what to do is not said")
	}
}
