package spoke

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/spoke/fight"
	"nave.dev/internal/spoke/hours"
	"nave.dev/internal/spoke/inputs"
	"nave.dev/internal/spoke/readiness"
	"nave.dev/internal/spoke/record"
	"nave.dev/internal/spoke/rights"
)

// work is one app in the loop.
type work struct {
	name    string
	options app.Options
	bundle  *app.Bundle // last good one; nil if there never was one
	given   *app.Bundle // last good one of who assigns, if the app is in error; it may have been too brief to get here
	removed bool        // the app is to go with all its objects
	err     error       // why the present state of Git cannot be told
	hold    string      // why nothing is deleted unasked
	busy    bool
	cancel  context.CancelFunc // of what is under way
	seen    bool               // health is as of the last change
	expires time.Time          // when health is another one without a change, zero if never
	// fresh is set until the app's first sync on a cluster that never had it.
	fresh bool
	// idle is set while the app may not be written. What happened meanwhile is
	// looked at when that is over.
	idle bool
	// late is set when something turned up that concerns the app, and that its last
	// sync did not know of.
	late bool
	// roused is set when a hook of the app has changed since its last sync began.
	roused bool

	comparing bool        // what is under way writes nothing
	recalled  bool        // what another process applied of it was looked for
	closed    []int       // waves whose gates were closed when the last sync began
	began     time.Time   // when the sync that is not done yet first began
	hours     hours.Hours // what the app's windows last said
	tried     int         // how often a sync failed, where the app says how often it may
	gaveUp    bool        // it was as often as it may

	state         AppState
	rights        rights.Standing // of what it is now
	inputs        *inputs.Reading // of the last sync
	optionsDigest string
	syncedDigest  string // of the bundle and options that were brought about
	syncedOptions string
	since         time.Time // when the app was last healthy or got a reason to change, for its deadline
	failures      int
	retryAt       time.Time // of a sync that was not complete
	known         map[object.ID]apply.Baseline
	drifted       map[object.ID]time.Time // to repair, and from when on
	fights        fight.Fights
}

func newWork(name string, now time.Time) *work {
	return &work{
		name: name, since: now, state: AppState{Name: name, Sync: Unknown},
		known:   map[object.ID]apply.Baseline{},
		drifted: map[object.ID]time.Time{}, fights: fight.Fights{},
	}
}

// want takes over what is desired of the app now. An app in error keeps what was
// last accepted, here or by who assigns, with the rights that it has now.
func (w *work) want(desired app.Desired, source string, now time.Time) {
	w.state.Source, w.err, w.seen = source, desired.Err, false
	if desired.Err != nil && (w.bundle != nil || desired.Bundle == nil) {
		w.given = cmp.Or(desired.Bundle, w.given)
		w.options.Restrain(desired.Options)
		if w.bundle == nil {
			w.state.Parent = desired.Options.Lineage.Parent
		}
		return
	}
	options, err := json.Marshal(desired.Options)
	if err != nil {
		panic(err) // plain data
	}
	if w.bundle == nil || w.bundle.Digest != desired.Bundle.Digest || w.optionsDigest != string(options) {
		w.since, w.began = now, time.Time{}
		w.failures, w.tried, w.gaveUp, w.retryAt = 0, 0, false, time.Time{}
		if w.bundle != nil {
			w.state.Sync = OutOfSync
			w.syncedOptions = "" // what comes may be what was last synced, before this was
		}
	}
	if w.removed != desired.Removed {
		w.forget()
	}
	if desired.Options.CorrectDrift && !w.options.CorrectDrift {
		clear(w.known) // drift that was there when it was applied has become what is known
	}
	w.bundle, w.given, w.options, w.optionsDigest, w.removed = desired.Bundle, nil, desired.Options, string(options), desired.Removed
	w.state.Parent, w.state.Removed = desired.Options.Lineage.Parent, desired.Removed
	w.state.Digest, w.state.Objects = desired.Bundle.Digest, len(desired.Bundle.Objects)
}

