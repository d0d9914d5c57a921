package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nave.dev/internal/lab/controlplane"
	"nave.dev/internal/lab/proxy"
)

// Stop stops a whole cluster, or some of its components, as if their machines
// had lost power. The data stays.
func (l *Lab) Stop(ctx context.Context, name string, components ...string) error {
	return l.change(ctx, func(s *state) error {
		m, err := s.member(name)
		if err != nil {
			return err
		}
		if err := m.checkComponents(components); err != nil {
			return err
		}
		if len(components) == 0 {
			components = m.components()
		}
		for _, component := range components {
			if !slices.Contains(m.Stopped, component) {
				m.Stopped = append(m.Stopped, component)
			}
		}
		return l.kill(ctx, name, components)
	})
}

// Start starts again what Stop stopped, has what Stall stalled go on, and returns when it is ready.
func (l *Lab) Start(ctx context.Context, name string, components ...string) error {
	return l.change(ctx, func(s *state) error {
		m, err := s.member(name)
		if err != nil {
			return err
		}
		if err := m.checkComponents(components); err != nil {
			return err
		}
		stopped := slices.DeleteFunc(slices.Clone(m.Stopped), func(component string) bool {
			return len(components) == 0 || slices.Contains(components, component)
		})
		for _, base := range []string{sharedEtcd, controlplane.APIServer} {
			for _, component := range components {
				if slices.Contains(stopped, base) && component != sharedEtcd {
					return fmt.Errorf("%s of %s cannot start while its %s is stopped\nhint: nave-lab start %s starts all of it", component, name, base, name)
				}
			}
		}
		m.Stopped = stopped
		return l.start(ctx, s, []string{name})
	})
}

// Stall keeps the etcd of a cluster that has one of its own from running, as a
// disk that no longer answers would: it neither fails nor answers, and
// connections to it stay. Start lets it go on.
func (l *Lab) Stall(ctx context.Context, name string) error {
	return l.change(ctx, func(s *state) error {
		if _, _, err := l.ownEtcd(s, name); err != nil {
			return err
		}
		return l.table.Suspend(name + "/" + sharedEtcd)
	})
}

// components returns what belongs to the cluster alone, in the order of start.
func (m *member) components() []string {
	components := controlplane.Components()
	if m.Spec.Etcd == dedicated {
		components = append([]string{sharedEtcd}, components...)
	}
	if m.UplinkPort != 0 {
		components = append(components, agentComponent)
	}
	return components
}

func (m *member) checkComponents(components []string) error {
	for _, component := range components {
		if !slices.Contains(m.components(), component) {
			return fmt.Errorf("cluster %s has no component %q\nhint: one of %s", m.Spec.Name, component, enumerate(m.components()))
		}
	}
	return nil
}

// kill ends components without warning. What they serve goes before what they
// stand on, so that none has time to complain.
func (l *Lab) kill(ctx context.Context, name string, components []string) error {
	var err error
	for _, component := range components {
		err = errors.Join(err, l.table.Stop(ctx, name+"/"+component, 0))
	}
	return err
}

// SetLink cuts, slows or mends the network between a cluster and everyone outside:
// the way to its API server and that of its agent to the hub. What is inside the
// cluster, its agent too, goes on.
func (l *Lab) SetLink(ctx context.Context, name string, change func(*proxy.Link)) error {
	return l.change(ctx, func(s *state) error {
		m, err := s.member(name)
		if err != nil {
			return err
		}
		before := m.Link
		change(&m.Link)
		if latency := m.Link.Latency; latency < 0 || latency > time.Minute {
			m.Link = before
			return fmt.Errorf("a latency of %s: want 0 to 1m", latency)
		}
		if err := l.save(s); err != nil {
			return err
		}
		err = l.reloadNetwork(ctx)
		var refused *refusedError
		if err != nil && !errors.As(err, &refused) {
			m.Link = before // nobody heard of it
		}
		return err
	})
}

// Remove stops a cluster and forgets it, with its data.
func (l *Lab) Remove(ctx context.Context, name string) error {
	return l.change(ctx, func(s *state) error {
		m, err := s.member(name)
		if err != nil {
			return err
		}
		return l.remove(ctx, s, m)
	})
}

func (l *Lab) remove(ctx context.Context, s *state, m *member) error {
	if err := l.wipe(ctx, s, m); err != nil {
		return err
	}
	if err := os.RemoveAll(l.cluster(s, m).Dir); err != nil {
		return err
	}
	if err := os.Remove(l.published(m.Spec.Name)); err != nil && !os.IsNotExist(err) {
		return err
	}
	delete(s.Clusters, m.Spec.Name)
	if err := l.save(s); err != nil {
		return err
	}
	if l.isDown() {
		return nil // the network process reads the state when it starts
	}
	return l.reloadNetwork(ctx)
}

