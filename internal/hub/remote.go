package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"nave.dev/internal/app"
	"nave.dev/internal/desired/checks"
	"nave.dev/internal/hub/calling"
	"nave.dev/internal/hub/past"
	"nave.dev/internal/hub/told"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
	"nave.dev/internal/tunnel"
)

// remote keeps a cluster by its agent: it holds what the agent last said, and sends
// it what the cluster should hold.
type remote struct {
	hub     *Hub
	cluster string
	ended   context.Context // done when the cluster is no longer kept so
	wake    chan struct{}   // buffered by one: there may be something to send

	mu      sync.Mutex
	mirror  protocol.Mirror
	link    *tunnel.Link
	since   time.Time // when there was a link last, or the hub began
	wanted  *spoke.Assigned
	owed    bool   // what it is to be given of the state that is in force is not known yet
	key     string // of wanted, as it is for the agent
	content string // key of wanted, for any agent
	spoken  int    // minor version of the protocol that the agent spoke last
	number  int64  // that was sent last
	sent    string // key and checks that the agent took
	refusal string // why it did not take the newest
	turned  string // why one that says it is the agent was turned away, since one was connected
	checks  protocol.Checks
	clones  fence         // of an identity that two clusters use
	last    store.Cluster // what is known of the agent, for the store
	news    bool          // there is more to write down than was
	written time.Time     // when it was, in this process
	// recalled is what a hub before this one knew of the cluster, which is shown until
	// there is a report; nil while nobody has asked.
	recalled *spoke.State
}

// fence keeps an identity out that two clusters use.
type fence struct {
	number int64
	why    string
}

func newRemote(h *Hub, cluster string, ended context.Context) *remote {
	return &remote{hub: h, cluster: cluster, ended: ended, wake: make(chan struct{}, 1), since: h.opts.Now(), spoken: tunnel.Protocol.Minor, last: h.before[cluster]}
}

// Known implements keeper.
func (r *remote) Known() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mirror.Reported
}

// Assign implements keeper.
func (r *remote) Assign(a *spoke.Assigned) {
	key := told.Key(a)
	r.mu.Lock()
	r.wanted, r.content = a, key
	r.suit()
	r.mu.Unlock()
	signal(r.wake)
}

// owe notes whether a state of Git comes into force of which the cluster has been given
// nothing: what it shows until then is of an earlier one.
func (r *remote) owe(owed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owed = owed
}

// Judge implements keeper. Checks that cannot be sent are those of before.
func (r *remote) Judge(j judgment) {
	packed, err := protocol.NewChecks(j.own.Files, checks.Dir, j.own.Digest)
	if err != nil {
		r.hub.opts.Log.Error("the fleet's health checks are not sent", "cluster", r.cluster, "error", err)
		return
	}
	r.mu.Lock()
	r.checks = packed
	r.mu.Unlock()
	signal(r.wake)
}

// State implements keeper.
func (r *remote) State() spoke.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := r.mirror.State()
	state.Cluster = r.cluster // whatever it says
	if !r.mirror.Reported {
		if r.recalled == nil {
			recalled, _ := past.State(r.last)
			r.recalled = &recalled
		}
		if state = *r.recalled; state.Cluster != "" && r.link == nil {
			state.OfflineSince = r.last.LastSeen
			state.Error += r.turned
			return state
		}
		state = spoke.State{Cluster: r.cluster, Sync: spoke.Unknown, Health: spoke.Health{Status: spoke.HealthUnknown}}
	}
	switch {
	case r.clones.why != "":
		state.Online, state.OfflineSince, state.Error = false, r.since, told.FirstLine(r.clones.why)
	case r.link == nil && !r.mirror.Reported:
		state.OfflineSince, state.Error = r.since, "no agent has connected"+r.turned
	case r.link == nil:
		state.Online, state.OfflineSince, state.Error = false, r.since, "its agent is not connected"+r.turned
	case r.refusal != "":
		state.Error = r.refusal
	}
	if (r.owed || r.wanted != nil && r.mirror.Shows != r.key) && state.Sync == spoke.Synced {
		state.Sync = spoke.OutOfSync
	}
	return state
}

// synced is how many apps of the state are Synced.
func (r *remote) synced() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mirror.Synced()
}

// Facts implements keeper.
func (r *remote) Facts() app.Facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mirror.Facts
}

// Found implements keeper.
func (r *remote) Found() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mirror.Applied
}

// Settled implements keeper.
func (r *remote) Settled(a *spoke.Assigned) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a == nil || a != r.wanted || r.link == nil || r.mirror.Shows != r.key {
		return nil
	}
	return r.mirror.State().Settled(a.Apps)
}

