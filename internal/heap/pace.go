// Package heap keeps the memory of a process that runs for months near what it needs:
// it collects sooner the more lives, and gives back what a burst of work left.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// often is the garbage that is allowed at most for what lives, in percent, as GOGC
	// has it: most of what is allocated is gone with the request or render it was for.
	often = 200
	// seldom is the garbage that is allowed however much lives.
	seldom = 50
	// allowance is the garbage that is allowed between the two, in bytes.
	allowance = 192 << 20
)

// Pace has garbage be collected sooner the more lives, from now on: a small heap may
// be three times what lives, a large one not much more than half as much again.
func Pace() {
	debug.SetGCPercent(often)
	after(&cycle{})
}

// cycle is something that is gone after the next collection.
type cycle struct{ _ [4]uintptr }

func after(c *cycle) {
	runtime.AddCleanup(c, func(int) {
		samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
		metrics.Read(samples)
		next := percent(samples[0].Value.Uint64())
		if now := int(samples[1].Value.Uint64()); next*10 < now*9 || now*10 < next*9 { // each change stops the world
			debug.SetGCPercent(next)
		}
		after(&cycle{})
	}, 0)
}

// percent returns what GOGC should be while so many bytes live.
func percent(live uint64) int {
	if live == 0 {
		return often
	}
	return int(min(often, max(seldom, allowance*100/live)))
}
