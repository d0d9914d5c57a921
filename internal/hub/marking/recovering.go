package marking

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Recovering says that the hub's database may lack what happened. Until it is known,
// no cluster enrols: a token may have been used, and a number given, that the
// database has not.
type Recovering struct {
	Why string `json:"why"`
	// Awaited are the clusters whose agents have not reported to this hub yet. It is
	// empty before the fleet is read.
	Awaited []string `json:"awaited,omitempty"`
}

// awaitedNamed are the clusters that an error names at most.
const awaitedNamed = 30

// Waits says what a new cluster waits for, to somebody who may know of the clusters that
// sees says.
func (r Recovering) Waits(sees func(cluster string) bool) error {
	all := len(r.Awaited)
	awaited := slices.DeleteFunc(slices.Clone(r.Awaited), func(name string) bool { return !sees(name) })
	if all > 0 && len(awaited) == 0 {
		return errors.New("the hub is recovering: enrolment waits for other clusters\nhint: an admin of all clusters can end it, by nave hub recovered")
	}
	awaits := "the fleet repository"
	hint := ""
	if len(awaited) > 0 {
		named := awaited[:min(len(awaited), awaitedNamed)]
		awaits = strings.Join(named, ", ")
		hint = fmt.Sprintf("\nhint: if those are new, or stay away: nave hub recovered --without %s --reason TEXT", strings.Join(named, ","))
		if more := len(awaited) - len(named); more > 0 {
			awaits += fmt.Sprintf(" and %d more", more)
			hint = "\nhint: nave status -o json has all of them; nave hub recovered, if they are new or stay away"
		}
	}
	return fmt.Errorf("the hub is recovering (%s): enrolment waits for %s%s", r.Why, awaits, hint)
}
