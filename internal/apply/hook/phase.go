package hook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"nave.dev/internal/app"
)

// keep has the run be recorded as it is now. Nothing that depends on it may be
// done if that fails.
func (h *Runner) keep(ctx context.Context) bool {
	if h.Stopped() {
		return false
	}
	saved := h.now
	saved.Hooks = maps.Clone(h.now.Hooks)
	if err := h.Keep(ctx, saved); err != nil {
		h.Halt(fmt.Errorf("recording the hooks: %w", err))
		return false
	}
	h.unsaved = false
	return true
}

// begin begins another run of hooks if there is to be one: for another bundle,
// because somebody asks for it, or because a failed one is tried again. Those of
// an earlier sync that still run are awaited, or stopped if somebody asked.
func (h *Runner) begin(ctx context.Context) (obstacle string) {
	now := h.seconds()
	current := h.current()
	if !h.now.Ends() && (!current || h.Rerun) {
		if obstacle := h.supersede(ctx); obstacle != "" {
			return obstacle
		}
	}
	tries := 1
	switch next, again := h.now.NextAttempt(h.App.Retry); {
	case len(h.list) == 0:
		if current || h.now.Attempt == 0 {
			return ""
		}
		// So that an earlier state of Git that comes back is a sync again.
		h.now = Run{Digest: h.Digest, Removal: h.Removal, Attempt: h.now.Attempt, State: Succeeded, Since: now, Ended: now}
		h.keep(ctx)
		return ""
	case !current || h.Rerun:
	case again && !now.Before(next):
		tries = h.now.Tries + 1
	default:
		return ""
	}
	h.now = Run{
		Digest: h.Digest, Removal: h.Removal, Attempt: h.now.Attempt + 1, Tries: tries, State: Running,
		Phase: h.first(), Since: now, Entered: now, Hooks: map[string]State{},
	}
	h.unsaved = true
	return ""
}

// supersede ends a run that is not what is wanted any more.
func (h *Runner) supersede(ctx context.Context) (obstacle string) {
	for _, key := range slices.Sorted(maps.Keys(h.now.Hooks)) {
		st := h.now.Hooks[key]
		if st.Result != "" {
			continue
		}
		if h.Rerun && st.Reason == "" {
			st.Reason = "it was stopped, as somebody asked for another run"
		}
		waits := h.advance(ctx, nil, key, &st)
		h.now.Hooks[key] = st
		if st.Result == "" && obstacle == "" {
			obstacle = fmt.Sprintf("an earlier sync's %s hook %s to end: %s", st.Phase, st.ID, waits)
		}
	}
	if h.unsaved && !h.keep(ctx) || obstacle != "" {
		return obstacle
	}
	return h.tidy(ctx)
}

// makeNamespaces makes the app's own namespaces that hooks are in.
func (h *Runner) makeNamespaces(ctx context.Context) {
	for _, hook := range h.list {
		h.MakeNamespace(ctx, hook.Object.GetNamespace())
	}
}

// enter begins a phase.
func (h *Runner) enter(ctx context.Context, phase app.Phase) bool {
	if h.now.Phase == phase {
		return true
	}
	h.now.Phase, h.now.Wave, h.now.Entered = phase, 0, h.seconds()
	return h.keep(ctx)
}

// Before runs the hooks before which nothing of the app is touched, and says why
// that is not to be touched yet, if so.
func (h *Runner) Before(ctx context.Context) (obstacle string) {
	if obstacle := h.begin(ctx); obstacle != "" || !h.Active() {
		return obstacle
	}
	switch {
	case h.now.State == Failing:
		h.Fail(ctx, h.now.Reason)
	case h.now.State == Running && h.now.Phase == h.first():
		h.makeNamespaces(ctx)
		obstacle, failure := h.phase(ctx, h.first())
		switch {
		case h.Stopped():
			return "the hooks were broken off"
		case failure != "":
			h.Fail(ctx, failure)
		case obstacle != "":
			return obstacle
		default:
			h.enter(ctx, h.second())
		}
	}
	if h.now.State != Running {
		h.Blocked = h.Wait("%s", h.Failure())
		if h.now.Phase == h.first() {
			return h.Blocked
		}
	}
	return ""
}

// Between runs the hooks among the objects, of waves below the given one, each
// once the objects of the waves before it are healthy. It says what is waited for,
// or what has failed, if so.
func (h *Runner) Between(ctx context.Context, below int) (obstacle, failure string) {
	if !h.Active() || h.Removal {
		return "", ""
	}
	if h.now.State != Running {
		if h.now.Phase == app.InSync && below > h.now.Wave {
			return h.Failure(), ""
		}
		return "", ""
	}
	for _, wave := range h.waves(app.InSync) {
		if wave >= below {
			break
		}
		if !h.begun(app.InSync, wave) {
			if obstacle := h.Obstacle(ctx, wave); obstacle != "" {
				return fmt.Sprintf("hooks of wave %d wait: %s", wave, obstacle), ""
			}
		}
		if obstacle, failure := h.wave(ctx, app.InSync, wave); obstacle != "" || failure != "" {
			return obstacle, failure
		}
	}
	return "", ""
}

