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
	"slices"
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
	WaitsFor string        // what it waits for now; empty when it no longer waits
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
		err = l.noLab()
	}
	if err != nil {
		return "", err
	}
	return s.gitURL(), nil
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
	data, err := os.ReadFile(l.cluster(s, m).AdminKubeconfig())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cluster %s has never been started\nhint: nave-lab start %s", name, name)
	}
	return data, err
}

// LogFile returns the file with a component's output.
func (l *Lab) LogFile(name, component string) (string, error) {
	s, err := l.load()
	if err != nil {
		return "", err
	}
	if s.Git.Port == 0 {
		return "", l.noLab()
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
	if !slices.Contains(append(controlplane.Components(), agentComponent), component) {
		return "", fmt.Errorf("no component %q\nhint: one of %s", component, enumerate(append(controlplane.Components(), sharedEtcd, agentComponent)))
	}
	return l.cluster(s, m).LogFile(component), nil
}

// Pause waits, or until ctx is done, whose cause it then returns.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