// Sync implements keeper.
func (r *remote) Sync(ctx context.Context, app string) error {
	return r.act(ctx, protocol.Action{Do: protocol.Sync, App: app})
}

// RerunHooks implements keeper.
func (r *remote) RerunHooks(ctx context.Context, app string) error {
	return r.act(ctx, protocol.Action{Do: protocol.RerunHooks, App: app})
}

// Confirm implements keeper.
func (r *remote) Confirm(ctx context.Context, digest string) error {
	return r.act(ctx, protocol.Action{Do: protocol.Confirm, Digest: digest})
}

// Pause implements keeper.
func (r *remote) Pause(ctx context.Context, p spoke.Pause) error {
	return r.act(ctx, protocol.Action{Do: protocol.Pause, App: p.App, Until: p.Until, Actor: p.Actor, Reason: p.Reason})
}

// renew has the agent get a new certificate, and returns when that ends.
func (r *remote) renew(ctx context.Context) (time.Time, error) {
	err := r.act(ctx, protocol.Action{Do: protocol.Renew})
	return r.agent().CertificateEnd, err
}

func (r *remote) act(ctx context.Context, action protocol.Action) error {
	body, err := json.Marshal(action)
	if err != nil {
		return err
	}
	return r.ask(ctx, http.MethodPost, protocol.ActionPath, body, &struct{}{})
}

// Diff implements keeper.
func (r *remote) Diff(ctx context.Context, app string) (diffs []spoke.AppDiff, err error) {
	diffs = []spoke.AppDiff{}
	return diffs, r.ask(ctx, http.MethodGet, protocol.DiffPath+"?"+url.Values{"app": {app}}.Encode(), nil, &diffs)
}

// Orphans implements keeper.
func (r *remote) Orphans(ctx context.Context) (orphans []spoke.Orphan, err error) {
	err = r.ask(ctx, http.MethodGet, protocol.OrphansPath, nil, &orphans)
	for i := range orphans {
		orphans[i].Cluster = r.cluster // whatever it says
	}
	return orphans, err
}

// ask asks the agent that is connected.
func (r *remote) ask(ctx context.Context, method, path string, body []byte, into any) error {
	r.mu.Lock()
	link := r.link
	r.mu.Unlock()
	if link == nil {
		return fmt.Errorf("cluster %s: its agent is not connected", r.cluster)
	}
	return calling.Agent(ctx, link, method, path, body, into)
}

// take takes a report over. It returns false if it builds on one that was missed, or
// is made in a call over another connection than that which counts.
func (r *remote) take(call context.Context, report protocol.Report) bool {
	r.mu.Lock()
	if r.link == nil || !r.link.Carries(call) {
		r.mu.Unlock()
		return false // a late word would be taken for the newest; the next one tells all
	}
	first, facts := !r.mirror.Reported, r.mirror.Facts
	was := r.mirror.State().Online && !first
	taken := r.mirror.Take(report)
	var news []spoke.Event
	if taken {
		news = r.mirror.News(r.link.Hello().Instance, report)
		r.news, r.last.LastSeen, r.last.CertificateEnd = true, r.hub.opts.Now(), r.link.CertificateEnd()
		r.recalled, r.last.State, r.last.Facts = nil, nil, nil // what it said counts
	}
	changed := taken && report.Facts != nil && !slices.Equal(facts.APIVersions, report.Facts.APIVersions)
	r.mu.Unlock()
	if !taken {
		return false
	}
	for _, event := range news {
		event.Cluster = r.cluster // whatever it says
		r.hub.record(event)
	}
	if first || changed || !was && report.State.Online {
		r.hub.Trigger() // what it says may matter to a render, and to what it is given
	}
	r.hub.changed(r.cluster)
	signal(r.wake)
	return true
}

// has reports whether a bundle is among what the cluster is to hold.
func (r *remote) has(digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted != nil && slices.ContainsFunc(r.wanted.Apps, func(d app.Desired) bool { return d.Bundle != nil && d.Bundle.Digest == digest })
}

// identity is the number of the agent that is connected, or 0.
func (r *remote) identity() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		return r.clones.number
	}
	return r.link.Identity().Number
}

// agent is what is known of the agent.
func (r *remote) agent() *Agent {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		return &Agent{Identity: r.last.Identity, Version: r.last.AgentVersion, LastSeen: r.last.LastSeen, CertificateEnd: r.last.CertificateEnd}
	}
	return &Agent{Identity: r.link.Identity().Number, Address: r.link.Address(), Version: r.link.Hello().Product, Connected: r.link.Since(), LastSeen: r.last.LastSeen, CertificateEnd: r.link.CertificateEnd()}
}