// begun reports whether hooks of a wave were begun in this run.
func (h *Runner) begun(phase app.Phase, wave int) bool {
	return slices.ContainsFunc(h.list, func(hook app.Hook) bool {
		_, begun := h.now.Hooks[hook.Key]
		return hook.Phase == phase && hook.Wave == wave && begun
	})
}

// After runs the hooks that come once all is in place and healthy, and ends the
// run. What it waits for keeps the app from being pruned: an app whose last check
// fails keeps what it had.
func (h *Runner) After(ctx context.Context) {
	if !h.Active() || h.now.State != Running || h.Removal || h.Stopped() {
		return
	}
	obstacle, failure := h.Blocked, ""
	if obstacle == "" {
		obstacle, failure = h.Between(ctx, everyWave)
	}
	if obstacle == "" && failure == "" {
		obstacle = h.Obstacle(ctx, everyWave)
	}
	if obstacle == "" && failure == "" && h.enter(ctx, app.PostSync) {
		obstacle, failure = h.phase(ctx, app.PostSync)
	}
	h.conclude(ctx, obstacle, failure)
}

// Gone runs the hooks that come once nothing of a removed app is left.
func (h *Runner) Gone(ctx context.Context, left int) {
	if !h.Active() || h.now.State != Running || !h.Removal || h.Stopped() {
		return
	}
	obstacle, failure := "", ""
	if left > 0 {
		obstacle = fmt.Sprintf("%d objects to be gone", left)
	} else {
		obstacle, failure = h.phase(ctx, app.PostDelete)
	}
	h.conclude(ctx, obstacle, failure)
}

// conclude takes in what the last phase came to.
func (h *Runner) conclude(ctx context.Context, obstacle, failure string) {
	if limit := h.limit(); failure == "" && obstacle != "" && h.Failing() && h.now.Phase == app.InSync && h.Now().Sub(h.now.Entered) > limit {
		failure = fmt.Sprintf("not all is in place after %s: %s", limit, obstacle)
		h.now.Wave = everyWave // objects are tried again all the same
	}
	switch {
	case h.Stopped():
	case failure != "":
		h.Fail(ctx, failure)
		h.Blocked = h.Wait("%s", h.Failure())
	case obstacle != "":
		h.Blocked = h.Wait("%s", obstacle)
	default:
		if obstacle := h.end(ctx, Succeeded); obstacle != "" {
			h.Blocked = h.Wait("%s", obstacle)
		}
	}
}

// usualDeadline is how long an app may take to be in place unless it says.
const usualDeadline = 10 * time.Minute

// limit is how long objects may fail before the sync has.
func (h *Runner) limit() time.Duration {
	if limit := h.App.Deadline; limit > 0 {
		return limit
	}
	return usualDeadline
}

// Fail records that the sync has failed. If it is not to be tried again by
// itself, the hooks for that case run first.
func (h *Runner) Fail(ctx context.Context, reason string) {
	if h.now.State == Running {
		h.now.State, h.now.Reason = Failing, reason
		if !h.keep(ctx) {
			return
		}
	}
	if _, again := h.App.Retry.Wait(h.now.Tries); !again {
		if obstacle, _ := h.phase(ctx, app.SyncFail); obstacle != "" {
			h.Wait("%s", obstacle)
			return
		}
	}
	if obstacle := h.end(ctx, Failed); obstacle != "" {
		h.Wait("%s", obstacle)
	}
}

// Failure says that the sync has failed, and what now.
func (h *Runner) Failure() string {
	what := "sync"
	if h.now.Removal {
		what = "removal"
	}
	if next, again := h.now.NextAttempt(h.App.Retry); again {
		return fmt.Sprintf("the %s has failed, and is tried again at %s: %s", what, next.UTC().Format(time.RFC3339), h.now.Reason)
	}
	return fmt.Sprintf("the %s has failed: %s", what, h.now.Reason)
}

// end ends the run: hooks that are not to stay are deleted, and the rest let go.
func (h *Runner) end(ctx context.Context, state Status) (obstacle string) {
	if h.Stopped() {
		return "the hooks were broken off"
	}
	before := h.now.State
	h.now.State = state
	if obstacle := h.tidy(ctx); obstacle != "" {
		h.now.State = before
		return obstacle
	}
	h.now.Hooks, h.now.Ended = nil, h.seconds()
	h.keep(ctx)
	return ""
}
