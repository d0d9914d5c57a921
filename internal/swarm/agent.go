package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nave.dev/internal/agent/fetch"
	"nave.dev/internal/app"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/tunnel"
)

// pace is the least time between two reports, as an agent has it.
const pace = 200 * time.Millisecond

// tellAttempts is how often a hub may ask for a whole report at once.
const tellAttempts = 25

// agent is one agent, with a cluster that is made up. To the hub it is a real one.
type agent struct {
	swarm   *swarm
	cluster string
	source  net.IP // that it connects from: agents are not all behind one address
	token   string
	keeper  memory
	fetcher fetch.Fetcher
	news    chan struct{} // buffered by one: there is something to report

	giving sync.Mutex // held by who takes an assignment

	mu       sync.Mutex
	conn     *tunnel.Conn
	raw      net.Conn // below it
	sim      simulated
	taken    int       // assignments since the last mark
	accepted time.Time // the last one
	reported bool      // wholly, on the present connection
	events   []spoke.Event

	ahead atomic.Int64 // how far the agent's clock is, in nanoseconds
}

// now is the agent's clock.
func (a *agent) now() time.Time { return time.Now().Add(time.Duration(a.ahead.Load())) }

// memory keeps the credentials of an agent for as long as the swarm runs. Keep uses
// it from one goroutine at a time.
type memory struct{ credentials tunnel.Credentials }

// Load implements tunnel.Keeper.
func (m *memory) Load(context.Context) (tunnel.Credentials, error) { return m.credentials, nil }

// Store implements tunnel.Keeper.
func (m *memory) Store(_ context.Context, c tunnel.Credentials) error {
	m.credentials = c
	return nil
}

func newAgent(s *swarm, i int) *agent {
	a := &agent{
		swarm: s, cluster: clusterName(i), source: net.IPv4(127, 1, byte(i/250), byte(1+i%250)), news: make(chan struct{}, 1),
		sim: newSimulated(clusterName(i), i),
	}
	a.fetcher = fetch.Fetcher{URL: tunnel.HubURL + protocol.BundlePath, Most: protocol.MaxBundle, Check: s.contents.check}
	return a
}

// run keeps the agent connected until ctx is done.
func (a *agent) run(ctx context.Context, hub string, roots []byte) error {
	return tunnel.Keep(ctx, tunnel.Options{
		Hub: hub, Keeper: &a.keeper, Token: func() (string, error) { return a.token, nil }, Roots: roots, Handler: a.handler(),
		Product: "swarm", Now: a.now, Dial: a.dial,
		Certified: func(_ time.Time, err error) {
			if err == nil {
				a.swarm.certified.Add(1)
			}
		},
	}, a.report)
}

// dial connects from the agent's own address, and counts what passes.
func (a *agent) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: a.source}}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn = counted{conn, &a.swarm.wire}
	a.mu.Lock()
	a.raw = conn
	a.mu.Unlock()
	return conn, nil
}

// cut breaks the connection, as a router does that forgets it.
func (a *agent) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.raw != nil {
		a.raw.Close()
	}
	a.reported = false
}

