package release

import (
	"fmt"
	"time"

	"nave.dev/internal/app"
)

// intent is what a decision depends on besides the records.
type intent struct {
	release *app.Release
	wanted  string
	owner   string
	lost    int // failures of which the records do not tell
	now     time.Time
	rerun   bool
}

// decision is the next step.
type decision struct {
	step Step   // empty if there is none
	why  string // in words, where it is not plain
	to   int    // the revision to roll back to
	// last says that no other step follows in the same call.
	last bool
	// reviewed says that what is uninstalled is reviewed, as it worked before.
	reviewed bool
	wait     time.Duration // before the step; 0 is at once

	current   bool // the release is as it should be
	failures  int  // attempts that failed
	exhausted bool // no step is left though it is not
}

// foreignPatience is how long a step that somebody else began is taken to be going on.
const foreignPatience = 10 * time.Minute

// slack is how far clocks may be apart.
const slack = time.Minute

// decide says what is next for a release. It is a function of values, so that every
// state in which a release may be found can be told what follows.
func decide(seen history, in intent) decision {
	if len(seen) == 0 || seen[0].status == uninstalled {
		return in.absent()
	}
	last := seen[0]
	switch {
	case last.pending() && !last.ours:
		if rest := foreignPatience - in.now.Sub(last.changed); rest > 0 {
			return decision{step: Unlock, wait: rest, why: fmt.Sprintf("revision %d is %s by somebody else", last.number, last.status)}
		}
		return decision{step: Unlock}
	case last.pending():
		return decision{step: Unlock}
	case last.status == uninstalling: // it was broken off
		return decision{step: Uninstall}
	case last.status == deployed && last.wanted == in.wanted && last.owner == in.owner && !in.rerun:
		return in.deployed(seen)
	}
	failures := in.lost + seen.failures(in.wanted)
	switch {
	case last.status == failed && failures > 0:
		return in.failed(seen, failures)
	case in.exhausted(in.action(seen), failures):
		return decision{failures: failures, exhausted: true}
	}
	return decision{step: Upgrade, failures: failures}
}

// absent is what follows where there is no release.
func (in intent) absent() decision {
	if in.exhausted(in.release.Install, in.lost) {
		return decision{failures: in.lost, exhausted: true}
	}
	return decision{step: Install, failures: in.lost}
}

// deployed is what follows where the last revision is what is wanted.
func (in intent) deployed(seen history) decision {
	tests := seen[0].tests
	if !in.release.Tests.Run {
		return decision{current: true}
	}
	switch {
	case tests == "":
		return decision{step: Test}
	case tests == testsFailed && !in.action(seen).Remediation.PassTests:
		return in.failed(seen, in.lost+seen.failures(in.wanted))
	}
	return decision{current: true}
}

// failed is what follows where the last revision failed, after so many failures.
func (in intent) failed(seen history, failures int) decision {
	action := in.action(seen)
	rules := action.Remediation
	if rules.Again > 0 {
		d := decision{step: Upgrade, failures: failures}
		if since := in.now.Sub(seen[0].changed); since >= -slack { // else another clock has set the time, which says nothing
			d.wait = max(0, rules.Again-since)
		}
		return d
	}
	exhausted := in.exhausted(action, failures)
	if exhausted && !rules.Last {
		return decision{failures: failures, exhausted: true}
	}
	target, found := seen.target()
	switch {
	case rules.Uninstall || !seen.installed(in.wanted):
		return decision{step: Uninstall, failures: failures, last: true, reviewed: seen.installed(in.wanted)}
	case found:
		return decision{step: Rollback, to: target, failures: failures, last: true}
	}
	return decision{failures: failures, exhausted: true, why: "there is no revision to roll back to"}
}

// exhausted reports whether an action that failed so often is not tried again.
func (in intent) exhausted(action app.ReleaseAction, failures int) bool {
	rules := action.Remediation
	return rules.Again == 0 && rules.Retries >= 0 && failures > rules.Retries
}

// action is the one whose rules count: what is wanted is either the first thing that
// is installed, or an upgrade.
func (in intent) action(seen history) app.ReleaseAction {
	if !seen.installed(in.wanted) {
		return in.release.Install
	}
	return in.release.Upgrade
}

// installed reports whether there was a revision that worked, and that is not just
// the one that is being tested.
func (h history) installed(wanted string) bool {
	for i, r := range h {
		if r.good() && (i > 0 || r.wanted != wanted) {
			return true
		}
	}
	return false
}

// failures counts the attempts at what is wanted that failed, back to the last
// revision of which something else was wanted. Rollbacks between them do not count, nor
// what was broken off.
func (h history) failures(wanted string) (count int) {
	for _, r := range h {
		switch {
		case r.wanted == "":
		case r.wanted != wanted:
			return count
		case r.status == failed || r.tests == testsFailed:
			count++
		}
	}
	return count
}

// target is the revision to roll back to: the last one that worked, before the one
// that failed.
func (h history) target() (number int, found bool) {
	for _, r := range h[1:] {
		if r.good() {
			return r.number, true
		}
	}
	return 0, false
}
