package tunnel

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestStorm has 150 agents lose their hub at one moment and find it again.
func TestStorm(t *testing.T) {
	const agents = 150
	w := newWorld(t, func(o *ServerOptions) { o.Limits.Pending, o.Limits.Enrolments = 2*agents, 2*agents })
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	for i := range agents {
		m := w.agent(w.token(fmt.Sprintf("cluster-%d", i), 1))
		m.o.patience = 0 // as in earnest
		work.Go(func() {
			Keep(ctx, m.o, func(ctx context.Context, c *Conn) error {
				<-ctx.Done()
				return nil
			})
		})
	}
	all := func() bool { return len(w.server.Links()) == agents }
	began := time.Now()
	eventually(t, "all have enrolled", all)
	t.Logf("%d agents enrolled and connected in %s", agents, time.Since(began))
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	t.Logf("%d goroutines, %d KiB of heap for each agent, both ends", runtime.NumGoroutine(), before.HeapInuse/1024/agents)

	began = time.Now()
	w.stop()
	t.Logf("the hub stopped in %s", time.Since(began))
	began = time.Now()
	w.start(w.address)
	eventually(t, "all are back", all)
	t.Logf("%d agents came back in %s", agents, time.Since(began))
	// A machine that is very busy may drop one more of them, which comes back as well.
	began = time.Now()
	reached := map[string]bool{}
	eventually(t, "all can be called", func() bool {
		var calls sync.WaitGroup
		var mu sync.Mutex
		for _, link := range w.server.Links() {
			cluster := link.Identity().Cluster
			mu.Lock()
			done := reached[cluster]
			mu.Unlock()
			if !done {
				calls.Go(func() {
					_, err := call(link.Client(), AgentURL, "x")
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						reached[cluster] = true
					} else {
						t.Logf("%s: %v: %v", cluster, err, link.Err())
					}
				})
			}
		}
		calls.Wait()
		return len(reached) == agents
	})
	t.Logf("all were called in %s", time.Since(began))
	began = time.Now()
	cancel()
	work.Wait()
	t.Logf("the agents stopped in %s", time.Since(began))
}

// TestBackoff draws waits between nothing and a bound that grows.
func TestBackoff(t *testing.T) {
	for failures, most := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 4: 16 * time.Second, 5: 30 * time.Second, 1000: 30 * time.Second} {
		least, largest := time.Hour, time.Duration(0)
		for range 2000 {
			wait := backoff(failures, backoffMost)
			least, largest = min(least, wait), max(largest, wait)
		}
		if largest >= most || largest < most*9/10 || least > most/10 {
			t.Errorf("after %d failures waits are from %s to %s, and not spread over %s", failures, least, largest, most)
		}
	}
}
