package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nave.dev/internal/atomicfile"
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
	HubPort   int                    `json:"hubPort,omitempty"` // chosen when a hub is first started
	// AgentsPort is where the hub takes agents, chosen when one first does.
	AgentsPort int `json:"agentsPort,omitempty"`

	saved []byte // what the file holds
}

type etcdPorts struct {
	Client int `json:"client"`
	Peer   int `json:"peer"`
}

type gitState struct {
	Port     int            `json:"port"`
	Password string         `json:"password,omitempty"`
	Hooks    []webhook.Hook `json:"hooks,omitempty"`
	// ChartsAway says that the Helm repository answers nothing, on purpose.
	ChartsAway bool `json:"chartsAway,omitempty"`
}

// member is one cluster of the lab.
type member struct {
	Spec       Cluster            `json:"spec"`
	Ports      controlplane.Ports `json:"ports"`
	ServerPort int                `json:"serverPort"`
	EtcdPorts  etcdPorts          `json:"etcdPorts"` // of a dedicated etcd
	// UplinkPort is the loopback port by which the cluster's agent reaches the hub,
	// through the same network as others reach the cluster; 0: it has no agent.
	UplinkPort int        `json:"uplinkPort,omitempty"`
	Link       proxy.Link `json:"link"`
	Stopped    []string   `json:"stopped,omitempty"` // components stopped on purpose
	Expires    *time.Time `json:"expires,omitempty"`
}

const stateName = "lab.json"

func (l *Lab) stateFile() string { return filepath.Join(l.dir, stateName) }

// load reads the state; a lab that never was is empty.
func (l *Lab) load() (*state, error) {
	s := &state{Clusters: map[string]*member{}}
	data, err := os.ReadFile(l.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		s.saved, err = s.encode() // no file says the same as an empty one
		return s, err
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lab's state: %w", err)
	}
	s.saved = data
	err = json.Unmarshal(data, s)
	if err == nil && (s.Clusters == nil || slices.Contains(slices.Collect(maps.Values(s.Clusters)), nil)) {
		err = errors.New("a cluster is null")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lab's state in %s: %w\nhint: nave-lab down --delete ends its processes and deletes it", l.stateFile(), err)
	}
	return s, nil
}

func (s *state) encode() ([]byte, error) {
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// save replaces the state file whole or not at all, also by a machine that
// goes down, unless it holds the same.
func (l *Lab) save(s *state) error {
	data, err := s.encode()
	if err == nil && bytes.Equal(data, s.saved) {
		return nil
	}
	if err == nil {
		err = atomicfile.WriteDurably(l.stateFile(), data)
	}
	if err != nil {
		return fmt.Errorf("writing the lab's state: %w", err)
	}
	s.saved = data
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
	m.live(spec.TTL.Duration, now)
	s.Clusters[spec.Name] = m
	return nil
}

// adopt takes over what a fleet file says of a cluster that is there already.
// Its time goes on as it was unless the file now says another, or it was over.
func (m *member) adopt(spec Cluster, now time.Time) {
	if len(spec.NodePools) == 0 {
		spec.NodePools = defaultPools()
	}
	if spec.TTL != m.Spec.TTL || m.expired(now) {
		m.live(spec.TTL.Duration, now)
	}
	m.Spec = spec
}

// live gives the cluster so much time from now; 0 means for ever.
func (m *member) live(ttl time.Duration, now time.Time) {
	m.Expires = nil
	if ttl > 0 {
		expires := now.Add(ttl)
		m.Expires = &expires
	}
}

// expired reports whether the cluster's time is over.
func (m *member) expired(now time.Time) bool { return m.Expires != nil && now.After(*m.Expires) }

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
