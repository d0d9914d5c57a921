package release

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/app"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// rev is a revision that this package made for what was wanted; "" made by others, or by a rollback.
func rev(number int, status, wanted string) revision {
	r := revision{number: number, status: status, wanted: wanted, changed: now.Add(-time.Minute)}
	if wanted != "" {
		r.ours, r.owner = true, "me"
	}
	return r
}

func tested(r revision, outcome string) revision { r.tests = outcome; return r }

func TestDecide(t *testing.T) {
	retries := func(n int, last bool) app.ReleaseAction {
		return app.ReleaseAction{Remediation: app.Remediation{Retries: n, Last: last}}
	}
	plain := &app.Release{}
	tests := &app.Release{Tests: app.ReleaseTests{Run: true}}
	thrice := &app.Release{Install: retries(2, false), Upgrade: retries(2, true)}
	another := rev(2, deployed, "b")
	another.owner = "another"
	ahead := rev(2, failed, "b")
	ahead.changed = now.Add(time.Hour)
	old := rev(1, "pending-install", "")
	old.changed = now.Add(-time.Hour)
	for _, test := range []struct {
		reason  string
		release *app.Release
		seen    history // the last revision first
		failed  int     // attempts that the records do not tell of
		rerun   bool
		want    decision
	}{
		{reason: "nothing is there", release: plain, want: decision{step: Install}},
		{reason: "it was uninstalled, and its history kept", release: plain, seen: history{rev(3, uninstalled, "b")}, want: decision{step: Install}},
		{reason: "an installation failed, and was uninstalled", release: plain, failed: 1, want: decision{failures: 1, exhausted: true}},
		{reason: "and may be tried again", release: thrice, failed: 2, want: decision{step: Install, failures: 2}},
		{reason: "but not for ever", release: thrice, failed: 3, want: decision{failures: 3, exhausted: true}},
		{reason: "it is as wanted", release: plain, seen: history{rev(2, deployed, "b"), rev(1, superseded, "a")}, want: decision{current: true}},
		{reason: "somebody asks for it all the same", release: plain, rerun: true, seen: history{rev(1, deployed, "b")}, want: decision{step: Upgrade}},
		{reason: "something else is wanted", release: plain, seen: history{rev(1, deployed, "a")}, want: decision{step: Upgrade}},
		{reason: "another app made it", release: plain, seen: history{another}, want: decision{step: Upgrade}},
		{reason: "a person upgraded it, and Helm copied the labels", release: plain, seen: history{rev(2, deployed, ""), rev(1, superseded, "b")}, want: decision{step: Upgrade}},

		{reason: "an installation was broken off", release: plain, seen: history{rev(1, "pending-install", "b")}, want: decision{step: Unlock}},
		{reason: "so was an upgrade", release: plain, seen: history{rev(2, "pending-upgrade", "b"), rev(1, deployed, "a")}, want: decision{step: Unlock}},
		{reason: "so was a rollback", release: plain, seen: history{{number: 3, status: "pending-rollback", ours: true}, rev(2, failed, "b")}, want: decision{step: Unlock}},
		{reason: "a person rolls it back just now", release: plain, seen: history{rev(3, "pending-rollback", ""), rev(2, failed, "b")},
			want: decision{step: Unlock, wait: 9 * time.Minute, why: "revision 3 is pending-rollback by somebody else"}},
		{reason: "what somebody else began long ago is over", release: plain, seen: history{old}, want: decision{step: Unlock}},
		{reason: "what was broken off is no failure", release: plain, seen: history{rev(1, failed, "")}, want: decision{step: Upgrade}},
		{reason: "a removal that was broken off goes on", release: plain, seen: history{rev(1, uninstalling, "b")}, want: decision{step: Uninstall}},

		{reason: "an installation failed: it is left as it is", release: plain, seen: history{rev(1, failed, "b")}, want: decision{failures: 1, exhausted: true}},
		{reason: "unless there are retries: then it is uninstalled first", release: thrice, seen: history{rev(1, failed, "b")}, want: decision{step: Uninstall, failures: 1, last: true}},
		{reason: "something else is wanted than what failed", release: plain, seen: history{rev(1, failed, "a")}, want: decision{step: Upgrade}},
		{reason: "an upgrade failed: it is left as it is", release: plain, seen: history{rev(2, failed, "b"), rev(1, deployed, "a")}, want: decision{failures: 1, exhausted: true}},
		{reason: "or rolled back", release: thrice, seen: history{rev(2, failed, "b"), rev(1, deployed, "a")}, want: decision{step: Rollback, to: 1, failures: 1, last: true}},
		{reason: "and then tried again", release: thrice, seen: history{rev(3, deployed, ""), rev(2, failed, "b"), rev(1, superseded, "a")}, want: decision{step: Upgrade, failures: 1}},
		{reason: "the second time it goes back to what the first went back to", release: thrice,
			seen: history{rev(4, failed, "b"), rev(3, deployed, ""), rev(2, failed, "b"), rev(1, superseded, "a")}, want: decision{step: Rollback, to: 3, failures: 2, last: true}},
		{reason: "after the last retry it is rolled back as well", release: thrice,
			seen: history{rev(6, failed, "b"), rev(5, deployed, ""), rev(4, failed, "b"), rev(3, superseded, ""), rev(2, failed, "b"), rev(1, superseded, "a")},
			want: decision{step: Rollback, to: 5, failures: 3, last: true}},
		{reason: "and stays so", release: thrice,
			seen: history{rev(7, deployed, ""), rev(6, failed, "b"), rev(4, failed, "b"), rev(2, failed, "b"), rev(1, superseded, "a")}, want: decision{failures: 3, exhausted: true}},
		{reason: "failures before another target do not count", release: thrice,
			seen: history{rev(6, deployed, "a"), rev(5, failed, "b"), rev(4, failed, "b"), rev(3, failed, "b"), rev(1, superseded, "a")}, want: decision{step: Upgrade}},
		{reason: "a rollback was broken off: what failed is rolled back again", release: thrice,
			seen: history{rev(3, failed, ""), rev(2, failed, "b"), rev(1, deployed, "a")}, want: decision{step: Rollback, to: 1, failures: 1, last: true}},
		{reason: "there is nothing to roll back to, as it was pruned", release: thrice, seen: history{rev(9, failed, "b"), rev(8, failed, "b")}, want: decision{step: Uninstall, failures: 2, last: true}},
		{reason: "failed upgrades are uninstalled, if that is asked for", release: &app.Release{Upgrade: app.ReleaseAction{Remediation: app.Remediation{Retries: 1, Uninstall: true}}},
			seen: history{rev(2, failed, "b"), rev(1, deployed, "a")}, want: decision{step: Uninstall, failures: 1, last: true, reviewed: true}},
		{reason: "or just tried again", release: &app.Release{Upgrade: app.ReleaseAction{Remediation: app.Remediation{Again: 5 * time.Minute}}},
			seen: history{rev(2, failed, "b"), rev(1, deployed, "a")}, want: decision{step: Upgrade, failures: 1, wait: 4 * time.Minute}},
		{reason: "at once, if another clock has set the time of the last attempt", release: &app.Release{Upgrade: app.ReleaseAction{Remediation: app.Remediation{Again: 5 * time.Minute}}},
			seen: history{ahead, rev(1, deployed, "a")}, want: decision{step: Upgrade, failures: 1}},

		{reason: "tests are to run", release: tests, seen: history{rev(1, deployed, "b")}, want: decision{step: Test}},
		{reason: "they have passed", release: tests, seen: history{tested(rev(1, deployed, "b"), testsPassed)}, want: decision{current: true}},
		{reason: "they have not", release: tests, seen: history{tested(rev(1, deployed, "b"), testsFailed)}, want: decision{failures: 1, exhausted: true}},
		{reason: "which may not matter", release: &app.Release{Tests: tests.Tests, Install: app.ReleaseAction{Remediation: app.Remediation{PassTests: true}}},
			seen: history{tested(rev(1, deployed, "b"), testsFailed)}, want: decision{current: true}},
		{reason: "or have it rolled back", release: &app.Release{Tests: tests.Tests, Upgrade: retries(0, true)},
			seen: history{tested(rev(2, deployed, "b"), testsFailed), rev(1, superseded, "a")}, want: decision{step: Rollback, to: 1, failures: 1, last: true}},
		{reason: "and so it stays", release: &app.Release{Tests: tests.Tests, Upgrade: retries(0, true)},
			seen: history{rev(3, deployed, ""), tested(rev(2, superseded, "b"), testsFailed), rev(1, superseded, "a")}, want: decision{failures: 1, exhausted: true}},
	} {
		have := decide(test.seen, intent{release: test.release, wanted: "b", owner: "me", lost: test.failed, now: now, rerun: test.rerun})
		if diff := cmp.Diff(test.want, have, cmp.AllowUnexported(decision{})); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.reason, diff)
		}
	}
}
