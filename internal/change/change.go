// Package change is the vocabulary for what is done, or would be done, to
// objects: a Set is the one form in which plans, applies, drift and prunes are
// returned, printed, stored and tested. It is pure and knows no cluster.
package change

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nave.dev/internal/object"
)

// Action is what happens to an object.
type Action string

// The actions, in the order in which a Set prints them.
const (
	Failed    Action = "failed"    // could not be done; Reason says why
	Held      Action = "held"      // a deletion that waits for confirmation
	Conflict  Action = "conflict"  // another live owner keeps it
	Deleted   Action = "deleted"   // pruned
	Replaced  Action = "replaced"  // deleted and created, as an explicit option asked
	Created   Action = "created"   // did not exist
	Adopted   Action = "adopted"   // existed unmarked, is ours from now on
	Corrected Action = "corrected" // drift was undone
	Updated   Action = "updated"   // differed from what is wanted now
	Drifted   Action = "drifted"   // differs, and is only reported
	Orphaned  Action = "orphaned"  // is no longer ours and stays
	Skipped   Action = "skipped"   // waits for something, which Reason names
	Unchanged Action = "unchanged"
)

var order = []Action{Failed, Held, Conflict, Deleted, Replaced, Created, Adopted, Corrected, Updated, Drifted, Orphaned, Skipped, Unchanged}

// Entry is what happens to one object.
type Entry struct {
	Object object.ID `json:"object"`
	Action Action    `json:"action"`
	// Reason says in words why, who or what it waits for.
	Reason string  `json:"reason,omitempty"`
	Fields []Field `json:"fields,omitempty"`
}

// Field is one difference between two states of an object. From and To are nil
// where the field is absent; values of Secrets are redacted before they get here.
type Field struct {
	Path string `json:"path"` // such as spec.template.spec.containers[name=web].image
	From any    `json:"from,omitempty"`
	To   any    `json:"to,omitempty"`
	// Manager is the field manager that made the live value what it is, where known.
	Manager string `json:"manager,omitempty"`
}

// String returns the field as "path: from -> to".
func (f Field) String() string {
	text := fmt.Sprintf("%s: %s -> %s", f.Path, value(f.From), value(f.To))
	if f.Manager != "" {
		text += " (by " + f.Manager + ")"
	}
	return text
}

// value returns a value in one line, as JSON has it, and the beginning of a long one.
func value(v any) string {
	if v == nil {
		return "(none)"
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	text := fmt.Sprint(v)
	if encoder.Encode(v) == nil {
		text = strings.TrimSuffix(encoded.String(), "\n")
	}
	const most = 120 // bytes
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…" // not half a letter
	}
	return text
}

// Set is what happens to the objects of one app, or of one cluster.
type Set []Entry

// Sort orders the set by action, most urgent first, then by object.
func (s Set) Sort() {
	slices.SortStableFunc(s, func(a, b Entry) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Action), slices.Index(order, b.Action)),
			object.Compare(a.Object, b.Object),
		)
	})
}

// Count returns how many entries have one of the actions.
func (s Set) Count(actions ...Action) int {
	n := 0
	for _, entry := range s {
		if slices.Contains(actions, entry.Action) {
			n++
		}
	}
	return n
}

// With returns the entries that have one of the actions.
func (s Set) With(actions ...Action) Set {
	var found Set
	for _, entry := range s {
		if slices.Contains(actions, entry.Action) {
			found = append(found, entry)
		}
	}
	return found
}

// Besides returns the entries about objects of which others say nothing: an object
// that fails again for another reason is no news.
func (s Set) Besides(others Set) Set {
	return slices.DeleteFunc(slices.Clone(s), func(e Entry) bool {
		return slices.ContainsFunc(others, func(o Entry) bool { return o.Object == e.Object })
	})
}

// First says what the first entry is about and why, or nothing.
func (s Set) First() string {
	if len(s) == 0 {
		return ""
	}
	return s[0].Object.String() + ": " + s[0].Reason
}

// AsDrift returns what was not done, but would be, as a difference that is there now.
func (s Set) AsDrift() Set {
	var differ Set
	for _, entry := range s {
		switch entry.Action {
		case Created, Updated, Adopted, Replaced, Deleted, Held, Corrected:
			text := "would be " + string(entry.Action)
			if entry.Reason != "" {
				text += ": " + entry.Reason
			}
			entry.Action, entry.Reason = Drifted, text
		}
		differ = append(differ, entry)
	}
	return differ
}

// Summary counts the actions in words, such as "3 created, 1 updated, 40 unchanged".
func (s Set) Summary() string {
	var parts []string
	for _, action := range order {
		if n := s.Count(action); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, action))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// String returns an entry per line, its fields indented below it. Unchanged
// objects are left out.
func (s Set) String() string {
	var b strings.Builder
	for _, entry := range s {
		if entry.Action == Unchanged {
			continue
		}
		fmt.Fprintf(&b, "%-9s %s", entry.Action, entry.Object)
		if entry.Reason != "" {
			fmt.Fprintf(&b, ": %s", entry.Reason)
		}
		b.WriteByte('\n')
		for _, field := range entry.Fields {
			fmt.Fprintf(&b, "            %s\n", field)
		}
	}
	return b.String()
}
