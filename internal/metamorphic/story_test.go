package metamorphic

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// op is one thing that happens in a story. What its numbers mean depends on the
// verb, and each is taken modulo what there is, so that an op keeps a meaning
// when those before it are left out.
type op struct {
	verb string
	n    [3]int
}

// String writes the op in the form in which stories are kept.
func (o op) String() string { return fmt.Sprintf("%s %d %d %d", o.verb, o.n[0], o.n[1], o.n[2]) }

// verb is something that can happen.
type verb struct {
	weight int
	// do has it happen, and says what that was; nothing if it cannot happen now.
	do func(w *world, n [3]int) string
}

// verbs are all that can happen, by name.
var verbs map[string]verb

func init() {
	verbs = map[string]verb{}
	for _, group := range []map[string]verb{commits, drifts, faults} {
		maps.Copy(verbs, group)
	}
}

// draw makes a story of a seed.
func draw(seed uint64, length int) []op {
	random := rand.New(rand.NewPCG(seed, 0))
	var bag []string
	for _, name := range slices.Sorted(maps.Keys(verbs)) {
		for range verbs[name].weight {
			bag = append(bag, name)
		}
	}
	story := make([]op, 3+random.IntN(length))
	for i := range story {
		n := [3]int{random.IntN(60), random.IntN(60), random.IntN(60)}
		if i > 0 && random.IntN(2) == 0 { // more happens to one object than chance has it
			n[0], n[1] = story[i-1].n[0], story[i-1].n[1]
		}
		story[i] = op{bag[random.IntN(len(bag))], n}
	}
	return story
}

// parse reads a story: an op a line; what follows a # is for people.
func parse(text string) ([]op, error) {
	var story []op
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		o := op{verb: words[0]}
		if _, known := verbs[o.verb]; !known || len(words) != 1+len(o.n) {
			return nil, fmt.Errorf("reading line %d: want VERB and three numbers, not %q", i+1, line)
		}
		for j := range o.n {
			n, err := strconv.Atoi(words[1+j])
			if err != nil || n < 0 {
				return nil, fmt.Errorf("reading line %d: %q is no number", i+1, words[1+j])
			}
			o.n[j] = n
		}
		story = append(story, o)
	}
	return story, nil
}

// shrink leaves out of a story what it fails without: halves first, then ever
// less, until nothing can go or until says that it is time to end.
func shrink(story []op, fails func([]op) bool, until func() bool) []op {
	for size := max(1, len(story)/2); ; {
		gone := false
		for from := 0; from < len(story) && !until(); {
			shorter := slices.Delete(slices.Clone(story), from, min(from+size, len(story)))
			if fails(shorter) {
				story, gone = shorter, true
			} else {
				from += size
			}
		}
		switch {
		case until(), size == 1 && !gone:
			return story
		case size > 1:
			size /= 2
		}
	}
}
