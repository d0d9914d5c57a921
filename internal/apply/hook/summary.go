package hook

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Summary is what people see of a run.
type Summary struct {
	State   Status        `json:"state"`
	Attempt int           `json:"attempt"`
	Phase   app.Phase     `json:"phase,omitempty"`
	Since   time.Time     `json:"since"`
	Ended   time.Time     `json:"ended,omitzero"`
	Reason  string        `json:"reason,omitempty"` // why it failed
	Running []RunningHook `json:"running,omitempty"`
}

// RunningHook is a hook that has begun and not ended.
type RunningHook struct {
	Object object.ID `json:"object"`
	Phase  app.Phase `json:"phase"`
	Since  time.Time `json:"since,omitzero"`
}

// Summary returns what people see of the run.
func (h Run) Summary() *Summary {
	shown := &Summary{State: h.State, Attempt: h.Attempt, Phase: h.Phase, Since: h.Since, Ended: h.Ended, Reason: h.Reason}
	for _, st := range h.Unfinished() {
		shown.Running = append(shown.Running, RunningHook{Object: st.ID, Phase: st.Phase, Since: st.Since})
	}
	return shown
}

// Message says what hooks keep an app from being Synced, or nothing.
func (h *Summary) Message() string {
	switch {
	case h == nil:
		return ""
	case h.State == Failed || h.State == Failing:
		return "the sync has failed: " + h.Reason + "\nhint: commit a change, or nave sync --rerun-hooks"
	case len(h.Running) > 0:
		first := h.Running[0]
		text := fmt.Sprintf("%s hook %s runs", first.Phase, first.Object)
		if !first.Since.IsZero() {
			text += " since " + first.Since.UTC().Format(time.RFC3339)
		}
		if more := len(h.Running) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more)", more)
		}
		return text
	}
	return ""
}

// News says in words what has become of each hook since the run was as before.
func (h Run) News(before Run) (texts []string) {
	if h.Attempt != before.Attempt {
		before = Run{}
	}
	for _, key := range slices.Sorted(maps.Keys(h.Hooks)) {
		was, st := before.Hooks[key], h.Hooks[key]
		what := fmt.Sprintf("%s hook %s", st.Phase, st.ID)
		switch {
		case st.Result == was.Result && (st.UID == was.UID || st.UID == ""):
		case st.Result == Failed:
			texts = append(texts, what+" failed: "+st.Reason)
		case st.Result == Succeeded:
			texts = append(texts, what+" succeeded")
		default:
			texts = append(texts, what+" runs")
		}
	}
	return texts
}
