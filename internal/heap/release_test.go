package heap

import (
	"runtime"
	"testing"
)

func TestDue(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		reason      string
		now, before usage
		want        bool
	}{
		{"quiet after a burst", usage{allocated: 1010 * mib, live: 60 * mib, held: 200 * mib}, usage{allocated: 1000 * mib}, true},
		{"at work", usage{allocated: 1100 * mib, live: 60 * mib, held: 200 * mib}, usage{allocated: 1000 * mib}, false},
		{"nothing to give back", usage{allocated: 1010 * mib, live: 60 * mib, held: 80 * mib}, usage{allocated: 1000 * mib}, false},
	} {
		if have := test.now.due(test.before); have != test.want {
			t.Errorf("%s: have %t", test.reason, have)
		}
	}
}

var kept []byte

// TestMeasure holds the names of the runtime's figures against what they should say.
func TestMeasure(t *testing.T) {
	runtime.GC()
	before := measure()
	kept = make([]byte, 64<<20)
	clear(kept)
	runtime.GC()
	now := measure()
	kept = nil
	if grown := now.allocated - before.allocated; grown < 64<<20 {
		t.Errorf("64 MiB were allocated, and %d bytes are counted", grown)
	}
	if now.live < before.live+60<<20 || now.held < now.live {
		t.Errorf("with 64 MiB more: %+v after %+v", now, before)
	}
}
