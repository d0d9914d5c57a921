// Package lab runs a fleet of real Kubernetes clusters on one machine: their
// control planes as processes, nodes and pods played by kwok, a network between
// them and everyone else that can be cut and slowed, and a Git server. A Lab is
// a directory; every command reads what the lab is meant to be, changes that,
// and makes the processes follow, so that a command killed half-way is mended by
// the next. Nothing of the product imports this package: the lab runs it as a
// user would.
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
	"strings"
	"sync"
	"syscall"
	"time"

	"nave.dev/internal/lab/controlplane"
	"nave.dev/internal/lab/process"
)

// Options say where a lab lives and whom it tells what.
type Options struct {
	Dir string // of the lab's state; DefaultDir unless set
	// Bin holds the control-plane binaries and nave-lab itself; the directory of
	// the running program unless set.
	Bin string
	// Progress, if set, is told of each step while clusters start. It may be
	// called from several goroutines at once.
	Progress func(Progress)
}

// Progress is one step of a cluster's start.
type Progress struct {
	Name     string        // of a cluster, or of a process that all share
	WaitsFor string        // what it waits for now; empty when Ready
	Ready    bool          // the cluster is complete
	Err      error         // it could not be started
	Done     int           // clusters that are ready or have failed
	Total    int           // clusters to start
	Took     time.Duration // since its start began
}

// Lab is a fleet on this machine. Its methods may be used by several programs
// at once: those that change the lab wait for one another.
type Lab struct {
	dir      string
	bin      string
	progress func(Progress)
	table    *process.Table
}

// New returns the lab in a directory, whether or not there is one yet.
func New(opts Options) (*Lab, error) {
	if opts.Dir == "" {
		opts.Dir = DefaultDir()
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if opts.Bin == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		opts.Bin = filepath.Dir(self)
	}
	if opts.Progress == nil {
		opts.Progress = func(Progress) {}
	}
	return &Lab{
		dir: dir, bin: opts.Bin, progress: opts.Progress,
		table: &process.Table{Dir: filepath.Join(dir, "run")},
	}, nil
}

// Dir is the directory in which the lab lives.
func (l *Lab) Dir() string { return l.dir }

// errNoLab is returned by what needs a lab that is there.
var errNoLab = errors.New("there is no lab here\nhint: nave-lab up starts one; --dir or NAVE_LAB_DIR say where")

// change runs a change of the lab under its lock: only one at a time, over all
// programs. The state that do leaves behind is saved also if it fails, since
// processes may already follow it.
func (l *Lab) change(ctx context.Context, do func(s *state) error) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := l.load()
	if err != nil {
		return err
	}
	err = do(s)
	return errors.Join(err, l.save(s))
}

// lock takes the lab's lock, which the system releases however the holder ends.
func (l *Lab) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(l.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("locking %s: %w", l.dir, err)
		}
		if !told {
			l.progress(Progress{Name: "lab", WaitsFor: "another nave-lab command"})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("waiting for another nave-lab command: %w", context.Cause(ctx))
		}
	}
}

// clusterLimit bounds how long one cluster may take to become ready, with all
// others starting beside it on a slow machine.
const clusterLimit = 10 * time.Minute

// UpOptions say what Up starts beside the clusters.
type UpOptions struct {
	Fleet Fleet
	// GitPassword, unless empty, is asked by the Git server from now on.
	GitPassword string
}

// Up starts the fleet's clusters that are not there, starts again what is there
// and down, and returns when all are ready. Clusters of an earlier Up that the
// fleet does not name are started too. A cluster that fails does not keep the
// others from starting; the error names each with the last lines of its log.
func (l *Lab) Up(ctx context.Context, opts UpOptions) error {
	return l.change(ctx, func(s *state) error {
		if opts.GitPassword != "" {
			s.Git.Password = opts.GitPassword
		}
		if opts.Fleet.Pods != (controlplane.PodTiming{}) {
			s.Pods = opts.Fleet.Pods
		}
		for _, spec := range opts.Fleet.Clusters {
			if m := s.Clusters[spec.Name]; m == nil {
				if err := s.admit(spec, time.Now()); err != nil {
					return err
				}
			} else if err := m.adopt(spec); err != nil {
				return err
			}
		}
		for _, m := range s.Clusters {
			m.Stopped = nil
		}
		return l.start(ctx, s, s.names())
	})
}

// adopt takes over what a fleet file says of a cluster that is there already.
func (m *member) adopt(spec Cluster) error {
	if (spec.Etcd == dedicated) != (m.Spec.Etcd == dedicated) {
		return fmt.Errorf("cluster %s: its etcd cannot change between shared and dedicated\nhint: nave-lab remove %s, then up again", spec.Name, spec.Name)
	}
	if len(spec.NodePools) == 0 {
		spec.NodePools = defaultPools()
	}
	m.Spec = spec
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
	return l.change(ctx, func(s *state) error {
		if s.Clusters[spec.Name] != nil {
			return fmt.Errorf("the lab has a cluster %q already\nhint: nave-lab start %s, or choose another name", spec.Name, spec.Name)
		}
		if err := s.admit(spec, time.Now()); err != nil {
			return err
		}
		return l.start(ctx, s, []string{spec.Name})
	})
}

// SpecOf returns what a cluster was started from, to make another one like it.
func (l *Lab) SpecOf(name string) (Cluster, error) {
	s, err := l.load()
	if err != nil {
		return Cluster{}, err
	}
	m, err := s.member(name)
	if err != nil {
		return Cluster{}, err
	}
	return m.Spec, nil
}

