package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"nave.dev/internal/atomicfile"
	"nave.dev/internal/lab/controlplane"
)

// Bounds of how long one cluster may take to become ready, with all others
// starting beside it on a slow machine, and of what they share.
const (
	clusterLimit = 10 * time.Minute
	sharedLimit  = 3 * time.Minute
)

// UpOptions say what Up starts beside the clusters.
type UpOptions struct {
	Fleet Fleet
	// GitPassword, unless empty, is asked by the Git server from now on.
	GitPassword string
}

// Up starts the fleet's clusters that are not there, starts again what is there
// and down, and returns when all are ready. Clusters of an earlier Up that the
// fleet does not name are started too, unless their time is over; one that the
// fleet names and whose time is over gets it anew. A cluster that fails does not
// keep the others from starting; the error names each with the last lines of
// its log.
func (l *Lab) Up(ctx context.Context, opts UpOptions) error {
	if err := l.able(); err != nil {
		return err
	}
	return l.create(ctx, func(s *state) error {
		now := time.Now()
		if err := s.take(opts.Fleet, now); err != nil {
			return err
		}
		if opts.GitPassword != "" && opts.GitPassword != s.Git.Password {
			// The network process reads the password when it starts.
			if err := l.table.Stop(ctx, networkProcess, networkGrace); err != nil {
				return err
			}
			s.Git.Password = opts.GitPassword
		}
		var names []string
		for _, name := range s.names() {
			if m := s.Clusters[name]; !m.expired(now) {
				m.Stopped = nil
				names = append(names, name)
			}
		}
		return l.start(ctx, s, names)
	})
}

// able reports what keeps any cluster from starting on this machine, before
// the lab changes for it.
func (l *Lab) able() error {
	if len(l.socket()) > 100 { // sun_path holds 104 bytes on some systems
		return fmt.Errorf("the directory %s has too long a name for a socket in it\nhint: give a shorter one with --dir", l.dir)
	}
	_, err := controlplane.FindBinaries(l.bin)
	return err
}

// take makes the fleet's clusters part of the state, unless one contradicts it.
func (s *state) take(fleet Fleet, now time.Time) error {
	for _, spec := range fleet.Clusters {
		if m := s.Clusters[spec.Name]; m != nil && (spec.Etcd == dedicated) != (m.Spec.Etcd == dedicated) {
			return fmt.Errorf("cluster %s: its etcd cannot change between shared and dedicated\nhint: nave-lab remove %s, then up again", spec.Name, spec.Name)
		}
	}
	if fleet.Pods != (controlplane.PodTiming{}) {
		s.Pods = fleet.Pods
	}
	for _, spec := range fleet.Clusters {
		if m := s.Clusters[spec.Name]; m != nil {
			m.adopt(spec, now)
		} else if err := s.admit(spec, now); err != nil {
			return err
		}
	}
	return nil
}

// Add starts one more cluster beside those there are, and returns when it is ready.
func (l *Lab) Add(ctx context.Context, spec Cluster) error {
	var problem error
	spec.check(func(hint, field, format string, args ...any) {
		problem = errors.Join(problem, fmt.Errorf("%s: %s\nhint: %s", field, fmt.Sprintf(format, args...), hint))
	})
	if problem != nil {
		return problem
	}
	if err := l.able(); err != nil {
		return err
	}
	return l.create(ctx, func(s *state) error {
		if s.Clusters[spec.Name] != nil {
			return fmt.Errorf("the lab has a cluster %q already\nhint: nave-lab start %s, or choose another name", spec.Name, spec.Name)
		}
		if err := s.admit(spec, time.Now()); err != nil {
			return err
		}
		return l.start(ctx, s, []string{spec.Name})
	})
}

// start makes the processes follow the state for the named clusters: what they
// share first, then several clusters at a time.
func (l *Lab) start(ctx context.Context, s *state, names []string) error {
	bin, err := controlplane.FindBinaries(l.bin)
	if err != nil {
		return err
	}
	if err := s.choosePorts(l.running); err != nil {
		return err
	}
	// Saved before anything runs: a later command finds the ports that
	// processes of a killed one listen on.
	if err := l.save(s); err != nil {
		return err
	}
	if err := l.startShared(ctx, s, bin); err != nil {
		return err
	}
	host := controlplane.Host{Binaries: bin, Processes: l.table}
	return l.startClusters(ctx, host, s, names)
}