// expire removes the clusters whose time is over and returns their names.
// While another command runs it removes none: that may be giving one more time.
func (l *Lab) expire(ctx context.Context, now time.Time) (removed []string, err error) {
	s, err := l.load()
	if err != nil || !slices.ContainsFunc(slices.Collect(maps.Values(s.Clusters)), func(m *member) bool { return m.expired(now) }) {
		return nil, err
	}
	unlock, err := l.tryLock()
	if errors.Is(err, errBusy) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	err = l.changeLocked(func(s *state) error {
		var errs error
		for _, name := range s.names() {
			if m := s.Clusters[name]; m.expired(now) {
				if err := l.remove(ctx, s, m); err != nil {
					errs = errors.Join(errs, fmt.Errorf("removing cluster %s, whose time is over: %w", name, err))
					continue
				}
				removed = append(removed, name)
			}
		}
		return errs
	})
	return removed, err
}

// Destroy stops a cluster and deletes its data: a disaster. Start brings back an
// empty cluster of the same name, address and keys.
func (l *Lab) Destroy(ctx context.Context, name string) error {
	return l.change(ctx, func(s *state) error {
		m, err := s.member(name)
		if err != nil {
			return err
		}
		m.Stopped = m.components()
		return l.wipe(ctx, s, m)
	})
}

// wipe stops a cluster and deletes what it stored.
func (l *Lab) wipe(ctx context.Context, s *state, m *member) error {
	if err := l.kill(ctx, m.Spec.Name, m.components()); err != nil {
		return err
	}
	// With the cluster went all that its agent is: another joins in its place.
	m.UplinkPort = 0
	m.Stopped = slices.DeleteFunc(m.Stopped, func(component string) bool { return component == agentComponent })
	if err := os.RemoveAll(l.agentSite(s, m).dir); err != nil {
		return err
	}
	etcd := l.etcdOf(s, m)
	if m.Spec.Etcd == dedicated {
		return etcd.Wipe()
	}
	if !l.running(sharedEtcd) {
		return errors.New("the shared etcd, which holds the cluster's data, does not run\nhint: nave-lab up starts it")
	}
	bin, err := controlplane.FindBinaries(l.bin)
	if err != nil {
		return err
	}
	return etcd.DeletePrefix(ctx, bin, m.Spec.Name)
}

// Snapshot saves the etcd of a cluster that has one of its own to a file.
func (l *Lab) Snapshot(ctx context.Context, name, file string) error {
	return l.change(ctx, func(s *state) error {
		m, bin, err := l.ownEtcd(s, name)
		if err != nil {
			return err
		}
		return l.etcdOf(s, m).Snapshot(ctx, bin, file)
	})
}

// Restore puts the etcd of a cluster that has one of its own back to a
// snapshot, as an operator would: revisions go back too. It returns when the
// cluster is ready again.
func (l *Lab) Restore(ctx context.Context, name, file string) error {
	file, err := filepath.Abs(file)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		return fmt.Errorf("reading the snapshot: %w", err)
	}
	return l.change(ctx, func(s *state) error {
		m, bin, err := l.dedicatedMember(s, name)
		if err != nil {
			return err
		}
		etcd := l.etcdOf(s, m)
		if err := etcd.Unpack(ctx, bin, file); err != nil {
			return err // nothing has happened to the cluster
		}
		if err := l.kill(ctx, name, m.components()); err != nil {
			return err
		}
		if err := etcd.Replace(); err != nil {
			return err
		}
		m.Stopped = nil
		return l.start(ctx, s, []string{name})
	})
}

// ownEtcd is dedicatedMember for what needs the etcd to serve.
func (l *Lab) ownEtcd(s *state, name string) (*member, controlplane.Binaries, error) {
	m, bin, err := l.dedicatedMember(s, name)
	if err != nil {
		return nil, bin, err
	}
	switch record, err := l.table.Get(name + "/" + sharedEtcd); {
	case err != nil || !record.Running():
		return nil, bin, fmt.Errorf("the etcd of %s does not run\nhint: nave-lab start %s", name, name)
	case record.Suspended():
		return nil, bin, fmt.Errorf("the etcd of %s is stalled\nhint: nave-lab start %s has it go on", name, name)
	}
	return m, bin, nil
}

func (l *Lab) dedicatedMember(s *state, name string) (*member, controlplane.Binaries, error) {
	m, err := s.member(name)
	if err != nil {
		return nil, controlplane.Binaries{}, err
	}
	if m.Spec.Etcd != dedicated {
		return nil, controlplane.Binaries{}, fmt.Errorf("cluster %s shares its etcd with others, which would be concerned too\nhint: declare it with etcd: dedicated", name)
	}
	bin, err := controlplane.FindBinaries(l.bin)
	return m, bin, err
}
