package spoke

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
)

// work is one app in the loop.
type work struct {
	name    string
	options app.Options
	bundle  *app.Bundle // last good one; nil if there never was one
	busy    bool
	// idle is set while the app may not be written or cannot be told. What happened
	// meanwhile is looked at when that is over.
	idle bool

	state         AppState
	optionsDigest string
	syncedDigest  string // of the bundle and options that were brought about
	syncedOptions string
	since         time.Time // when the app last got a reason to change, for its deadline
	failures      int
	retryAt       time.Time // of a sync that was not complete
	known         map[object.ID]apply.Baseline
	health        map[object.ID]health.Result
	drifted       map[object.ID]time.Time // to repair, and from when on
	fights        map[object.ID]fight
}

// want takes over what is desired of the app now. An app in error keeps what was
// last accepted.
func (w *work) want(desired app.Desired, source string, now time.Time) {
	w.state.Name, w.state.Source = desired.Name, source
	if desired.Err != nil {
		w.state.Message = desired.Err.Error()
		w.state.Sync = Unknown
		w.idle = true
		return
	}
	options, err := json.Marshal(desired.Options)
	if err != nil {
		panic(err) // plain data
	}
	if w.bundle == nil || w.bundle.Digest != desired.Bundle.Digest || w.optionsDigest != string(options) {
		w.since, w.failures, w.retryAt = now, 0, time.Time{}
	}
	w.bundle, w.options, w.optionsDigest = desired.Bundle, desired.Options, string(options)
	w.state.Digest, w.state.Objects = desired.Bundle.Digest, len(desired.Bundle.Objects)
}

// due reports whether the app is to be synced.
func (w *work) due(now time.Time) bool {
	if w.syncedDigest == w.bundle.Digest && w.syncedOptions == w.optionsDigest {
		return !w.retryAt.IsZero() && !now.Before(w.retryAt)
	}
	return !now.Before(w.retryAt)
}

// forget makes the app due now.
func (w *work) forget() {
	w.syncedDigest, w.retryAt, w.failures = "", time.Time{}, 0
}

// Waits before an app that could not be brought about is tried again.
const (
	firstAppRetry = 2 * time.Second
	lastAppRetry  = 3 * time.Minute
)

// sync brings the app about.
func (s *session) sync(ctx context.Context, w *work) {
	target := s.target(ctx, w)
	digest, options := w.bundle.Digest, w.optionsDigest
	w.state.Message = "syncing"
	s.do(w, func() func() {
		result, err := s.applier.Sync(ctx, target)
		return func() {
			s.remember(ctx, w, result)
			s.judge(w, result, err)
			w.state.SyncedAt = s.now()
			w.syncedDigest, w.syncedOptions = digest, options
			if w.state.Sync != Synced || result.WaitsFor != "" {
				w.retryAt = s.now().Add(min(firstAppRetry<<min(w.failures, 10), lastAppRetry))
				w.failures++
			} else {
				w.retryAt, w.failures = time.Time{}, 0
			}
			if changed := result.Changes.With(change.Created, change.Updated, change.Adopted, change.Deleted, change.Replaced, change.Corrected); len(changed) > 0 {
				s.event(w.name, EventApplied, result.Changes.Summary(), changed)
			}
			if err != nil {
				s.event(w.name, EventFailed, err.Error(), nil)
			}
		}
	})
}

// target is the app as the applier wants it.
func (s *session) target(ctx context.Context, w *work) apply.Target {
	owners := s.owners
	living := map[string]bool{}
	objects := 0
	for name, other := range s.apps {
		living[name] = true
		objects += len(other.known)
	}
	record := s.records.record
	known := make(map[object.ID]apply.Baseline, len(w.known))
	for id, baseline := range w.known {
		known[id] = baseline
	}
	checker := s.spoke.opts.Health
	return apply.Target{
		App: w.name, Bundle: w.bundle, Options: w.options,
		FirstApply: !slices.Contains(record.Applied, w.name),
		Complete:   s.assigned.Incomplete == nil,
		Confirmed:  append(slices.Clone(record.Confirmed), w.options.ConfirmPrune),
		Kinds:      record.kinds(w.name),
		Known:      known,
		ClaimedBy: func(id object.ID) (string, bool) {
			owner, ok := owners[id]
			return owner, ok && owner != w.name
		},
		Living:          func(name string) bool { return living[name] },
		Tracked:         s.trackedOf(w),
		ClusterObjects:  objects,
		PrunedThisRound: s.pruned,
		Health: func(u *unstructured.Unstructured) (ready, failed bool, message string) {
			result := checker.Check(ctx, u)
			return result.Status == health.Healthy || result.Status == health.Suspended, result.Status == health.Degraded, result.Message
		},
	}
}

// trackedOf returns the objects with the app's marks as the watches show them, or
// nil if not all kinds in which it may have some have been listed.
func (s *session) trackedOf(w *work) []apply.Tracked {
	for _, kind := range s.records.record.kinds(w.name) {
		if !s.listed[kind] {
			return nil
		}
	}
	tracked := []apply.Tracked{}
	for _, t := range s.tracked {
		if t.Owner.App == w.name {
			tracked = append(tracked, t)
		}
	}
	return tracked
}

// remember keeps what is now known of the app's objects, on the cluster what
// must outlive this process.
func (s *session) remember(ctx context.Context, w *work, result apply.Result) {
	for id, baseline := range result.Baselines {
		w.known[id] = baseline
	}
	s.pruned += result.Pruned
	for _, entry := range result.Changes {
		if entry.Action == change.Deleted {
			delete(w.known, entry.Object)
			delete(w.health, entry.Object)
		}
	}
	err := s.records.change(ctx, func(r *Record) {
		if !slices.Contains(r.Applied, w.name) {
			r.Applied = append(r.Applied, w.name)
			slices.Sort(r.Applied)
		}
		if result.Held == nil { // what was confirmed for this list is done
			r.Confirmed = slices.DeleteFunc(r.Confirmed, func(digest string) bool {
				return w.state.Held != nil && w.state.Held.Digest == digest
			})
		}
	})
	if err != nil {
		s.abandon(err)
	}
}

