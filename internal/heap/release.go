package heap

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// every is how often the process is looked at.
	every = 20 * time.Second
	// quiet is how many bytes are allocated between two looks at most by a process that
	// has little to do.
	quiet = 48 << 20
	// worth is how many bytes there must be to give back: a collection of all that
	// lives is the price.
	worth = 32 << 20
)

// Release gives memory back to the operating system whenever the process is quiet,
// until ctx is done. After a burst of work the runtime keeps what that needed until the
// next collection, which in a quiet process may be minutes away, and returns it in
// small pieces.
func Release(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	before := measure()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := measure()
		if now.due(before) {
			debug.FreeOSMemory()
			now = measure()
		}
		before = now
	}
}

// usage is what the Go runtime has in use at one moment, in bytes.
type usage struct {
	allocated uint64 // since the start
	live      uint64 // at the last collection
	held      uint64 // of the heap, from the operating system
}

func measure() usage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	u := usage{allocated: samples[0].Value.Uint64(), live: samples[1].Value.Uint64()}
	for _, s := range samples[2:] {
		u.held += s.Value.Uint64()
	}
	return u
}

// due reports whether little was done since before, and much is held for nothing.
func (u usage) due(before usage) bool {
	return u.allocated-before.allocated < quiet && u.held > u.live+worth
}