// turnAway notes why the hub refuses one that says it is the agent.
func (r *remote) turnAway(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turned = "; one that says it is was refused: " + told.FirstLine(why.Error())
}

// fence keeps an identity out.
func (r *remote) fence(id tunnel.Identity, why string) {
	r.mu.Lock()
	r.clones = fence{id.Number, why}
	r.mu.Unlock()
	r.hub.record(spoke.Event{Time: r.hub.opts.Now(), Cluster: r.cluster, Kind: spoke.EventOffline, Message: why})
}

// fenced says why an identity is kept out, if it is. A higher one ends it.
func (r *remote) fenced(id tunnel.Identity) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clones.why != "" && id.Number > r.clones.number {
		r.clones = fence{}
	}
	return r.clones.why
}

// Waits until the agent is sent again what it did not take.
const (
	firstSend = time.Second
	lastSend  = 30 * time.Second
)

// serve sends the agent what the cluster should hold while it is connected.
func (r *remote) serve(ctx context.Context, link *tunnel.Link) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ended, cancel)()
	r.mu.Lock()
	r.link, r.sent, r.refusal, r.turned = link, "", "", ""
	r.suit()
	r.last.Identity, r.last.AgentVersion = link.Identity().Number, link.Hello().Product
	r.mirror.Restart()
	r.mu.Unlock()
	r.hub.record(spoke.Event{Time: r.hub.opts.Now(), Cluster: r.cluster, Kind: spoke.EventOnline, Message: "its agent is connected from " + link.Address()})
	defer r.leave(link)
	retry := firstSend
	for {
		p, due, err := r.pack()
		if !due {
			select {
			case <-r.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		if err == nil {
			err = r.send(ctx, link, p)
		}
		if err == nil {
			retry = firstSend
			continue
		}
		if ctx.Err() != nil {
			return
		}
		r.note(err)
		timer := time.NewTimer(retry) // which news does not shorten
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		retry = min(2*retry, lastSend)
	}
}

// leave notes that an agent is gone.
func (r *remote) leave(link *tunnel.Link) {
	r.mu.Lock()
	if r.link != link {
		r.mu.Unlock()
		return
	}
	r.link, r.since = nil, r.hub.opts.Now()
	r.news, r.last.LastSeen, r.last.CertificateEnd = true, r.since, link.CertificateEnd()
	r.mu.Unlock()
	why := "its agent is no longer connected"
	if err := link.Err(); err != nil {
		why += ": " + err.Error()
	}
	r.hub.record(spoke.Event{Time: r.hub.opts.Now(), Cluster: r.cluster, Kind: spoke.EventOffline, Message: why})
	r.hub.changed(r.cluster)
}

// parcel is an assignment on its way. Only the compressed form of it is held until the
// agent keeps it: where a thousand agents fetch what is new at once, the messages
// themselves would be what fills the memory.
type parcel struct {
	body   []byte
	number int64
	sent   string // key and checks
}

// next returns what is to be sent, if anything is: once the agent has said what is
// there, and if that is not what is wanted.
func (r *remote) next() (message protocol.Assignment, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted == nil || !r.mirror.Reported || !r.mirror.Begun() {
		return message, false
	}
	if r.sent == "" && r.mirror.Shows == r.key && r.mirror.Checks == r.checks.Digest {
		r.sent = r.key + r.checks.Digest // by a connection before this one
	}
	if r.sent == r.key+r.checks.Digest {
		return message, false
	}
	number := max(r.number, r.mirror.Number, r.mirror.State().Number)
	if r.mirror.Shows != r.key {
		number++
	}
	message = protocol.NewAssignment(r.wanted, r.key, r.checks)
	message.Number = number
	message.Suit(r.minor())
	return message, true
}

// pack returns the next parcel, if one is due.
func (r *remote) pack() (p parcel, due bool, err error) {
	message, due := r.next()
	if due {
		p.number, p.sent = message.Number, message.Key+message.Checks.Digest
		p.body, err = protocol.Compressed(message)
	}
	return p, due, err
}

// send gives the agent an assignment, and returns when the agent keeps it.
func (r *remote) send(ctx context.Context, link *tunnel.Link, p parcel) error {
	if err := calling.Agent(ctx, link, http.MethodPut, protocol.AssignmentPath, p.body, &struct{}{}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number, r.sent, r.refusal = p.number, p.sent, ""
	return nil
}

// note records why the agent did not take an assignment.
func (r *remote) note(err error) {
	r.mu.Lock()
	news := r.refusal != err.Error()
	r.refusal = err.Error()
	r.mu.Unlock()
	if news {
		r.hub.opts.Log.Warn("an agent did not take what its cluster should hold", "cluster", r.cluster, "error", err)
		r.hub.changed(r.cluster)
	}
}