// holdFor takes over why nothing of the app is deleted unasked. What was held for
// another reason is looked at again.
func (w *work) holdFor(reason string) {
	if w.hold != reason && w.state.Held != nil {
		w.forget()
	}
	w.hold = reason
}

// due reports whether the app is to be synced.
func (w *work) due(now time.Time) bool {
	if w.roused {
		return true
	}
	if w.current() && !w.late {
		return !w.retryAt.IsZero() && !now.Before(w.retryAt)
	}
	return !now.Before(w.retryAt)
}

// current reports whether what is wanted now is what was last synced.
func (w *work) current() bool {
	return w.syncedDigest == w.bundle.Digest && w.syncedOptions == w.optionsDigest
}

// forget makes the app due now.
func (w *work) forget() {
	w.syncedDigest, w.retryAt, w.failures, w.tried, w.gaveUp = "", time.Time{}, 0, 0, false
}

// tryAgain has an app that could not be brought about be due now.
func (w *work) tryAgain(now time.Time) {
	if !w.retryAt.IsZero() {
		w.retryAt, w.failures = now, 0
	}
}

// stop breaks off what is under way.
func (w *work) stop() {
	if w.cancel != nil {
		w.cancel()
	}
}

// sync brings the app about. Of several that may delete, one at a time runs,
// since all use up the one budget of the cluster.
func (s *session) sync(ctx context.Context, w *work) {
	prunes := s.mayPrune(w)
	if prunes && s.pruning {
		return
	}
	s.pruning = s.pruning || prunes
	if !s.hooksWait(w) {
		w.doubt(s.now())
	}
	w.late, w.roused = false, false
	target := s.target(ctx, w)
	w.inputs = s.reading(w)
	target.Variables = w.inputs.Replace
	entitled := s.rights.Entitles(app.Desired{Name: w.name, Bundle: w.bundle, Options: w.options}, s.kindsNow)
	target.Options.CorrectDrift = target.Options.CorrectDrift || s.requested(w) // who asks, asks for that too
	w.closed = readiness.Closed(w.options.Gates, s.settled)
	digest, options := w.bundle.Digest, w.optionsDigest
	if w.began.IsZero() {
		w.began = s.now()
	}
	w.state.Message = "syncing"
	s.do(ctx, w, func(task context.Context) func() {
		result, err := s.applier.Sync(task, target, entitled)
		stopped := task.Err() != nil
		return func() {
			if prunes {
				s.pruning, s.whole = false, true // it is the next one's turn
			}
			lacks, news := w.rights.Found(digest+" "+options, err, s.now())
			if news {
				s.event(w.name, EventHeld, w.rights.Held(), nil)
			}
			stopped = stopped || lacks // and begun anew with them
			w.fresh = false
			s.judge(w, result, err)
			s.learn(w, result)
			w.state.SyncedAt = s.now()
			switch {
			case stopped:
				w.forget()
			case err != nil || w.state.Sync != Synced || result.WaitsFor != "":
				w.retry(s.now())
				if next := s.hookRetry(w, cmp.Or(w.retryAt, s.now().Add(lastAppRetry))); !w.gaveUp || !s.records.Record.Hooks[w.name].Ends() {
					w.retryAt = next
				}
			default:
				w.retryAt, w.failures, w.tried = time.Time{}, 0, 0
			}
			undone := w.state.Held != nil || len(w.state.Problems.With(change.Failed, change.Conflict)) > 0
			if !stopped && err == nil && result.WaitsFor == "" && !undone {
				w.began = time.Time{}
				if s.apps[w.name] == w && s.writes() {
					s.fulfil(ctx, w, digest)
				}
			}
			if !stopped {
				w.syncedDigest, w.syncedOptions = digest, options
				w.follow()
			}
			if changed := result.Changes.With(change.Created, change.Updated, change.Adopted, change.Deleted, change.Replaced, change.Corrected); len(changed) > 0 {
				s.event(w.name, EventApplied, result.Changes.Summary(), changed)
			}
			if err != nil && !stopped {
				s.event(w.name, EventFailed, err.Error(), nil)
			}
			if s.apps[w.name] == w && s.writes() {
				s.remember(ctx, w, result, err == nil)
			}
		}
	})
}

