// Package gate stands in front of a hub's API. It knows who calls, by the socket
// that the call came by or by a token, and what they may do there; it refuses what
// they may not; and it serves the API over TLS. The main type is [Gate]. Which
// clusters an answer tells of is decided by who answers, with the [Caller] of the
// request.
package gate

import (
	"context"
	"fmt"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/people"
)

// Caller is who calls. The zero value is nobody, who may do nothing.
type Caller struct {
	people.Person
	// Owner is who reached the hub by its socket, and may do everything.
	Owner bool
	// Address that the call came from; empty by the socket.
	Address string
	Rights  people.Rights

	secret string        // the token that was shown
	role   v1alpha1.Role // that the call needs
}

type callerKey struct{}

// From returns the caller of a request.
func From(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)
	return caller
}

func (c Caller) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// May reports whether the caller has the role that the call needs on a cluster.
func (c Caller) May(cluster string, labels map[string]string) bool {
	return c.Owner || people.Includes(c.Rights.On(cluster, labels), c.role)
}

// Sees reports whether the caller may know of a cluster.
func (c Caller) Sees(cluster string, labels map[string]string) bool {
	return c.Owner || c.Rights.On(cluster, labels) != ""
}

// Everywhere reports whether the caller has a role on all clusters.
func (c Caller) Everywhere(role v1alpha1.Role) bool {
	return c.Owner || people.Includes(c.Rights.Everywhere(), role)
}

// Lacks says which role the caller lacks where, such as "on all clusters".
func (c Caller) Lacks(where string, has v1alpha1.Role) string {
	groups := "no group"
	if len(c.Groups) > 0 {
		groups = strings.Join(c.Groups, ", ")
	}
	have := "none"
	if has != "" {
		have = "only " + string(has)
	}
	return fmt.Sprintf("%s needs the role %s %s, and has %s\nhint: spec.access of the Fleet gives roles to groups; %s is in %s", c.Name, c.role, where, have, c.Name, groups)
}
