package swarm

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// pages are what people and their programs ask of the hub's API.
var pages = []struct {
	name string
	path func(*swarm) string
}{
	{"a page of the fleet with all apps", func(s *swarm) string { return "/api/v1/fleet?after=" + s.anyone() }},
	{"a page of clusters", func(s *swarm) string { return "/api/v1/fleet?apps=none" }},
	{"what is not well", func(s *swarm) string { return "/api/v1/fleet?apps=unwell" }},
	{"apps of one cluster", func(s *swarm) string { return "/api/v1/fleet?cluster=" + s.anyone() }},
	{"events", func(*swarm) string { return "/api/v1/events" }},
}

// anyone is the name of some cluster.
func (s *swarm) anyone() string { return clusterName(rand.IntN(len(s.agents))) }

const (
	readers   = 4
	readEvery = 100 * time.Millisecond // each of them
)

// read has people read pages until ctx is done, and returns how long each took, from
// the question to the last byte.
func (s *swarm) read(ctx context.Context) (took map[string][]time.Duration, err error) {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
	)
	took = map[string][]time.Duration{}
	for reader := range readers {
		group.Go(func() {
			tick := time.NewTicker(readEvery)
			defer tick.Stop()
			for i := reader; ctx.Err() == nil; i++ {
				page := pages[i%len(pages)]
				began := time.Now()
				failed := s.site.call(ctx, http.MethodGet, page.path(s), nil, nil)
				mu.Lock()
				switch {
				case failed == nil:
					took[page.name] = append(took[page.name], time.Since(began))
				case ctx.Err() == nil && err == nil:
					err = failed
				}
				mu.Unlock()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	group.Wait()
	return took, err
}

// profiled is how long the hub's processor is profiled at the beginning of a phase.
const profiled = 20 * time.Second

// profile begins to profile the hub, if that is asked for; stop ends it, and keeps a
// profile of the hub's memory.
func (s *swarm) profile(ctx context.Context, name string) (stop func()) {
	if s.opts.Profiles == "" {
		return func() {}
	}
	var group sync.WaitGroup
	group.Go(func() {
		s.save(ctx, name+"-cpu.pprof", fmt.Sprintf("/debug/pprof/profile?seconds=%.0f", profiled.Seconds()))
	})
	return func() {
		group.Wait()
		s.save(ctx, name+"-heap.pprof", "/debug/pprof/heap?gc=1")
	}
}

// save writes what the hub answers into the directory of profiles. A hub that is not
// there, as before the first phase, has no profile.
func (s *swarm) save(ctx context.Context, name, path string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hub"+path, nil)
	if err != nil {
		return
	}
	response, err := s.site.client.Do(request)
	if err != nil {
		s.opts.Progress("  no profile " + name + ": " + err.Error())
		return
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.opts.Profiles, name), data, 0o600)
	}
	if err != nil {
		s.opts.Progress("  no profile " + name + ": " + err.Error())
	}
}
