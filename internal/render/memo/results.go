package memo

import (
	"runtime"
	"sync"
	"time"
	"weak"

	"nave.dev/internal/app"
)

// results are values in memory, by the digest of their content. It holds on to those that were used last, up to a bound,
// and finds the others for as long as somebody else does: what every cluster is given is in memory anyway, however much
// that is, and a second copy of it would be waste. It is safe for concurrent use.
type results struct {
	now func() time.Time

	mu    sync.Mutex
	used  *lru[string, *result]
	alive map[string]*trace
}

// result is a value that is held on to.
type result struct {
	value   Value
	touched time.Time
}

// trace leads to a value that others may hold.
type trace struct {
	bundle   weak.Pointer[app.Bundle]
	warnings []string
	weight   int64
}

func newResults(max int64, now func() time.Time) *results {
	return &results{now: now, used: newLRU[string, *result](max), alive: map[string]*trace{}}
}

// get returns a value, and whether that of the disk should be marked as used.
func (r *results) get(digest string) (value Value, stale, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if known, ok := r.used.get(digest); ok {
		if stale = now.Sub(known.touched) > touchEvery; stale {
			known.touched = now
		}
		return known.value, stale, true
	}
	t, bundle := r.trace(digest)
	if bundle == nil {
		return Value{}, false, false
	}
	value = Value{Bundle: bundle, Warnings: t.warnings}
	r.used.put(digest, &result{value: value, touched: now}, t.weight)
	return value, true, true
}

// put keeps a value, unless there is an equal one, and returns the one that is kept.
func (r *results) put(digest string, value Value) Value {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, bundle := r.trace(digest); bundle != nil {
		return Value{Bundle: bundle, Warnings: value.Warnings}
	}
	t := &trace{bundle: weak.Make(value.Bundle), warnings: value.Warnings, weight: weightOf(value.Bundle)}
	r.alive[digest] = t
	runtime.AddCleanup(value.Bundle, r.forget, digest)
	r.used.put(digest, &result{value: value, touched: r.now()}, t.weight)
	return value
}

// trace returns where a value is, and its bundle unless nobody holds it any more. The lock is held.
func (r *results) trace(digest string) (*trace, *app.Bundle) {
	t := r.alive[digest]
	if t == nil {
		return nil, nil
	}
	return t, t.bundle.Value()
}

// forget drops the trace of a value that is no more.
func (r *results) forget(digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, bundle := r.trace(digest); t != nil && bundle == nil {
		delete(r.alive, digest)
	}
}

// weightOf estimates the memory that a bundle takes, in bytes: decoded objects are several times as large as their JSON.
func weightOf(bundle *app.Bundle) int64 {
	total := int64(256)
	for _, u := range bundle.Objects {
		total += weight(u.Object)
	}
	for _, u := range bundle.Hooks {
		total += weight(u.Object)
	}
	if bundle.Release != nil {
		total += weight(bundle.Release.Values) + weight(bundle.Release.Defaults)
		for _, file := range bundle.Release.Chart.Files {
			total += int64(len(file.Name)+len(file.Data)) + 64
		}
	}
	return total
}

func weight(value any) int64 {
	const (
		header = 48            // of a map
		group  = 8 + 8*(16+16) // of eight places for a string and an interface, of which seven are taken
	)
	switch v := value.(type) {
	case map[string]any:
		total := int64(header + group*(len(v)/8+1))
		for key, inside := range v {
			total += int64(len(key)) + weight(inside)
		}
		return total
	case []any:
		total := int64(24 + 16*len(v))
		for _, inside := range v {
			total += weight(inside)
		}
		return total
	case string:
		return int64(16 + len(v))
	}
	return 8
}
