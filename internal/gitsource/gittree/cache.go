package gittree

import (
	"container/list"
	"sync"
)

// DefaultCacheBytes is the size of a Cache where none is stated.
const DefaultCacheBytes = 16 << 20

// Cache keeps the contents of files that were read, up to a number of bytes; the least recently used go first. The
// hash of a file is its key, so commits share what they have in common. Repositories that use one Cache share its
// room but not its contents: who may read one is not thereby able to read another. It is safe for concurrent use.
type Cache struct {
	max int64

	mu    sync.Mutex
	size  int64
	items map[cacheKey]*list.Element
	order *list.List // of *cacheItem, the most recently used first
}

type cacheKey struct {
	store *Store
	id    string
}

type cacheItem struct {
	key  cacheKey
	data string
}

// itemOverhead is about what the cache itself needs for an item, in bytes.
const itemOverhead = 200

// NewCache returns a Cache of max bytes; 0 means DefaultCacheBytes.
func NewCache(max int64) *Cache {
	return &Cache{max: orDefault(max, DefaultCacheBytes), items: map[cacheKey]*list.Element{}, order: list.New()}
}

func (c *Cache) get(key cacheKey) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.items[key]
	if !ok {
		return "", false
	}
	c.order.MoveToFront(element)
	return element.Value.(*cacheItem).data, true
}

// has is get without the content, and without counting as a use.
func (c *Cache) has(key cacheKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.items[key]
	return ok
}

// put keeps data, unless it would push out most of what is there.
func (c *Cache) put(key cacheKey, data string) {
	cost := int64(len(data)) + itemOverhead
	if cost > c.max/2 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[key]; ok {
		return
	}
	c.items[key] = c.order.PushFront(&cacheItem{key: key, data: data})
	c.size += cost
	for c.size > c.max {
		last := c.order.Remove(c.order.Back()).(*cacheItem)
		delete(c.items, last.key)
		c.size -= int64(len(last.data)) + itemOverhead
	}
}

// drop forgets what was read for one Store.
func (c *Cache) drop(store *Store) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, element := range c.items {
		if key.store == store {
			c.size -= int64(len(c.order.Remove(element).(*cacheItem).data)) + itemOverhead
			delete(c.items, key)
		}
	}
}
