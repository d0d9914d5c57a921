package argocd

import (
	"fmt"
	"slices"
	"strings"

	"nave.dev/internal/app/asking"
)

// target finds the member that an Application goes to.
func (q *question) target(d destination) (*asking.Member, error) {
	if d.Name != "" && d.Server != "" {
		return nil, fmt.Errorf("spec.destination: it has a name and a server\nhint: state one of them")
	}
	if d.Name == "" && d.Server == "" {
		return nil, fmt.Errorf("spec.destination: it has no name and no server\nhint: name: in-cluster, or a cluster of the fleet")
	}
	field, asked := "name", d.Name
	if d.Server != "" {
		field, asked = "server", d.Server
	}
	local := asked == inCluster && field == "name" || sameServer(asked, inClusterServer)
	member := q.known(asked)
	if local && q.Cluster != "" {
		member = q.member(q.Cluster)
	}
	switch {
	case member == nil && local:
		return nil, fmt.Errorf("spec.destination.%s: %q is the cluster of Argo CD, and there is none\nhint: let the Delivery read these objects in the context of each cluster, or make it an alias of one", field, asked)
	case member == nil:
		return nil, fmt.Errorf("spec.destination.%s: no cluster of the fleet is called %q\nhint: make it an alias of the cluster that is meant", field, asked)
	case q.Cluster != "" && member.Name != q.Cluster:
		return nil, fmt.Errorf("spec.destination.%s: %q is another cluster than the one whose objects these are\nhint: name it in-cluster, or let the Delivery read these objects in the context of the fleet", field, asked)
	case !member.Selected && q.Cluster == "":
		return nil, fmt.Errorf("spec.destination.%s: Delivery %q is not for cluster %q\nhint: only clusters that it selects may be destinations", field, q.Delivery, member.Name)
	}
	return member, nil
}

// known finds a member by what Argo CD calls it; its own name wins.
func (q *question) known(asked string) *asking.Member {
	if m := q.member(asked); m != nil {
		return m
	}
	for i := range q.Members {
		if slices.ContainsFunc(q.Members[i].Aliases, func(alias string) bool { return alias == asked || sameServer(alias, asked) }) {
			return &q.Members[i]
		}
	}
	return nil
}

func (q *question) member(name string) *asking.Member {
	for i := range q.Members {
		if q.Members[i].Name == name {
			return &q.Members[i]
		}
	}
	return nil
}

// sameServer reports whether two URLs are those of one API server.
func sameServer(a, b string) bool {
	return strings.Contains(a, "://") && strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}

// calledBy are the names and servers by which rules may mean a member, and those
// that the Application itself uses. Each has a server: where none is known, it is
// called by its name, as generators do.
func (q *question) calledBy(m *asking.Member, d destination) (names, servers []string) {
	names = append(names, m.Name)
	for _, alias := range m.Aliases {
		if strings.Contains(alias, "://") {
			servers = append(servers, alias)
		} else {
			names = append(names, alias)
		}
	}
	if q.Cluster != "" {
		names, servers = append(names, inCluster), append(servers, inClusterServer)
	}
	if d.Name != "" {
		names = append(names, d.Name)
	}
	if d.Server != "" {
		servers = append(servers, d.Server)
	}
	if len(servers) == 0 {
		servers = append(servers, m.Name)
	}
	return sortedStrings(names), sortedStrings(servers)
}
