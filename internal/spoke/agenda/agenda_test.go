package agenda

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAgenda(t *testing.T) {
	var a Agenda
	next := func(n int) (names []string) {
		for range n {
			name, ok := a.Next()
			if !ok {
				return append(names, "-")
			}
			names = append(names, name)
		}
		return names
	}
	want := func(reason string, got []string, names ...string) {
		t.Helper()
		if diff := cmp.Diff(names, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
	want("nothing happened", next(1), "-")
	all := []string{"a", "b", "c", "d"}
	a.All(all)
	want("a round of all, in order", next(2), "a", "b")
	a.Add("d")
	a.Add("a")
	a.Add("d")
	want("what something happened to comes first, once, and the round goes on", next(3), "d", "a", "c")
	a.Add("d")
	want("it may happen again", next(1), "d")
	a.All(all)
	want("a new round begins anew", next(5), "a", "b", "c", "d", "-")
	want("the names are the caller's", all, "a", "b", "c", "d")
}
