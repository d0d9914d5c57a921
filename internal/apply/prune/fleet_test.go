package prune

import (
	"fmt"
	"strings"
	"testing"

	"nave.dev/internal/object"
)

func TestFleet(t *testing.T) {
	a, b := id(t, "ConfigMap shop/a"), id(t, "ConfigMap shop/b")
	own := func(cluster, n int) (ids []object.ID) {
		for i := range n {
			ids = append(ids, id(t, fmt.Sprintf("ConfigMap c%d/%d", cluster, i)))
		}
		return ids
	}
	// fleet has n clusters of 100 objects, of which some remove what is their own.
	fleet := func(n int, removals ...int) []Cluster {
		clusters := make([]Cluster, n)
		for i := range clusters {
			clusters[i].Objects = 100
			if i < len(removals) {
				clusters[i].Going = own(i, removals[i])
			}
		}
		return clusters
	}
	going := func(clusters []Cluster, id object.ID, on ...int) []Cluster {
		for _, i := range on {
			clusters[i].Going = append(clusters[i].Going, id)
		}
		return clusters
	}
	held := func(clusters []Cluster, id object.ID, on ...int) []Cluster {
		for _, i := range on {
			clusters[i].Held = append(clusters[i].Held, id)
		}
		return clusters
	}
	gone := func(clusters []Cluster, id object.ID, on ...int) []Cluster {
		for _, i := range on {
			clusters[i].Gone = append(clusters[i].Gone, id)
		}
		return clusters
	}
	for _, test := range []struct {
		reason   string
		clusters []Cluster
		want     string // contained; empty for no hold
	}{
		{"nothing goes", fleet(24), ""},
		{"no cluster", nil, ""},
		{"twenty may always go", fleet(3, 10, 10), ""},
		{"twenty-one of few are too many", fleet(3, 10, 11), "21 of the fleet's 300 objects would go at once, more than 20"},
		{"5 % of many may go", fleet(24, 60, 60), ""},
		{"and not one more", fleet(24, 60, 61), "121 of the fleet's 2400 objects would go at once, more than 120"},
		{"one object on half of the clusters", going(fleet(4), a, 0, 1), ""},
		{"on more than half", going(fleet(4), a, 0, 1, 3), "ConfigMap shop/a would go on 3 of the fleet's 4 clusters at once, more than half"},
		{"on all of three, which are few", going(fleet(3), a, 0, 1, 2), ""},
		{"two apps of a cluster had the object", going(going(fleet(4), a, 0, 1), a, 0, 1), ""},
		{"another object on the other half", going(going(fleet(4), a, 0, 1), b, 2, 3), ""},
		{"what is held by itself holds nothing", held(fleet(24), a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), ""},
		{"nor something else", going(held(fleet(24, 0, 19), a, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), b, 1), ""},
		{"one that comes late to what the others hold", going(held(fleet(4), a, 0, 1), a, 2), "on 3 of the fleet's 4 clusters"},
		{"late, by the number", going(held(fleet(2, 19), a, 0), a, 1), "21 of the fleet's 200"},
		{"one that comes late to what the others lost", gone(going(fleet(4), a, 2), a, 0, 1), "on 3 of the fleet's 4 clusters"},
		{"late, by the number of what is lost", gone(fleet(2, 0, 20), a, 0), "21 of the fleet's 200"},
		{"what is lost holds nothing by itself", gone(fleet(4), a, 0, 1, 2, 3), ""},
	} {
		have := Fleet(test.clusters)
		if (have == "") != (test.want == "") || !strings.Contains(have, test.want) {
			t.Errorf("%s: %q, want %q", test.reason, have, test.want)
		}
	}
}
