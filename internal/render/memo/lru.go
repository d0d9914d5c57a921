package memo

import "container/list"

// lru keeps the values that were used last, up to a cost. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	max   int64
	cost  int64
	items map[K]*list.Element
	order *list.List // the last used first
}

type item[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

func newLRU[K comparable, V any](max int64) *lru[K, V] {
	return &lru[K, V]{max: max, items: map[K]*list.Element{}, order: list.New()}
}

func (l *lru[K, V]) get(key K) (value V, ok bool) {
	element, ok := l.items[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(element)
	return element.Value.(*item[K, V]).value, true
}

// put adds or replaces a value. The newest one stays even if it alone costs more than all may.
func (l *lru[K, V]) put(key K, value V, cost int64) {
	if element, ok := l.items[key]; ok {
		l.cost -= element.Value.(*item[K, V]).cost
		l.order.Remove(element)
	}
	l.items[key] = l.order.PushFront(&item[K, V]{key, value, cost})
	l.cost += cost
	for l.cost > l.max && l.order.Len() > 1 {
		oldest := l.order.Remove(l.order.Back()).(*item[K, V])
		delete(l.items, oldest.key)
		l.cost -= oldest.cost
	}
}
