package pattern

import "strings"

// Capture is what one pair of parentheses matched: Subject[Start:End], or just the place Start if Position is set.
type Capture struct {
	Start, End int
	Position   bool
}

// Matcher matches a pattern against a subject. It is not safe for concurrent use.
type Matcher struct {
	Pattern *Pattern
	Subject string
	// Work is called with the number of steps about to be done or just done, at least once per item tried. It ends
	// the match by panicking.
	Work func(steps int)
	// Captures are those of the last successful match.
	Captures []Capture
}

// Search looks for the first match at or after init.
func (m *Matcher) Search(init int) (start, end int, ok bool) {
	for at := init; at <= len(m.Subject); at++ {
		if end, ok := m.At(at); ok {
			return at, end, true
		}
		if m.Pattern.Anchored {
			break
		}
	}
	return 0, 0, false
}

// At matches exactly at position at and returns the end of the match.
func (m *Matcher) At(at int) (end int, ok bool) {
	m.Captures = m.Captures[:0]
	return m.from(0, at)
}

// from matches the items from index i on at position at. It recurses only where there is a choice to come back to.
func (m *Matcher) from(i, at int) (end int, ok bool) {
	for ; i < len(m.Pattern.items); i++ {
		m.Work(1)
		it := &m.Pattern.items[i]
		switch it.kind {
		case itemSet:
			if it.times != 0 {
				return m.repeat(i, at)
			}
			if at >= len(m.Subject) || !it.set.has(m.Subject[at]) {
				return 0, false
			}
			at++
		case itemOpen:
			return m.capturing(Capture{Start: at}, i, at)
		case itemPosition:
			return m.capturing(Capture{Start: at, Position: true}, i, at)
		case itemClose:
			was := m.Captures[it.index]
			m.Captures[it.index].End = at
			if end, ok = m.from(i+1, at); !ok {
				m.Captures[it.index] = was
			}
			return end, ok
		case itemBack:
			c := m.Captures[it.index]
			if c.Position {
				return 0, false
			}
			held := m.Subject[c.Start:c.End]
			m.Work(len(held) / 16)
			if !strings.HasPrefix(m.Subject[at:], held) {
				return 0, false
			}
			at += len(held)
		case itemBalance:
			if at, ok = m.balance(it, at); !ok {
				return 0, false
			}
		case itemFrontier:
			var before, after byte
			if at > 0 {
				before = m.Subject[at-1]
			}
			if at < len(m.Subject) {
				after = m.Subject[at]
			}
			if it.set.has(before) || !it.set.has(after) {
				return 0, false
			}
		case itemEnd:
			if at != len(m.Subject) {
				return 0, false
			}
		}
	}
	return at, true
}

// capturing adds a capture for the rest of the match and takes it back if that fails.
func (m *Matcher) capturing(c Capture, i, at int) (end int, ok bool) {
	count := len(m.Captures)
	m.Captures = append(m.Captures, c)
	if end, ok = m.from(i+1, at); !ok {
		m.Captures = m.Captures[:count]
	}
	return end, ok
}

func (m *Matcher) repeat(i, at int) (end int, ok bool) {
	it := &m.Pattern.items[i]
	if it.times == '-' {
		for {
			if end, ok = m.from(i+1, at); ok || at >= len(m.Subject) || !it.set.has(m.Subject[at]) {
				return end, ok
			}
			at++
		}
	}
	low, limit := at, len(m.Subject)
	switch it.times {
	case '+':
		low++
	case '?':
		limit = min(limit, at+1)
	}
	high := at
	for high < limit && it.set.has(m.Subject[high]) {
		high++
	}
	m.Work((high - at) / 16)
	for ; high >= low; high-- {
		if end, ok = m.from(i+1, high); ok {
			return end, true
		}
	}
	return 0, false
}

func (m *Matcher) balance(it *item, at int) (end int, ok bool) {
	if at >= len(m.Subject) || m.Subject[at] != it.x {
		return 0, false
	}
	depth := 1
	for i := at + 1; i < len(m.Subject); i++ {
		switch m.Subject[i] {
		case it.y:
			if depth--; depth == 0 {
				m.Work((i - at) / 16)
				return i + 1, true
			}
		case it.x:
			depth++
		}
	}
	m.Work((len(m.Subject) - at) / 16)
	return 0, false
}