// Names returns the names of the lab's clusters.
func (l *Lab) Names() ([]string, error) {
	s, err := l.load()
	if err != nil {
		return nil, err
	}
	return s.names(), nil
}

// GitURL returns the address of the Git server.
func (l *Lab) GitURL() (string, error) {
	s, err := l.load()
	if err == nil && s.Git.Port == 0 {
		err = errNoLab
	}
	if err != nil {
		return "", err
	}
	return s.gitURL(), nil
}

// start makes the processes follow the state for the named clusters: what they
// share first, then several clusters at a time.
func (l *Lab) start(ctx context.Context, s *state, names []string) error {
	bin, err := controlplane.FindBinaries(l.bin)
	if err != nil {
		return err
	}
	if s.EtcdPorts == (etcdPorts{}) {
		ports, err := controlplane.FreePorts(3, s.portTaken)
		if err != nil {
			return err
		}
		s.EtcdPorts, s.Git.Port = etcdPorts{Client: ports[0], Peer: ports[1]}, ports[2]
	}
	// Saved before anything runs: a later command finds the ports that
	// processes of a killed one listen on.
	if err := l.save(s); err != nil {
		return err
	}
	if err := l.startNetwork(ctx); err != nil {
		return err
	}
	host := controlplane.Host{Binaries: bin, Processes: l.table, Progress: func(name, waitsFor string) {
		l.progress(Progress{Name: name, WaitsFor: waitsFor, Total: len(names)})
	}}
	if err := host.StartEtcd(ctx, l.etcdOf(s, nil)); err != nil {
		return err
	}
	return l.startClusters(ctx, host, s, names)
}

func (l *Lab) startClusters(ctx context.Context, host controlplane.Host, s *state, names []string) error {
	var (
		mu    sync.Mutex
		done  int
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
			began := time.Now()
			err := l.startCluster(ctx, host, s, m)
			mu.Lock()
			defer mu.Unlock()
			done++
			if err != nil {
				errs = errors.Join(errs, fmt.Errorf("cluster %s: %w", name, err))
			}
			l.progress(Progress{Name: name, Ready: err == nil, Err: err, Done: done, Total: len(names), Took: time.Since(began)})
		})
	}
	group.Wait()
	return errs
}

func (l *Lab) startCluster(ctx context.Context, host controlplane.Host, s *state, m *member) error {
	ctx, cancel := context.WithTimeoutCause(ctx, clusterLimit, fmt.Errorf("not ready after %s", clusterLimit))
	defer cancel()
	if m.Spec.Etcd == dedicated {
		if err := host.StartEtcd(ctx, l.etcdOf(s, m)); err != nil {
			return err
		}
	}
	cluster := l.cluster(s, m)
	components := cluster.Components()
	components = slices.DeleteFunc(components, func(c string) bool { return slices.Contains(m.Stopped, c) })
	if !slices.Contains(components, controlplane.APIServer) {
		return nil // nothing can be waited for
	}
	return host.Start(ctx, cluster, components...)
}

// Down ends every process of the lab, known or left over by a command that was
// killed, and returns when none is left. The data stays, and Up brings
// the clusters back, unless remove is set: then the lab is gone.
func (l *Lab) Down(ctx context.Context, remove bool) error {
	if _, err := os.Stat(l.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// Everything at once and without grace, but for etcd, whose data stays: the
	// others keep nothing.
	if err := l.stopAll(ctx, func(name string) bool { return !isEtcd(name) }, 0); err != nil {
		return err
	}
	if err := l.stopAll(ctx, isEtcd, etcdGrace); err != nil {
		return err
	}
	if remove {
		return os.RemoveAll(l.dir)
	}
	return nil
}

const etcdGrace = 10 * time.Second

func isEtcd(process string) bool {
	return process == sharedEtcd || strings.HasSuffix(process, "/"+sharedEtcd)
}

func (l *Lab) stopAll(ctx context.Context, which func(name string) bool, grace time.Duration) error {
	records, err := l.table.List()
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		group sync.WaitGroup
	)
	for _, record := range records {
		if !which(record.Name) {
			continue
		}
		group.Go(func() {
			stopErr := l.table.Stop(ctx, record.Name, grace)
			mu.Lock()
			defer mu.Unlock()
			err = errors.Join(err, stopErr)
		})
	}
	group.Wait()
	return err
}

// Kubeconfig returns a cluster administrator's kubeconfig, by way of the lab's
// network.
func (l *Lab) Kubeconfig(name string) ([]byte, error) {
	s, err := l.load()
	if err != nil {
		return nil, err
	}
	m, err := s.member(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(l.cluster(s, m).AdminKubeconfig())
}

// LogFile returns the file with a component's output.
func (l *Lab) LogFile(name, component string) (string, error) {
	s, err := l.load()
	if err != nil {
		return "", err
	}
	if name == networkProcess {
		return l.networkLog(), nil
	}
	if name == sharedEtcd {
		return filepath.Join(l.dir, sharedEtcd, "etcd.log"), nil
	}
	m, err := s.member(name)
	if err != nil {
		return "", err
	}
	if component == sharedEtcd {
		return filepath.Join(l.etcdOf(s, m).Dir, "etcd.log"), nil
	}
	if !slices.Contains(controlplane.Components(), component) {
		return "", fmt.Errorf("no component %q\nhint: one of %s", component, enumerate(append(controlplane.Components(), sharedEtcd)))
	}
	return l.cluster(s, m).LogFile(component), nil
}
