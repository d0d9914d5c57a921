package swarm

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/change"
	"nave.dev/internal/health"
	"nave.dev/internal/object"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

// simulated is a cluster that is made up: what a spoke would say of it. It is for one
// goroutine at a time.
type simulated struct {
	cluster  string
	key      string
	checks   string // digest
	number   int64
	facts    app.Facts
	assigned *spoke.Assigned
	have     map[string]bool // digests of the bundles that it keeps
	apps     map[string]spoke.AppState
	ailing   string // the app that is not Healthy, if one is
	flaps    int
	well     bool      // as it was last told
	since    time.Time // it is, or was last
}

// versions of Kubernetes that clusters of a fleet have at one time.
var versions = []string{"v1.34.6", "v1.35.2", "v1.36.3"}

func newSimulated(cluster string, i int) simulated {
	return simulated{cluster: cluster, facts: factsOf(versions[i%len(versions)]), have: map[string]bool{}, apps: map[string]spoke.AppState{}}
}

// factsOf are the facts of a cluster with some operators: about what an API server
// serves of itself, and as much again of definitions.
func factsOf(version string) app.Facts {
	facts := app.Facts{KubernetesVersion: version, Scopes: map[string]bool{}}
	add := func(group string, kinds ...string) {
		for _, kind := range kinds {
			facts.APIVersions = append(facts.APIVersions, group+"/v1/"+kind)
			facts.Scopes[kind+"."+group] = true
		}
		facts.APIVersions = append(facts.APIVersions, group+"/v1")
	}
	add("apps", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision")
	add("batch", "Job", "CronJob")
	add("networking.k8s.io", "Ingress", "IngressClass", "NetworkPolicy")
	for i := range 30 {
		add(fmt.Sprintf("operator-%02d.example.com", i), "Cluster", "Backup", "Policy", "Binding")
	}
	facts.APIVersions = append(facts.APIVersions, "v1", "v1/ConfigMap", "v1/Service", "v1/ServiceAccount", "v1/Pod", "v1/Secret")
	for _, kind := range []string{"ConfigMap", "Service", "ServiceAccount", "Pod", "Secret"} {
		facts.Scopes[kind+"."] = true
	}
	slices.Sort(facts.APIVersions)
	return facts
}

// missing returns the digests of an assignment's bundles that the cluster lacks.
func (s *simulated) missing(message protocol.Assignment) []string {
	return slices.DeleteFunc(message.Bundles(), func(digest string) bool { return s.have[digest] })
}

// accept takes an assignment, and reports whether there is something to apply.
func (s *simulated) accept(assigned *spoke.Assigned, key, checks string) (changed bool) {
	s.assigned, s.key, s.checks, s.number = assigned, key, checks, assigned.Number
	have := map[string]bool{}
	for _, desired := range assigned.Apps {
		if desired.Bundle == nil {
			continue
		}
		have[desired.Bundle.Digest] = true
		state, known := s.apps[desired.Name]
		if known && state.Digest == desired.Bundle.Digest {
			continue
		}
		changed = true
		s.apps[desired.Name] = spoke.AppState{
			Name: desired.Name, Sync: spoke.OutOfSync, Health: state.Health, Objects: len(desired.Bundle.Objects),
			Digest: desired.Bundle.Digest, Source: assigned.Sources[desired.Name], SyncedAt: state.SyncedAt, Message: "syncing",
		}
	}
	s.have = have
	asked := names(assigned)
	maps.DeleteFunc(s.apps, func(name string, _ spoke.AppState) bool {
		_, found := slices.BinarySearch(asked, name)
		return !found
	})
	return changed
}

// apply makes the apps be what they should be, and returns what a spoke would tell.
func (s *simulated) apply(now time.Time) (events []spoke.Event) {
	for _, desired := range s.assigned.Apps {
		state := s.apps[desired.Name]
		if desired.Bundle == nil || state.Sync == spoke.Synced {
			continue
		}
		changes := change.Set{}
		for _, object := range objectsOf(desired) {
			changes = append(changes, change.Entry{Object: object, Action: change.Updated})
		}
		state.Sync, state.Message, state.SyncedAt = spoke.Synced, "", now
		state.Health = spoke.Health{Status: health.Healthy, Counts: map[health.Status]int{health.Healthy: state.Objects}}
		s.apps[desired.Name] = state
		events = append(events, spoke.Event{Time: now, Cluster: s.cluster, App: desired.Name, Kind: spoke.EventApplied, Message: changes.Summary(), Changes: changes})
	}
	return events
}

// flap makes an app unwell, or the one well again that is, and now and then has
// somebody change an object, which is undone.
func (s *simulated) flap(now time.Time, random func(int) int) (events []spoke.Event) {
	if s.assigned == nil || len(s.assigned.Apps) == 0 {
		return nil
	}
	if s.ailing != "" {
		state := s.apps[s.ailing]
		state.Health = spoke.Health{Status: health.Healthy, Counts: map[health.Status]int{health.Healthy: state.Objects}}
		s.apps[s.ailing], s.ailing = state, ""
		return nil
	}
	desired := s.assigned.Apps[random(len(s.assigned.Apps))]
	objects := objectsOf(desired)
	if len(objects) == 0 {
		return nil
	}
	last := objects[len(objects)-1]
	if s.flaps++; s.flaps%3 == 0 {
		return []spoke.Event{{
			Time: now, Cluster: s.cluster, App: desired.Name, Kind: spoke.EventDrift, Message: "somebody changed 1 object, which was undone",
			Changes: change.Set{{Object: last, Action: change.Corrected, Reason: "kubectl-edit took spec.replicas"}},
		}}
	}
	parts := []health.Part{{Name: last.String(), Status: health.Progressing, Message: "1 of 2 replicas are ready"}}
	for _, id := range objects[:len(objects)-1] {
		parts = append(parts, health.Part{Name: id.String(), Status: health.Healthy})
	}
	state := s.apps[desired.Name]
	state.Health = health.Aggregate(parts, 0)
	s.apps[desired.Name], s.ailing = state, desired.Name
	return nil
}

// known is what a spoke would say now.
func (s *simulated) known(now time.Time) protocol.Known {
	state := spoke.State{
		Cluster: s.cluster, Online: true, Writer: true, Version: s.facts.KubernetesVersion, Number: s.number, Sync: spoke.Synced, Watches: 12,
	}
	var parts []health.Part
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		one := s.apps[name]
		if one.Sync != spoke.Synced {
			state.Sync = spoke.OutOfSync
		}
		parts = append(parts, one.Health.Part(name))
		state.Apps = append(state.Apps, one)
	}
	state.Health = health.Aggregate(parts, 0)
	well := state.Sync == spoke.Synced && state.Health.Status == health.Healthy && len(parts) > 0
	if well && !s.well {
		s.since = now
	}
	s.well, state.ConvergedAt = well, s.since
	known := protocol.Known{Number: s.number, Shows: s.key, Checks: s.checks, State: state, Facts: s.facts, Applied: []string{}}
	for _, one := range state.Apps {
		known.Applied = append(known.Applied, one.Name)
	}
	return known
}

// objectsOf are the objects of an app.
func objectsOf(desired app.Desired) (found []object.ID) {
	if desired.Bundle == nil {
		return nil
	}
	for _, u := range desired.Bundle.Objects {
		found = append(found, object.Of(u))
	}
	return found
}
