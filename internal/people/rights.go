package people

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"nave.dev/api/v1alpha1"
)

// Policy is what the Fleet says that groups may do. The zero value lets nobody do
// anything.
type Policy struct{ grants []grant }

// grant is one entry of spec.access.
type grant struct {
	group    string
	rank     int // of its role
	all      bool
	names    []string
	selector labels.Selector
}

// roles in their order: each has the rights of those before it.
var roles = []v1alpha1.Role{v1alpha1.RoleViewer, v1alpha1.RoleOperator, v1alpha1.RoleApprover, v1alpha1.RoleAdmin}

// rank is the place of a role, from 1 on. What is no role has none, and is beyond all.
func rank(role v1alpha1.Role) int {
	if i := slices.Index(roles, role); i >= 0 {
		return i + 1
	}
	return len(roles) + 1
}

// NewPolicy makes a policy of what was validated.
func NewPolicy(access []v1alpha1.Access) (Policy, error) {
	var p Policy
	for _, a := range access {
		g := grant{group: a.Group, rank: rank(a.Role), all: a.Clusters.All, names: a.Clusters.Names, selector: labels.Nothing()}
		if g.rank > len(roles) {
			return Policy{}, fmt.Errorf("%q is no role", a.Role)
		}
		if a.Clusters.Selector != nil {
			var err error
			if g.selector, err = metav1.LabelSelectorAsSelector(a.Clusters.Selector); err != nil {
				return Policy{}, fmt.Errorf("the clusters of group %q: %w", a.Group, err)
			}
		}
		p.grants = append(p.grants, g)
	}
	return p, nil
}

// Of returns the rights of who is in groups.
func (p Policy) Of(groups []string) Rights {
	var r Rights
	for _, g := range p.grants {
		if slices.Contains(groups, g.group) {
			r.grants = append(r.grants, g)
		}
	}
	return r
}

// Everything is the rights of who owns the hub.
func Everything() Rights {
	return Rights{grants: []grant{{rank: len(roles), all: true, selector: labels.Nothing()}}}
}

// Rights are what somebody may do. The zero value is nothing.
type Rights struct{ grants []grant }

// On is the highest role on a cluster of these labels; empty if there is none. No
// labels are those of a cluster that is not known, which no selector selects.
func (r Rights) On(cluster string, set map[string]string) v1alpha1.Role {
	return r.highest(func(g grant) bool {
		return g.all || slices.Contains(g.names, cluster) || len(set) > 0 && g.selector.Matches(labels.Set(set))
	})
}

// Anywhere is the highest role, be it on clusters that are not there.
func (r Rights) Anywhere() v1alpha1.Role { return r.highest(func(grant) bool { return true }) }

// Everywhere is the highest role on all clusters, those that will come too.
func (r Rights) Everywhere() v1alpha1.Role { return r.highest(func(g grant) bool { return g.all }) }

func (r Rights) highest(counts func(grant) bool) v1alpha1.Role {
	best := 0
	for _, g := range r.grants {
		if g.rank > best && counts(g) {
			best = g.rank
		}
	}
	if best == 0 {
		return ""
	}
	return roles[best-1]
}

// List returns the rights in words, one to an entry of the Fleet.
func (r Rights) List() []string {
	list := []string{}
	for _, g := range r.grants {
		where := []string{}
		if g.all {
			where = append(where, "all clusters")
		}
		where = append(where, g.names...)
		if !g.selector.Empty() && g.selector.String() != "" {
			where = append(where, "clusters with "+g.selector.String())
		}
		list = append(list, fmt.Sprintf("%s on %s", roles[g.rank-1], strings.Join(where, ", ")))
	}
	return list
}

// Includes reports whether one role has all rights of another.
func Includes(role, other v1alpha1.Role) bool { return role != "" && rank(role) >= rank(other) }
