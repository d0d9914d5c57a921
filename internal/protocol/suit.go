package protocol

import "nave.dev/internal/spoke"

// minorHealthChecks is the first minor version of the protocol whose agents judge an app
// by expressions of its own.
const minorHealthChecks = 1

// tooOld is why an app is in error on a cluster whose agent would call it healthy by
// other rules than its own.
const tooOld = "its health is told by expressions, which the agent of the cluster is too old for\nhint: run the agent with the hub's version of nave"

// Suits reports whether an agent that speaks a minor version of the protocol understands
// all that matters of an assignment.
func Suits(a *spoke.Assigned, minor int) bool {
	for _, desired := range a.Apps {
		if len(desired.Options.HealthChecks) > 0 && minor < minorHealthChecks {
			return false
		}
	}
	return true
}

// Suit puts apps in error that an agent of a minor version would misunderstand: what is
// on the cluster of them stays, and who depends on one waits.
func (a *Assignment) Suit(minor int) {
	for i := range a.Apps {
		if one := &a.Apps[i]; len(one.Options.HealthChecks) > 0 && minor < minorHealthChecks && one.Error == "" {
			one.Error = tooOld
		}
	}
}
