package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 200, 10 << 20: 200, 96 << 20: 200, 192 << 20: 100, 384 << 20: 50, 4 << 30: 50} {
		if have := percent(live); have != want {
			t.Errorf("while %d MiB live: have %d, want %d", live>>20, have, want)
		}
	}
}

// TestPace has much live, and then little.
func TestPace(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	Pace()
	gogc := func() uint64 {
		samples := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(samples)
		return samples[0].Value.Uint64()
	}
	until := func(reason string, reached func(uint64) bool) {
		for range 1000 {
			if runtime.GC(); reached(gogc()) {
				return
			}
		}
		t.Errorf("%s: GOGC is %d", reason, gogc())
	}
	until("little lives", func(n uint64) bool { return n == often })
	kept = make([]byte, 256<<20)
	until("256 MiB live", func(n uint64) bool { return n < 90 })
	kept = nil
	until("little lives again", func(n uint64) bool { return n == often })
}
