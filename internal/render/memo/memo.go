// Package memo remembers what renders gave, in memory and on disk. The main type is Cache. A render is filed under a
// key of its parameters, together with everything that it read of its tree and of the cluster's facts; it is found
// again where a tree and facts answer all of that alike. Results are named by their content and shared. Errors are
// remembered in memory only. It does not render, and losing it costs time and nothing else.
package memo

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// Options bounds a Cache. The zero value keeps everything in memory.
type Options struct {
	// Dir is a directory that the cache has for itself, perhaps together with other processes. Empty means memory only.
	Dir string
	// MaxMemory is how much memory results may take that nobody else holds, in bytes, as estimated. What somebody holds
	// is found as long as that lasts, and costs nothing more. Which render gave what may take twice as much. 0 means 8 MiB.
	MaxMemory int64
	// MaxDisk is how large Dir may grow, in bytes; the least recently used goes first. 0 means 1 GiB.
	MaxDisk int64
	// Now is the clock. nil means time.Now.
	Now func() time.Time
}

// Value is what a render gave. It is shared and must not be changed.
type Value struct {
	Bundle   *app.Bundle
	Warnings []string
}

// Found is a remembered render: a value or an error, and what it depends on.
type Found struct {
	Value
	Err   error
	Reads []tree.Read
	Facts []build.Fact
}

// variant is one render under a key.
type variant struct {
	manifest *tree.Manifest
	facts    []build.Fact
	result   string // digest of the result; "" for an error
	err      error
	until    time.Time // when the error is forgotten; zero means never
}

// maxVariants is how many renders of one key are kept: trees and clusters that differ in what the app depends on.
const maxVariants = 16

// Cache is safe for concurrent use. Its methods hold no lock while a tree is asked.
type Cache struct {
	options Options
	disk    *disk

	mu      sync.Mutex
	keys    *lru[string, []*variant]
	results *results
	failure error // the last of the disk
}

// New returns a cache over what Dir holds already.
func New(options Options) *Cache {
	if options.MaxMemory == 0 {
		options.MaxMemory = 8 << 20
	}
	if options.MaxDisk == 0 {
		options.MaxDisk = 1 << 30
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	c := &Cache{
		options: options,
		keys:    newLRU[string, []*variant](2 * options.MaxMemory), // without them each render asks the disk
		results: newResults(options.MaxMemory, options.Now),
	}
	if options.Dir != "" {
		c.disk = &disk{dir: options.Dir, max: options.MaxDisk, now: options.Now}
	}
	return c
}

// Failure returns the last error of the disk, if any. The cache goes on without it.
func (c *Cache) Failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

func (c *Cache) note(err error) {
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failure = err
	}
}

// Find returns the render under a key that a source and facts would repeat.
func (c *Cache) Find(key string, source tree.Source, facts app.Facts) (*Found, bool) {
	for _, v := range c.variants(key) {
		if !build.Holds(facts, v.facts) || !v.until.IsZero() && !c.options.Now().Before(v.until) {
			continue
		}
		fresh, ok := v.manifest.Holds(source)
		if !ok {
			continue
		}
		found := &Found{Err: v.err, Reads: v.manifest.Reads, Facts: v.facts}
		if v.err == nil {
			value, ok := c.load(v.result)
			if !ok {
				continue
			}
			found.Value = value
		}
		if fresh != v.manifest {
			used := *v
			used.manifest = fresh
			c.file(key, v, &used)
		}
		return found, true
	}
	return nil, false
}

// variants returns the renders under a key, from the disk if they are not in memory.
func (c *Cache) variants(key string) []*variant {
	c.mu.Lock()
	variants, ok := c.keys.get(key)
	c.mu.Unlock()
	if ok || c.disk == nil {
		return variants
	}
	variants = c.disk.variants(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if others, ok := c.keys.get(key); ok {
		return others
	}
	c.keys.put(key, variants, cost(key, variants))
	return variants
}

// file puts a variant first under its key, in the place of another one if that is still there.
func (c *Cache) file(key string, old, v *variant) []*variant {
	c.mu.Lock()
	defer c.mu.Unlock()
	present, _ := c.keys.get(key)
	variants := []*variant{v}
	for _, other := range present {
		if other != old && len(variants) < maxVariants {
			variants = append(variants, other)
		}
	}
	c.keys.put(key, variants, cost(key, variants))
	return variants
}

// cost estimates the memory of the renders under a key, in bytes.
func cost(key string, variants []*variant) int64 {
	total := int64(len(key)) + 64
	for _, v := range variants {
		total += 128
		for _, read := range v.manifest.Reads {
			total += int64(len(read.Path)+len(read.Digest)) + 96
		}
	}
	return total
}

// load returns a result by its digest.
func (c *Cache) load(digest string) (Value, bool) {
	value, stale, ok := c.results.get(digest)
	if ok && stale && c.disk != nil {
		c.disk.touch(digest)
	}
	if ok {
		return value, true
	}
	if c.disk == nil {
		return Value{}, false
	}
	data, ok := c.disk.result(digest)
	if !ok {
		return Value{}, false
	}
	var out build.Output
	if err := json.Unmarshal(data, &out); err != nil {
		return Value{}, false
	}
	bundle, err := out.Bundle()
	if err != nil {
		return Value{}, false
	}
	return c.results.put(digest, Value{Bundle: bundle, Warnings: out.Warnings}), true
}

// Keep remembers a render of a source and returns its value, which is the one of an equal result if there is one.
func (c *Cache) Keep(key string, source tree.Source, reads []tree.Read, facts []build.Fact, out *build.Output) (Value, error) {
	data, err := json.Marshal(out)
	if err != nil {
		return Value{}, err
	}
	digest := object.Digest(data)
	value, ok := c.load(digest)
	if !ok {
		bundle, err := out.Bundle()
		if err != nil {
			return Value{}, err
		}
		value = c.results.put(digest, Value{Bundle: bundle, Warnings: out.Warnings})
		if c.disk != nil {
			c.note(c.disk.keepResult(digest, data))
		}
	}
	variants := c.file(key, nil, &variant{manifest: tree.NewManifest(reads, source), facts: slices.Clone(facts), result: digest})
	if c.disk != nil {
		c.note(c.disk.keepVariants(key, variants))
	}
	return value, nil
}

// KeepError remembers that a render fails, for as long as its input is the same or, if lasting is not 0, for that time.
func (c *Cache) KeepError(key string, source tree.Source, reads []tree.Read, facts []build.Fact, failed error, lasting time.Duration) {
	v := &variant{manifest: tree.NewManifest(reads, source), facts: slices.Clone(facts), err: failed}
	if lasting > 0 {
		v.until = c.options.Now().Add(lasting)
	}
	c.file(key, nil, v)
}
