// Package agenda says which apps of a cluster to look at next. The main type is Agenda: those that something happened to
// come first, and then, one after the other, all the others, whenever a round of all is asked for. A round that is
// broken off goes on where it was, so that finding the next app that has something to do does not cost a look at all.
package agenda

// Agenda is for one goroutine. Its zero value is empty.
type Agenda struct {
	added []string
	is    map[string]bool // in added
	round []string
}

// Add has an app looked at.
func (a *Agenda) Add(name string) {
	if a.is[name] {
		return
	}
	if a.is == nil {
		a.is = map[string]bool{}
	}
	a.is[name] = true
	a.added = append(a.added, name)
}

// All has all apps looked at, in this order, in the place of what is left of the round before. It keeps names and does
// not change them.
func (a *Agenda) All(names []string) { a.round = names }

// Next returns the app to look at now, and false when there is none.
func (a *Agenda) Next() (name string, ok bool) {
	if len(a.added) > 0 {
		name, a.added = a.added[0], a.added[1:]
		delete(a.is, name)
		return name, true
	}
	if len(a.round) > 0 {
		name, a.round = a.round[0], a.round[1:]
		return name, true
	}
	return "", false
}
