package readiness

import (
	"slices"

	"nave.dev/internal/app"
)

// closes returns the first app that keeps a gate closed, by which apps are Synced and
// Healthy, or nothing.
func closes(gate app.Gate, settled func(app string) bool) string {
	if i := slices.IndexFunc(gate.Apps, func(name string) bool { return !settled(name) }); i >= 0 {
		return gate.Apps[i]
	}
	return ""
}

// Closed returns the waves whose gates are closed, never nil.
func Closed(gates []app.Gate, settled func(app string) bool) []int {
	waves := []int{}
	for _, gate := range gates {
		if closes(gate, settled) != "" {
			waves = append(waves, gate.Wave)
		}
	}
	return waves
}

// Ask returns what an apply asks about its waves, nil if it need not ask. The
// answers are those of now.
func Ask(gates []app.Gate, settled func(app string) bool) func(wave int) string {
	found := map[int]string{} // by wave, which app is waited for
	for _, gate := range gates {
		if name := closes(gate, settled); name != "" && found[gate.Wave] == "" {
			found[gate.Wave] = name
		}
	}
	waves := Closed(gates, settled)
	if len(waves) == 0 {
		return nil
	}
	return func(wave int) string {
		for _, gate := range waves {
			if wave >= gate {
				return found[gate] + " to be Synced and Healthy"
			}
		}
		return ""
	}
}
