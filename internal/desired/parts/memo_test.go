package parts

import (
	"fmt"
	"testing"
)

// A round asks for everything that is in use, and then turns.
func round(m *Memo[int], first, last int) (made int) {
	for i := first; i < last; i++ {
		key := fmt.Sprint(i)
		if value, ok := m.Find(key); !ok {
			m.Keep(key, i)
			made++
		} else if value != i {
			return -1
		}
	}
	m.Turn()
	return made
}

// However much is in use, nothing of it is made twice.
func TestMemoKeepsWhatIsInUse(t *testing.T) {
	const size = 2_000
	m := &Memo[int]{}
	if made := round(m, 0, size); made != size {
		t.Fatalf("%d of %d are made at first", made, size)
	}
	for n := 1; n < 2*size/100; n++ { // until all have gone, and more
		if made := round(m, 100*n, 100*n+size); made != 100 {
			t.Fatalf("%d are made in round %d, 100 of which are new", made, n)
		}
		if kept := m.Len(); kept > 4*size {
			t.Fatalf("%d are kept in round %d, of which %d are in use", kept, n, size)
		}
	}
}

// What is new now and then does not pile up.
func TestMemoForgets(t *testing.T) {
	m := &Memo[int]{}
	for n := range 1000 {
		round(m, n, n+10)
	}
	if kept := m.Len(); kept > 4*(10+fewFresh) {
		t.Errorf("%d are kept, of which 10 are in use", kept)
	}
	if _, ok := m.Find("0"); ok {
		t.Error("what was in use at first only is not forgotten")
	}
}
