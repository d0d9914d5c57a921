package lab

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"nave.dev/internal/lab/controlplane"
)

// Status is what a lab is at one moment.
type Status struct {
	Dir      string            `json:"dir"`
	Git      GitStatus         `json:"git"`
	Clusters []ClusterStatus   `json:"clusters"`
	Shared   []ComponentStatus `json:"shared"` // processes that belong to no single cluster
	// MemoryBytes and CPUSeconds are sums over all processes; shared pages are
	// counted once.
	MemoryBytes int64   `json:"memoryBytes"`
	CPUSeconds  float64 `json:"cpuSeconds"`
}

// GitStatus says where the Git server is.
type GitStatus struct {
	URL      string `json:"url"`
	Password bool   `json:"password"` // whether it asks for one
}

// ClusterStatus is one cluster at one moment.
type ClusterStatus struct {
	Name        string            `json:"name"`
	Ready       bool              `json:"ready"`
	Reason      string            `json:"reason,omitempty"` // why it is not ready
	Server      string            `json:"server"`
	Labels      map[string]string `json:"labels,omitempty"`
	Partitioned bool              `json:"partitioned"`
	Latency     string            `json:"latency,omitempty"`
	Etcd        string            `json:"etcd"` // shared or dedicated
	Nodes       int               `json:"nodes"`
	Expires     *time.Time        `json:"expires,omitempty"`
	MemoryBytes int64             `json:"memoryBytes"`
	Components  []ComponentStatus `json:"components"`
}

// ComponentStatus is one process at one moment.
type ComponentStatus struct {
	Name string `json:"name"`
	// State is running, stalled or stopped (both on purpose), or failed (it should run).
	State       string     `json:"state"`
	PID         int        `json:"pid,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	MemoryBytes int64      `json:"memoryBytes,omitempty"` // proportional set size
	CPUSeconds  float64    `json:"cpuSeconds,omitempty"`
}

// The states of a component.
const (
	Running = "running"
	Stalled = "stalled"
	Stopped = "stopped"
	Failed  = "failed"
)

// readyLimit bounds how long one cluster's components may take to answer; a
// component that hangs is not ready.
const readyLimit = 5 * time.Second

// Status looks at every process and asks every running component whether it
// does its work. It takes no lock: a lab that is just being changed is shown as
// it is.
func (l *Lab) Status(ctx context.Context) (Status, error) {
	s, err := l.load()
	if err != nil {
		return Status{}, err
	}
	status := Status{Dir: l.dir, Clusters: []ClusterStatus{}}
	if s.Git.Port != 0 {
		status.Git = GitStatus{URL: s.gitURL(), Password: s.Git.Password != ""}
		status.Shared = []ComponentStatus{l.component(sharedEtcd, sharedEtcd, nil), l.component(networkProcess, networkProcess, nil)}
	}
	names := s.names()
	status.Clusters = make([]ClusterStatus, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { status.Clusters[i] = l.clusterStatus(ctx, s, s.Clusters[name]) })
	}
	group.Wait()
	for _, component := range status.Shared {
		status.MemoryBytes += component.MemoryBytes
		status.CPUSeconds += component.CPUSeconds
	}
	for _, cluster := range status.Clusters {
		status.MemoryBytes += cluster.MemoryBytes
		for _, component := range cluster.Components {
			status.CPUSeconds += component.CPUSeconds
		}
	}
	return status, nil
}

func (l *Lab) clusterStatus(ctx context.Context, s *state, m *member) ClusterStatus {
	cluster := l.cluster(s, m)
	status := ClusterStatus{
		Name: m.Spec.Name, Ready: true, Server: cluster.Server(), Labels: m.Spec.Labels,
		Partitioned: m.Link.Partitioned, Etcd: "shared", Expires: m.Expires,
	}
	if m.Spec.Etcd == dedicated {
		status.Etcd = dedicated
	}
	if m.Link.Latency > 0 {
		status.Latency = m.Link.Latency.String()
	}
	for _, pool := range m.Spec.NodePools {
		status.Nodes += pool.Count
	}
	for _, name := range m.components() {
		component := l.component(name, m.Spec.Name+"/"+name, m.Stopped)
		status.MemoryBytes += component.MemoryBytes
		status.Components = append(status.Components, component)
		if component.State != Running && status.Ready {
			status.Ready, status.Reason = false, name+" is "+component.State
		}
	}
	if !status.Ready {
		return status
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for _, component := range controlplane.Components() {
		if err := cluster.ComponentReady(ctx, component); err != nil {
			status.Ready, status.Reason = false, component+": "+err.Error()
			break
		}
	}
	return status
}

// component looks at one process.
func (l *Lab) component(name, processName string, stopped []string) ComponentStatus {
	status := ComponentStatus{Name: name, State: Failed}
	record, err := l.table.Get(processName)
	switch {
	case err == nil && record.Running():
		status.State, status.PID, status.Since = Running, record.PID, &record.Started
		if record.Suspended() {
			status.State = Stalled
		}
		if usage, err := record.Usage(); err == nil {
			status.MemoryBytes, status.CPUSeconds = usage.Memory, usage.CPU.Seconds()
		}
	case slices.Contains(stopped, name), errors.Is(err, fs.ErrNotExist) && l.isDown():
		status.State = Stopped
	}
	return status
}

// isDown reports whether the lab as a whole is stopped: then no process failed.
func (l *Lab) isDown() bool {
	return !l.running(networkProcess)
}