// judge sets the app's sync status from what a sync or repair came to.
func (s *session) judge(w *work, result apply.Result, err error) {
	w.state.Problems = result.Changes.With(change.Failed, change.Conflict, change.Skipped)
	w.state.Drift = result.Changes.With(change.Drifted)
	before := w.state.Held
	w.state.Held = nil
	if result.Held != nil {
		w.state.Held = &Held{Digest: result.Held.Digest, Reason: result.Held.Reason, Objects: result.Held.Objects}
		if before == nil || before.Digest != result.Held.Digest {
			s.event(w.name, EventHeld, fmt.Sprintf("%d deletions wait for confirmation (%s)", len(result.Held.Objects), result.Held.Reason), nil)
		}
	}
	switch {
	case err != nil:
		w.state.Sync, w.state.Message = OutOfSync, err.Error()
	case len(w.state.Problems) > 0:
		w.state.Sync, w.state.Message = OutOfSync, w.state.Problems[0].Object.String()+": "+w.state.Problems[0].Reason
	case w.state.Held != nil:
		w.state.Sync, w.state.Message = OutOfSync, fmt.Sprintf("holds %d deletions: %s", len(w.state.Held.Objects), w.state.Held.Reason)
	case len(w.state.Drift) > 0:
		w.state.Sync, w.state.Message = OutOfSync, fmt.Sprintf("%d objects differ, which is only reported", len(w.state.Drift))
	case result.WaitsFor != "":
		w.state.Sync, w.state.Message = OutOfSync, "waits for "+result.WaitsFor
	default:
		w.state.Sync, w.state.Message = Synced, ""
	}
}

// fight is how often an object had to be corrected of late.
type fight struct {
	count int
	since time.Time
}

// Corrections of one object in this time are a fight: from then on each waits
// twice as long as the one before, so that nobody's API server suffers.
const (
	fightCount  = 5
	fightWindow = time.Minute
	fightWait   = 10 * time.Minute // at most
)

// wait returns how long the next correction is to wait, and counts it.
func (w *work) contest(id object.ID, now time.Time) time.Duration {
	if w.fights == nil {
		w.fights = map[object.ID]fight{}
	}
	f := w.fights[id]
	if now.Sub(f.since) > max(fightWindow, 2*backoff(f.count)) {
		f = fight{since: now}
	}
	f.count++
	w.fights[id] = f
	return backoff(f.count)
}

func backoff(count int) time.Duration {
	if count <= fightCount {
		return 0
	}
	return min(time.Second<<min(count-fightCount, 20), fightWait)
}

// repair looks at objects that an event showed to differ and corrects or
// reports them. No hook runs and nothing else is touched.
func (s *session) repair(ctx context.Context, w *work) {
	now := s.now()
	var ids []object.ID
	for id, from := range w.drifted {
		if !now.Before(from) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.SortFunc(ids, object.Compare)
	for _, id := range ids {
		delete(w.drifted, id)
	}
	target := s.target(ctx, w)
	s.do(w, func() func() {
		result, err := s.applier.Repair(ctx, target, ids)
		return func() {
			for id, baseline := range result.Baselines {
				w.known[id] = baseline
			}
			drift := result.Changes.With(change.Corrected, change.Drifted, change.Created)
			for i, entry := range drift {
				if wait := w.contest(entry.Object, s.now()); wait > 0 {
					drift[i].Reason = cmp.Or(entry.Reason, "changed") + fmt.Sprintf("; somebody changes it again and again, the next correction waits %s", wait)
				}
			}
			if len(drift) > 0 {
				s.event(w.name, EventDrift, drift.Summary(), drift)
			}
			reported := result.Changes.With(change.Drifted, change.Failed, change.Conflict)
			if len(reported) > 0 || err != nil {
				s.judge(w, result, err)
				w.retryAt = s.now().Add(firstAppRetry)
			} else if len(w.state.Drift) > 0 {
				s.judge(w, result, nil)
			}
		}
	})
}

// observe takes in one event of a watch: the health of an object, or a sign that
// somebody changed it.
func (s *session) observe(ctx context.Context, event apply.Event) {
	switch event.Type {
	case apply.Listed:
		s.listed[event.Kind] = true
		delete(s.away, event.Kind)
		return
	case apply.Interrupted:
		s.away[event.Kind] = event.Err
		return
	case apply.Deleted:
		delete(s.tracked, event.ID)
	default:
		s.tracked[event.ID] = event.Tracked
	}
	delete(s.away, event.Kind)
	name, ok := s.owners[event.ID]
	if !ok {
		return
	}
	w := s.apps[name]
	now := s.now()
	if event.Type == apply.Deleted {
		w.health[event.ID] = health.Result{Status: health.Missing, Message: "was deleted"}
	} else if event.Object != nil {
		w.health[event.ID] = s.spoke.opts.Health.Check(ctx, event.Object)
	}
	baseline, known := w.known[event.ID]
	if !known && event.Type != apply.Deleted {
		return // a sync that is under way will know it
	}
	if event.Type == apply.Deleted || baseline.Differs(event) {
		if w.drifted == nil {
			w.drifted = map[object.ID]time.Time{}
		}
		if _, waits := w.drifted[event.ID]; !waits {
			w.drifted[event.ID] = now.Add(backoff(w.fights[event.ID].count))
		}
	}
}
