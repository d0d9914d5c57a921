package lab

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// occupied listens on a loopback port until the test ends.
func occupied(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

func TestChoosePortsReplacesWhatAStrangerTook(t *testing.T) {
	fresh := func(t *testing.T) *state {
		s := &state{Clusters: map[string]*member{}}
		if err := s.take(Fleet{Clusters: []Cluster{{Name: "one"}, {Name: "two", Etcd: dedicated}}}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.choosePorts(func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		return s
	}
	ports := func(s *state) map[string]*int {
		one, two := s.Clusters["one"], s.Clusters["two"]
		return map[string]*int{
			"etcd": &s.EtcdPorts.Client, "etcd peer": &s.EtcdPorts.Peer, "git": &s.Git.Port,
			"one": &one.Ports.APIServer, "one kwok": &one.Ports.Kwok, "one server": &one.ServerPort,
			"two": &two.Ports.APIServer, "two etcd": &two.EtcdPorts.Client, "two server": &two.ServerPort,
		}
	}
	for name, c := range map[string]struct {
		reason  string
		taken   []string
		running []string
		want    []string // ports that are replaced
	}{
		"Free": {
			reason: "ports on which nothing listens stay, so that addresses given out stay good",
		},
		"Down": {
			reason: "a lab that is down takes other ports for those that a stranger took, whatever they are",
			taken:  []string{"etcd", "git", "one", "one server", "two etcd"},
			want:   []string{"etcd", "git", "one", "one server", "two etcd"},
		},
		"ClusterRuns": {
			reason:  "its other components count on the port of an API server that died, and all clusters on that of etcd",
			taken:   []string{"one", "etcd", "two"},
			running: []string{"one/kube-scheduler"},
			want:    []string{"two"},
		},
		"NetworkRuns": {
			reason:  "it is the network process itself that listens there",
			taken:   []string{"git", "one server", "two"},
			running: []string{networkProcess},
			want:    []string{"two"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			before := map[string]int{}
			for _, name := range c.taken {
				*ports(s)[name] = occupied(t)
			}
			for name, port := range ports(s) {
				before[name] = *port
			}
			if err := s.choosePorts(func(process string) bool { return slices.Contains(c.running, process) }); err != nil {
				t.Fatal(err)
			}
			var replaced []string
			for name, port := range ports(s) {
				if *port != before[name] {
					replaced = append(replaced, name)
				}
			}
			slices.Sort(replaced)
			if diff := cmp.Diff(c.want, replaced); diff != "" {
				t.Errorf("%s: replaced -want +got:\n%s", c.reason, diff)
			}
		})
	}
}

func TestAdoptAndTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	ttl := func(d time.Duration) (c Cluster) { c.TTL.Duration = d; return c }
	for name, c := range map[string]struct {
		reason string
		have   member
		file   Cluster
		want   *time.Time
	}{
		"Same":    {"a second up does not prolong a life", member{Spec: ttl(time.Hour), Expires: at(time.Minute)}, ttl(time.Hour), at(time.Minute)},
		"Longer":  {"the file says another time, which counts from now", member{Spec: ttl(time.Hour), Expires: at(time.Minute)}, ttl(2 * time.Hour), at(2 * time.Hour)},
		"ForEver": {"the file says no time any more: the cluster is not deleted", member{Spec: ttl(time.Hour), Expires: at(time.Minute)}, ttl(0), nil},
		"Over":    {"up asks for a cluster whose time is over", member{Spec: ttl(time.Hour), Expires: at(-time.Minute)}, ttl(time.Hour), at(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			c.have.adopt(c.file, now)
			if diff := cmp.Diff(c.want, c.have.Expires); diff != "" {
				t.Errorf("%s: expires -want +got:\n%s", c.reason, diff)
			}
		})
	}
}

func TestSortNames(t *testing.T) {
	names := []string{"a10", "lab-2", "a1b", "lab-10", "a2", "lab-1"}
	sortNames(names)
	want := []string{"a2", "a10", "a1b", "lab-1", "lab-2", "lab-10"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
