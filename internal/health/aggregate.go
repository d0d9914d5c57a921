package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DefaultReasons is the number of reasons that [Aggregate] lists where the caller has no wish.
const DefaultReasons = 5

// Part is one member of an aggregate: an object of an app, an app of a cluster, a cluster of the fleet.
type Part struct {
	// Name is how a person finds the part, unique within the aggregate.
	Name    string `json:"name"`
	Status  Status `json:"status"`
	Message string `json:"message,omitempty"`
	// Ignored parts are counted and otherwise left out.
	Ignored bool `json:"-"`
}

// Part returns the result as a part of an aggregate.
func (r Result) Part(name string) Part {
	return Part{Name: name, Status: r.Status, Message: r.Message, Ignored: r.Ignored}
}

// Summary is the health of a whole.
type Summary struct {
	// Status is the worst of the parts, Healthy where there are none.
	Status Status `json:"status"`
	// Counts is the number of parts by status, ignored ones left out.
	Counts map[Status]int `json:"counts,omitempty"`
	// Ignored is the number of ignored parts.
	Ignored int `json:"ignored,omitempty"`
	// Reasons are the parts that are not Healthy, the worst first and by name among equals, so that those which
	// decide come first.
	Reasons []Part `json:"reasons,omitempty"`
	// More is the number of parts that are not Healthy and not listed.
	More int `json:"more,omitempty"`
}

// Aggregate returns the health of the whole that parts make up, with at most reasons reasons; 0 means
// [DefaultReasons]. The worst part decides, in Argo CD's order: Healthy, Suspended, Progressing, Missing, Degraded,
// Unknown. A part that may rightly be absent, because its turn has not come, is for the caller to leave out or to state
// as Progressing. The result does not depend on the order of parts.
func Aggregate(parts []Part, reasons int) Summary {
	if reasons <= 0 {
		reasons = DefaultReasons
	}
	sum := Summary{Status: Healthy}
	for _, part := range parts {
		if part.Ignored {
			sum.Ignored++
			continue
		}
		if _, ok := order[part.Status]; !ok {
			part.Status = Unknown
		}
		if sum.Counts == nil {
			sum.Counts = map[Status]int{}
		}
		sum.Counts[part.Status]++
		if part.Status == Healthy {
			continue
		}
		if part.Status.Worse(sum.Status) {
			sum.Status = part.Status
		}
		// The list stays short and sorted: a part goes to its place, and the last drops out.
		at, _ := slices.BinarySearchFunc(sum.Reasons, part, comparePart)
		if at < reasons {
			sum.Reasons = slices.Insert(sum.Reasons, at, part)
		}
		if len(sum.Reasons) > reasons {
			sum.Reasons = sum.Reasons[:reasons]
		}
	}
	for status, count := range sum.Counts {
		if status != Healthy {
			sum.More += count
		}
	}
	sum.More -= len(sum.Reasons)
	return sum
}

// comparePart orders the worst first. The message comes last so that the order is total.
func comparePart(a, b Part) int {
	return cmp.Or(cmp.Compare(b.Status.rank(), a.Status.rank()), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Message, b.Message))
}

// Part returns the summary as a part of the next larger whole. The message is the first reason and how many more parts
// share its status.
func (s Summary) Part(name string) Part {
	part := Part{Name: name, Status: s.Status}
	if len(s.Reasons) == 0 {
		return part
	}
	first := s.Reasons[0]
	part.Message = first.Name
	if first.Message != "" {
		part.Message += ": " + first.Message
	}
	if others := s.Counts[s.Status] - 1; others > 0 {
		part.Message += fmt.Sprintf(" (and %d more)", others)
	}
	part.Message = shorten(part.Message)
	return part
}

// String returns the summary in one line, such as "Degraded: 1 Degraded, 2 Progressing, 7 Healthy".
func (s Summary) String() string {
	var counts []string
	for _, status := range []Status{Unknown, Degraded, Missing, Progressing, Suspended, Healthy} {
		if n := s.Counts[status]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if s.Ignored > 0 {
		counts = append(counts, fmt.Sprintf("%d ignored", s.Ignored))
	}
	if len(counts) == 0 {
		return string(s.Status)
	}
	return string(s.Status) + ": " + strings.Join(counts, ", ")
}