// doubt has what others changed read again, to be corrected or reported with the rest.
func (w *work) doubt(now time.Time) {
	for id, from := range w.drifted {
		if !now.Before(from) {
			delete(w.known, id)
			delete(w.drifted, id)
		}
	}
	for _, entry := range w.state.Drift {
		delete(w.known, entry.Object)
	}
}

// mayPrune reports whether a sync of the app could delete: there is something
// with its marks that it does not want, or that is not known.
func (s *session) mayPrune(w *work) bool {
	record := s.records.Record
	if _, applied := slices.BinarySearch(record.Applied, w.name); !w.options.Prune || !applied || w.fresh {
		return false
	}
	tracked := s.trackedOf(w)
	return tracked == nil && w.bundle.Release == nil || slices.ContainsFunc(tracked, func(t apply.Tracked) bool { return s.leftOver(w, t) })
}

// leftOver reports whether an object with the app's marks is none that it wants.
func (s *session) leftOver(w *work, t apply.Tracked) bool {
	made := w.options.CreateNamespace && t.ID.Kind == "Namespace" && s.claims.Inside(t.ID.Name, w.name)
	return t.Owner.App == w.name && w.bundle.Release == nil && !slices.Contains(s.claims.Owners(t.ID), w.name) && !made
}

// target is the app as the applier wants it.
func (s *session) target(ctx context.Context, w *work) apply.Target {
	claims := s.claims
	record := s.records.Record
	var confirmed []string
	if digest := record.Confirmed[w.name]; digest != "" {
		confirmed = append(confirmed, digest)
	}
	asked := record.Rerun[w.name]
	checker, rules, keys, files := s.checks, s.rules.Load(), s.spoke.opts.Keys, w.bundle.Encrypted
	tracked := s.trackedOf(w)
	if tracked == nil && w.fresh {
		tracked = []apply.Tracked{} // nothing is deleted yet; what turns up later is
	}
	return apply.Target{
		Variables: s.reading(w).Replace,
		App:       w.name, Bundle: w.bundle, Options: w.options, Removed: w.removed,
		FirstApply: w.fresh,
		// An app in error of which nothing was ever accepted may have any object,
		// also one that another app no longer has. What carries an app's marks
		// before it was ever applied, as when the record was lost, is left to its
		// next sync, which takes its turn at the cluster's budget.
		Gate:            readiness.Ask(w.options.Gates, s.settled),
		Complete:        claims.Complete() && w.err == nil && !w.fresh,
		Confirmed:       confirmed,
		Kinds:           record.KindsOf(w.name),
		Known:           maps.Clone(w.known),
		ClaimedBy:       func(id object.ID) (string, bool) { return claims.By(w.name, id) },
		Needs:           func(id object.ID) (string, bool) { return claims.Needs(w.name, id) },
		Keeps:           claims.Keeps,
		Tracked:         tracked,
		ClusterObjects:  s.tracked.Marked(),
		PrunedThisRound: s.spoke.pruned,
		HoldPrunes:      w.hold,
		Run:             record.Hooks[w.name],
		KeepRun:         s.keepRun(w, asked),
		Rerun:           asked,
		Completion:      completion(ctx, checker),
		Decrypt:         func(u *unstructured.Unstructured) (*unstructured.Unstructured, error) { return keys.Decrypt(u, files) },
		Health: func(u *unstructured.Unstructured) (ready, failed bool, message string) {
			result := rules.Check(ctx, w.name, u)
			if result.Ignored { // nothing waits for it, as it does not count for the app
				return true, false, ""
			}
			return result.Status == health.Healthy || result.Status == health.Suspended, result.Status == health.Degraded, result.Message
		},
	}
}