// report tells the hub what there is, now and whenever it is another.
func (a *agent) report(ctx context.Context, conn *tunnel.Conn) error {
	a.mu.Lock()
	a.conn, a.reported = conn, false
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.reported = false
		a.mu.Unlock()
	}()
	reporter := &protocol.Reporter{}
	for {
		if err := a.tell(ctx, conn, reporter); err != nil {
			return err
		}
		a.mu.Lock()
		a.reported = true
		a.mu.Unlock()
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case <-a.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tell sends what is new.
func (a *agent) tell(ctx context.Context, conn *tunnel.Conn, reporter *protocol.Reporter) error {
	for range tellAttempts {
		a.mu.Lock()
		known, events := a.sim.known(time.Now()), a.events
		a.events = nil
		a.mu.Unlock()
		report := reporter.Next(known, events)
		if report == nil {
			return nil
		}
		taken, err := a.send(ctx, conn, report)
		if err != nil || taken.Whole {
			a.mu.Lock()
			a.events = append(events, a.events...)
			a.mu.Unlock()
		}
		if err != nil {
			return err
		}
		if !taken.Whole {
			return nil
		}
		reporter.Restart()
		select {
		case <-time.After(pace):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.New("the hub takes no report")
}

func (a *agent) send(ctx context.Context, conn *tunnel.Conn, report *protocol.Report) (taken protocol.Taken, err error) {
	data, err := protocol.Compressed(report)
	if err != nil {
		return taken, err
	}
	a.swarm.reports.add(len(data))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, tunnel.HubURL+protocol.ReportPath, bytes.NewReader(data))
	if err != nil {
		return taken, err
	}
	answer, err := conn.Client().Do(request)
	if err != nil {
		return taken, fmt.Errorf("reporting to the hub: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // only for words
		return taken, fmt.Errorf("reporting to the hub: %s: %s", answer.Status, text)
	}
	return taken, json.NewDecoder(answer.Body).Decode(&taken)
}

// handler serves what the hub asks.
func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+protocol.AssignmentPath, func(w http.ResponseWriter, r *http.Request) {
		var message protocol.Assignment
		if err := protocol.Read(r.Body, &message); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := a.give(r.Context(), message); err != nil {
			http.Error(w, err.Error(), protocol.StatusRefused)
			return
		}
		json.NewEncoder(w).Encode(struct{}{})
	})
	mux.HandleFunc("GET "+protocol.LeasePath, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(protocol.Lease{Held: true, Cluster: a.cluster})
	})
	return mux
}

// give takes an assignment, once all bundles of it that the agent lacks are here.
func (a *agent) give(ctx context.Context, message protocol.Assignment) error {
	a.giving.Lock()
	defer a.giving.Unlock()
	a.mu.Lock()
	conn, missing := a.conn, a.sim.missing(message)
	older := message.Number < a.sim.number
	a.mu.Unlock()
	if older || conn == nil || message.Cluster != a.cluster {
		return fmt.Errorf("assignment %d of %q is not for this cluster, or older than what it has", message.Number, message.Cluster)
	}
	fetched, err := a.fetcher.Fetch(ctx, conn.Client(), missing)
	if err != nil {
		return err
	}
	for _, data := range fetched {
		a.swarm.bundles.add(len(data))
	}
	a.fetcher.Forget()
	assigned, err := message.Assigned(a.swarm.contents.bundle)
	if err != nil {
		return err
	}
	now := time.Now()
	a.mu.Lock()
	changed := a.sim.accept(assigned, message.Key, message.Checks.Digest)
	a.taken, a.accepted = a.taken+1, now
	a.mu.Unlock()
	signal(a.news)
	if changed {
		time.AfterFunc(applying, a.apply)
	}
	return nil
}

// applying is how long the made-up cluster takes to apply what changed.
const applying = 500 * time.Millisecond

// apply has what was accepted be on the cluster.
func (a *agent) apply() {
	a.mu.Lock()
	a.events = append(a.events, a.sim.apply(time.Now())...)
	a.mu.Unlock()
	signal(a.news)
}

// flap has something happen on the cluster.
func (a *agent) flap() {
	a.mu.Lock()
	a.events = append(a.events, a.sim.flap(time.Now(), rand.IntN)...)
	a.mu.Unlock()
	signal(a.news)
}

// mark forgets what was taken, and returns how often and when last.
func (a *agent) mark() (taken int, accepted time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken, accepted = a.taken, a.accepted
	a.taken = 0
	return taken, accepted
}

// peek returns what mark does, and forgets nothing.
func (a *agent) peek() (taken int, told bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.taken, a.reported
}

func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// contents are the bundles that any agent has, each once: a thousand clusters that
// hold the same are in one process here.
type contents struct {
	mu      sync.Mutex
	bundles map[string]*app.Bundle
}

// check decodes a bundle as an agent does.
func (c *contents) check(data []byte, digest string) error {
	bundle, err := protocol.DecodeBundle(data, digest)
	if err == nil {
		c.mu.Lock()
		c.bundles[digest] = bundle
		c.mu.Unlock()
	}
	return err
}

func (c *contents) bundle(digest string) (*app.Bundle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bundle := c.bundles[digest]; bundle != nil {
		return bundle, nil
	}
	return nil, fmt.Errorf("the bundle %s was not fetched", digest)
}

// names returns the apps of an assignment.
func names(assigned *spoke.Assigned) (found []string) {
	for _, desired := range assigned.Apps {
		found = append(found, desired.Name)
	}
	return slices.Clip(found)
}
