package lab

import (
	"slices"

	"nave.dev/internal/lab/controlplane"
)

// choosePorts chooses the ports that the lab has not chosen yet, and other ones
// for what does not run and whose port a stranger took meanwhile. A port stays
// as long as any process counts on it.
func (s *state) choosePorts(running func(process string) bool) error {
	shared := []*int{&s.EtcdPorts.Client, &s.EtcdPorts.Peer}
	var others []*int // of the network process
	others = append(others, &s.Git.Port)
	anyRuns := running(sharedEtcd)
	for _, name := range s.names() {
		m := s.Clusters[name]
		others = append(others, &m.ServerPort)
		if m.UplinkPort != 0 {
			others = append(others, &m.UplinkPort)
		}
		clusterRuns := slices.ContainsFunc(m.components(), func(c string) bool { return running(name + "/" + c) })
		anyRuns = anyRuns || clusterRuns
		if clusterRuns {
			continue
		}
		own := []*int{&m.Ports.APIServer, &m.Ports.ControllerManager, &m.Ports.Scheduler, &m.Ports.Kwok}
		if m.Spec.Etcd == dedicated {
			own = append(own, &m.EtcdPorts.Client, &m.EtcdPorts.Peer)
		}
		if err := s.replaceTaken(own); err != nil {
			return err
		}
	}
	if !anyRuns {
		if err := s.replaceTaken(shared); err != nil {
			return err
		}
	}
	if running(networkProcess) {
		return nil
	}
	return s.replaceTaken(others)
}

// replaceTaken gives a new port to each that is 0 or on which something listens.
func (s *state) replaceTaken(ports []*int) error {
	for _, port := range ports {
		if *port != 0 && controlplane.PortFree(*port) {
			continue
		}
		fresh, err := controlplane.FreePorts(1, s.portTaken)
		if err != nil {
			return err
		}
		*port = fresh[0]
	}
	return nil
}

// portTaken reports whether a member that is stopped now counts on the port.
func (s *state) portTaken(port int) bool {
	if slices.Contains([]int{s.EtcdPorts.Client, s.EtcdPorts.Peer, s.Git.Port, s.HubPort, s.AgentsPort}, port) {
		return true
	}
	for _, m := range s.Clusters {
		if slices.Contains([]int{
			m.Ports.APIServer, m.Ports.ControllerManager, m.Ports.Scheduler, m.Ports.Kwok,
			m.ServerPort, m.UplinkPort, m.EtcdPorts.Client, m.EtcdPorts.Peer,
		}, port) {
			return true
		}
	}
	return false
}