// trackedOf returns the objects with the app's marks as the watches show them, or
// nil if they do not show all: kinds in which it may have some have not been listed,
// or what was just applied has not been seen.
func (s *session) trackedOf(w *work) []apply.Tracked {
	for _, kind := range s.records.Record.KindsOf(w.name) {
		if !s.listed[kind] {
			return nil
		}
	}
	for id := range w.known {
		if _, seen := s.tracked.Get(id); !seen {
			return nil
		}
	}
	return s.tracked.Of(w.name)
}

// learn keeps what is now known of the app's objects, what is reported of them being in
// its state. Events that came during the work were judged by what was known before it.
func (s *session) learn(w *work, result apply.Result) {
	w.seen = false
	for id, baseline := range result.Baselines {
		if !s.hand(id, w) {
			continue
		}
		w.known[id] = baseline
		if t, there := s.tracked.Get(id); there {
			w.compare(t, s.now().Add(beat), false) // its event may be on the way
		}
	}
	s.spoke.pruned += result.Pruned
	for _, entry := range result.Changes {
		if entry.Action == change.Deleted {
			delete(w.known, entry.Object)
			delete(s.health, entry.Object)
			delete(w.drifted, entry.Object)
			delete(s.applied, entry.Object)
		}
	}
}

// hand records whose sync brought an object about. What the app that had it before
// knows of it holds no longer. If Git has given the object to another app
// meanwhile, that one may have had it already and must look again.
func (s *session) hand(id object.ID, to *work) bool {
	owners := s.claims.Owners(id)
	if len(owners) > 0 && !slices.Contains(owners, to.name) {
		for _, name := range owners {
			if w := s.apps[name]; w != nil {
				delete(w.known, id)
				s.late(w)
			}
		}
		return false
	}
	if from := s.apps[s.applied[id]]; from != nil && from != to {
		from.seen = false
		delete(from.known, id)
		delete(from.drifted, id)
	}
	s.applied[id] = to.name
	return true
}

// late has an app look again at what its last sync did not know of.
func (s *session) late(w *work) {
	w.late = true
	s.agenda.Add(w.name)
}

// remember keeps on the cluster what must outlive this process: that a
// confirmation has been used. If that fails, the next session does it again.
func (s *session) remember(ctx context.Context, w *work, result apply.Result, whole bool) {
	if s.records.Record.Confirmed[w.name] == "" {
		return
	}
	err := s.records.Change(ctx, func(r *record.Record) {
		// What was confirmed is done, or the list is another one now.
		done := result.Held == nil && whole && result.WaitsFor == "" && len(w.state.Problems) == 0
		if done || result.Held != nil && result.Held.Digest != r.Confirmed[w.name] {
			delete(r.Confirmed, w.name)
		}
	})
	if err != nil {
		w.forget()
		s.abandon(err)
	}
}

// judge sets the app's sync status from what a sync came to.
func (s *session) judge(w *work, result apply.Result, err error) {
	failedBefore := w.state.Problems.With(change.Failed, change.Conflict)
	w.state.Problems = result.Changes.With(change.Failed, change.Conflict, change.Skipped)
	w.state.Drift = result.Changes.With(change.Drifted)
	if news := w.state.Problems.With(change.Failed, change.Conflict).Besides(failedBefore); len(news) > 0 {
		text := news[0].Object.String() + ": " + news[0].Reason
		if more := len(news) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		s.refusedAny(news)
		s.event(w.name, EventFailed, text, news)
	}
	before := w.state.Held
	w.state.Held = nil
	if result.Held != nil {
		w.state.Held = &Held{Digest: result.Held.Digest, Reason: result.Held.Reason, Objects: result.Held.Objects}
		if before == nil || before.Digest != result.Held.Digest {
			s.event(w.name, EventHeld, w.state.Held.String(), nil)
		}
	}
	w.state.Conclude(result.WaitsFor, err)
}

// follow says that the app is not Synced if Git has moved on meanwhile.
func (w *work) follow() {
	if w.state.Sync == Synced && !w.current() {
		w.state.Sync = OutOfSync
	}
}