// startShared starts what no cluster starts without.
func (l *Lab) startShared(ctx context.Context, s *state, bin controlplane.Binaries) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sharedLimit, fmt.Errorf("not ready after %s", sharedLimit))
	defer cancel()
	if err := l.startNetwork(ctx); err != nil {
		return err
	}
	host := controlplane.Host{Binaries: bin, Processes: l.table, Progress: func(name, waitsFor string) {
		l.progress(Progress{Name: name, WaitsFor: waitsFor})
	}}
	return host.StartEtcd(ctx, l.etcdOf(s, nil))
}

func (l *Lab) running(process string) bool {
	record, err := l.table.Get(process)
	return err == nil && record.Running()
}

func (l *Lab) startClusters(ctx context.Context, host controlplane.Host, s *state, names []string) error {
	var (
		mu    sync.Mutex
		done  int
		ready int
		errs  error
		group sync.WaitGroup
		// Starting is bound by the processor; the waits in between leave room
		// for one more cluster than there are cores.
		turn = make(chan struct{}, runtime.NumCPU()+1)
	)
	host.Progress = func(name, waitsFor string) {
		mu.Lock()
		defer mu.Unlock()
		l.progress(Progress{Name: name, WaitsFor: waitsFor, Done: done, Total: len(names)})
	}
	for _, name := range names {
		m := s.Clusters[name]
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			if ctx.Err() != nil {
				return // what has not begun does not begin
			}
			began := time.Now()
			err := l.startCluster(ctx, host, s, m)
			if ctx.Err() != nil && err != nil {
				return // it is not the cluster that failed
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			if err == nil {
				ready++
			} else {
				errs = errors.Join(errs, fmt.Errorf("cluster %s: %w", name, err))
			}
			l.progress(Progress{Name: name, Ready: err == nil, Err: err, Done: done, Total: len(names), Took: time.Since(began)})
		})
	}
	group.Wait()
	if ctx.Err() != nil && ready < len(names) {
		errs = errors.Join(errs, fmt.Errorf("%w with %d of %d clusters ready\nhint: nave-lab up goes on from here, nave-lab down ends what runs",
			context.Cause(ctx), ready, len(names)))
	}
	return errs
}

func (l *Lab) startCluster(ctx context.Context, host controlplane.Host, s *state, m *member) error {
	ctx, cancel := context.WithTimeoutCause(ctx, clusterLimit, fmt.Errorf("not ready after %s", clusterLimit))
	defer cancel()
	stopped := func(component string) bool { return slices.Contains(m.Stopped, component) }
	if m.Spec.Etcd == dedicated && !stopped(sharedEtcd) {
		if err := l.table.Resume(m.Spec.Name + "/" + sharedEtcd); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := host.StartEtcd(ctx, l.etcdOf(s, m)); err != nil {
			return err
		}
	}
	if stopped(sharedEtcd) || stopped(controlplane.APIServer) {
		return nil // nothing else can start, or be waited for
	}
	cluster := l.cluster(s, m)
	if err := host.Start(ctx, cluster, slices.DeleteFunc(cluster.Components(), stopped)...); err != nil {
		return err
	}
	if err := l.publish(m.Spec.Name, cluster.AdminKubeconfig()); err != nil {
		return err
	}
	if m.UplinkPort == 0 || stopped(agentComponent) {
		return nil
	}
	return l.startAgent(ctx, s, m)
}

// publish puts a cluster's kubeconfig where those that work on the whole fleet
// look for all of them.
func (l *Lab) publish(name, kubeconfig string) error {
	data, err := os.ReadFile(kubeconfig)
	if err == nil {
		err = os.MkdirAll(l.Kubeconfigs(), 0o700)
	}
	if err == nil {
		err = atomicfile.Write(l.published(name), data)
	}
	return err
}

// Kubeconfigs is the directory with a file NAME.kubeconfig for each cluster that
// was started.
func (l *Lab) Kubeconfigs() string { return filepath.Join(l.dir, "kubeconfigs") }

func (l *Lab) published(name string) string {
	return filepath.Join(l.Kubeconfigs(), name+".kubeconfig")
}
