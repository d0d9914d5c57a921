package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nave.dev/internal/lab/controlplane"
	"nave.dev/internal/lab/gitserver/webhook"
	"nave.dev/internal/lab/proxy"
)

// state is what a lab is meant to be, kept in one file: every command changes
// it under the lab's lock and then makes the processes follow. Which processes
// run is not in it; the process table knows.
type state struct {
	Pods      controlplane.PodTiming `json:"pods"`
	EtcdPorts etcdPorts              `json:"etcdPorts"` // of the shared etcd
	Git       gitState               `json:"git"`
	Clusters  map[string]*member     `json:"clusters"`
}

type etcdPorts struct {
	Client int `json:"client"`
	Peer   int `json:"peer"`
}

type gitState struct {
	Port     int            `json:"port"`
	Password string         `json:"password,omitempty"`
	Hooks    []webhook.Hook `json:"hooks,omitempty"`
}

// member is one cluster of the lab.
type member struct {
	Spec       Cluster            `json:"spec"`
	Ports      controlplane.Ports `json:"ports"`
	ServerPort int                `json:"serverPort"`
	EtcdPorts  etcdPorts          `json:"etcdPorts"` // of a dedicated etcd
	Link       proxy.Link         `json:"link"`
	Stopped    []string           `json:"stopped,omitempty"` // components stopped on purpose
	Expires    *time.Time         `json:"expires,omitempty"`
}

func (l *Lab) stateFile() string { return filepath.Join(l.dir, "lab.json") }

// load reads the state; a lab that never was is empty.
func (l *Lab) load() (*state, error) {
	s := &state{Clusters: map[string]*member{}}
	data, err := os.ReadFile(l.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lab's state: %w", err)
	}
	return s, nil
}

func (l *Lab) save(s *state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.WriteFile(l.stateFile()+".new", append(data, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(l.stateFile()+".new", l.stateFile())
	}
	if err != nil {
		return fmt.Errorf("writing the lab's state: %w", err)
	}
	return nil
}

// names returns the clusters' names in a natural order.
func (s *state) names() []string {
	names := slices.Collect(maps.Keys(s.Clusters))
	sortNames(names)
	return names
}

// member returns the cluster of that name, or says which there are.
func (s *state) member(name string) (*member, error) {
	if m := s.Clusters[name]; m != nil {
		return m, nil
	}
	if len(s.Clusters) == 0 {
		return nil, errors.New("the lab has no clusters\nhint: nave-lab up starts some")
	}
	return nil, fmt.Errorf("the lab has no cluster %q\nhint: it has %s", name, enumerate(s.names()))
}

// portTaken reports whether a member that is stopped now counts on the port.
func (s *state) portTaken(port int) bool {
	if slices.Contains([]int{s.EtcdPorts.Client, s.EtcdPorts.Peer, s.Git.Port}, port) {
		return true
	}
	for _, m := range s.Clusters {
		if slices.Contains([]int{
			m.Ports.APIServer, m.Ports.ControllerManager, m.Ports.Scheduler, m.Ports.Kwok,
			m.ServerPort, m.EtcdPorts.Client, m.EtcdPorts.Peer,
		}, port) {
			return true
		}
	}
	return false
}

// admit adds a cluster that is not there yet, with ports of its own.
func (s *state) admit(spec Cluster, now time.Time) error {
	ports, err := controlplane.FreePorts(7, s.portTaken)
	if err != nil {
		return err
	}
	if len(spec.NodePools) == 0 {
		spec.NodePools = defaultPools()
	}
	m := &member{
		Spec: spec,
		Ports: controlplane.Ports{
			APIServer: ports[0], ControllerManager: ports[1], Scheduler: ports[2], Kwok: ports[3],
		},
		ServerPort: ports[4],
	}
	if spec.Etcd == dedicated {
		m.EtcdPorts = etcdPorts{Client: ports[5], Peer: ports[6]}
	}
	if spec.TTL.Duration > 0 {
		expires := now.Add(spec.TTL.Duration)
		m.Expires = &expires
	}
	s.Clusters[spec.Name] = m
	return nil
}

// cluster returns a member's control plane as data.
func (l *Lab) cluster(s *state, m *member) controlplane.Cluster {
	return controlplane.Cluster{
		Name:       m.Spec.Name,
		Dir:        filepath.Join(l.dir, "clusters", m.Spec.Name),
		Etcd:       l.etcdOf(s, m),
		Ports:      m.Ports,
		ServerPort: m.ServerPort,
		Nodes:      m.Spec.NodePools,
		Pods:       s.Pods,
	}
}

// sharedEtcd is the process name, and the directory, of the etcd that clusters share.
const sharedEtcd = "etcd"

// etcdOf returns the etcd that holds the member's data.
func (l *Lab) etcdOf(s *state, m *member) controlplane.Etcd {
	if m == nil || m.Spec.Etcd != dedicated {
		return controlplane.Etcd{
			Name: sharedEtcd, Dir: filepath.Join(l.dir, sharedEtcd),
			ClientPort: s.EtcdPorts.Client, PeerPort: s.EtcdPorts.Peer,
		}
	}
	return controlplane.Etcd{
		Name: m.Spec.Name + "/etcd", Dir: filepath.Join(l.dir, "clusters", m.Spec.Name, "etcd"),
		ClientPort: m.EtcdPorts.Client, PeerPort: m.EtcdPorts.Peer,
	}
}

// enumerate joins names for a sentence, the first few of them.
func enumerate(names []string) string {
	const most = 30
	text := ""
	for i, name := range names {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(names)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += name
	}
	return text
}
