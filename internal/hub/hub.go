// Package hub is the process that keeps a fleet: it follows the fleet
// repository, compiles what each cluster should hold, hands that to a spoke per
// cluster, and serves what is known to the command line. In this arrangement,
// direct, the spokes run in the hub's own process, with kubeconfigs. The package
// composes; what is decided is decided in desired and spoke.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/desired"
	"nave.dev/internal/desired/ledger"
	"nave.dev/internal/hub/alone"
	"nave.dev/internal/hub/fetching"
	"nave.dev/internal/hub/journal"
	"nave.dev/internal/hub/metrics"
	"nave.dev/internal/hub/past"
	"nave.dev/internal/hub/pausing"
	"nave.dev/internal/hub/socket"
	"nave.dev/internal/hub/told"
	"nave.dev/internal/hub/upkeep"
	"nave.dev/internal/live"
	"nave.dev/internal/people"
	"nave.dev/internal/people/audit"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
	"nave.dev/internal/store/sqlite"
	"nave.dev/internal/tunnel/authority"
)

// Options configure a Hub.
type Options struct {
	// Dir holds mirrors, rendered objects, what clusters were last given, and the
	// socket by which the command line reaches the hub. Losing it costs time, and
	// prunes that people must confirm.
	Dir        string
	Repository desired.Repository
	// CredentialsDir is where the files that credentials name are.
	CredentialsDir string
	// Kubeconfigs is a directory with a file NAME.kubeconfig for each cluster that is
	// kept from the hub's own process; empty is none.
	Kubeconfigs string
	// Agents is the address at which agents dial in; empty takes none. They keep the
	// clusters without a kubeconfig.
	Agents string
	// Alone, unless nil, is the one cluster that is kept, in the place of its agent: no
	// other is looked at, and there are no Kubeconfigs and no Agents.
	Alone *alone.Cluster
	// Authority is the directory of the key that agents are known by, and of the file of
	// people.
	Authority string
	// People is how people reach the hub who are not at its machine.
	People People
	// Product is the version of the program.
	Product string
	// AgeKeyFile holds the age identities that decrypt Secrets; empty is none.
	AgeKeyFile string
	// Metrics is the Service of the Prometheus in clusters that are kept from the hub's
	// own process, as live.Options have it; empty is none.
	Metrics string
	// Interval between looks at the remotes, unless the Fleet says; a webhook does
	// not wait for it.
	Interval time.Duration
	// WebhookSecretFile holds the key of webhook signatures.
	WebhookSecretFile string
	// Listen is the address of metrics and webhooks; empty serves neither.
	Listen        string
	WorkerCommand []string
	Log           *slog.Logger
	Now           func() time.Time
}

// Hub keeps a fleet while Run runs.
type Hub struct {
	opts     Options
	pipeline *desired.Pipeline
	judged   judgment // by which clusters are judged; belongs to the goroutine of follow, as tried does
	keys     spoke.Keys
	tried    string        // digest of the fleet's own checks that were tried last
	trigger  chan struct{} // buffered by one: look at the remotes now
	metrics  *metrics.Metrics
	shown    *authority.Authority // whose certificate the API shows; nil if it does not
	arrived  chan struct{}        // buffered by one: a source was fetched
	ledger   *ledger.Ledger
	sources  *fetching.Sources
	journal  journal.Journal

	store     store.Store
	home      *alone.Home // nil unless one cluster is kept
	agents    *agents     // nil if none are taken
	audit     *audit.Log
	gate      *gate.Gate
	remembers sync.Mutex // held by who writes down what is known

	mu        sync.Mutex
	ctx       context.Context // of Run: spokes end with it
	policy    people.Policy   // what groups may do
	members   map[string]*member
	before    map[string]store.Cluster // what a hub before this one knew last, by cluster
	lost      map[string]bool          // bundles of which it was said that they are
	pinned    *desired.Pinned
	revision  Revision
	compiled  told.Compilation         // the last one, if it went well
	nextFetch time.Time                // when the remotes are looked at if nothing asks before
	pauses    map[string][]spoke.Pause // by cluster, as they are kept; not changed once made
	keeping   sync.Mutex               // held by who keeps pauses
	spokes    sync.WaitGroup
}

// member is one cluster of the fleet as the hub sees it.
type member struct {
	labels    map[string]string
	expires   time.Time
	expired   time.Time // when that was seen first; zero while it is not so
	least     int64     // identity number that is accepted
	suspended bool
	err       string // why no spoke runs, if none does
	spoke     keeper
	stop      context.CancelFunc
	done      <-chan struct{} // closed when the last spoke has ended
	config    string          // content of the kubeconfig in use
	live      *live.Cluster   // that answers questions by asked, nil before the first one
	asked     string          // content of the kubeconfig that live uses
	given     *spoke.Assigned // what it was last given in this process
	key       string          // of that
	unkept    error           // why it is not given the newest, if so
	leaving   *spoke.Assigned // what it was given, if apps are to go by it and are not known to be gone
}

// Revision is the state of Git that the hub acts on.
type Revision struct {
	Commit   string    `json:"commit"`
	Subject  string    `json:"subject,omitempty"`
	Snapshot string    `json:"snapshot"`
	Compiled time.Time `json:"compiled"`
	// Problems of the fleet's documents and renders, in words.
	Problems []string `json:"problems,omitempty"`
	// Error says why the newest state of Git is not in force, if so.
	Error string `json:"error,omitempty"`
}

// Run keeps the fleet until ctx is done, and then lets what is under way end.
func Run(ctx context.Context, opts Options) error {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Interval == 0 {
		opts.Interval = time.Minute
	}
	checker, err := spoke.NewChecker(nil, "")
	if err != nil {
		return err
	}
	var keys spoke.Keys
	if opts.AgeKeyFile != "" {
		if keys, err = spoke.OpenKeys(opts.AgeKeyFile); err != nil {
			return err
		}
	}
	free, err := upkeep.Own(opts.Dir)
	if err != nil {
		return err
	}
	defer free()
	pipeline, err := desired.Open(ctx, desired.Options{
		Dir: opts.Dir, Repository: opts.Repository, CredentialsDir: opts.CredentialsDir,
		WorkerCommand: opts.WorkerCommand, Now: opts.Now, SourcesApart: true,
	})
	if err != nil {
		return err
	}
	defer pipeline.Close()
	given, problems, err := ledger.Open(filepath.Join(opts.Dir, "ledger"))
	if err != nil {
		return err
	}
	for _, problem := range problems {
		opts.Log.Warn("prunes are held until clusters were seen in order", "error", problem)
	}
	pauses, err := pausing.Read(opts.Dir)
	if err != nil {
		opts.Log.Warn("pauses are only in the clusters' records", "error", err)
	}
	memory, err := sqlite.Open(ctx, upkeep.Database(opts.Dir), sqlite.Options{Now: opts.Now})
	if err != nil {
		return err
	}
	defer memory.Close() // after all that uses it has ended
	ctx, cancel := context.WithCancel(ctx)
	h := &Hub{
		store: memory,
		opts:  opts, pipeline: pipeline, judged: judgment{checker: checker}, keys: keys, trigger: make(chan struct{}, 1), arrived: make(chan struct{}, 1),
		ledger: given, lost: map[string]bool{}, ctx: ctx, members: map[string]*member{},
		pauses: pauses, before: map[string]store.Cluster{},
	}
	h.sources = fetching.New(pipeline, &h.spokes, func() { signal(h.arrived) })
	h.metrics = metrics.New(h.seen)
	if opts.Alone != nil {
		if h.home, err = alone.New(*opts.Alone, opts.Log); err != nil {
			cancel()
			return err
		}
	}
	h.meet()
	defer h.spokes.Wait()
	defer cancel()
	defer os.Remove(socket.Path(opts.Dir))
	if err := h.recall(ctx); err != nil {
		return err
	}
	if opts.Agents != "" {
		if err := h.takeAgents(ctx); err != nil {
			return err
		}
	}
	if err := h.serve(ctx); err != nil {
		return err
	}
	h.spokes.Go(func() { h.remember(ctx) })
	opts.Log.Info("hub started", "repository", opts.Repository.URL, "dir", opts.Dir)
	if keys != nil {
		opts.Log.Info("age keys read", "recipients", keys.Recipients())
	}
	if opts.Alone != nil {
		if err := h.goOn(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	h.follow(ctx)
	return nil
}

// admit makes the hub's members those of the head of the fleet branch. A cluster
// that is no longer there, whose time is over or whose file is in error is left
// as it is; nothing on it is deleted.
func (h *Hub) admit(pinned *desired.Pinned) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.allow(pinned)
	present := map[string]bool{}
	for _, found := range pinned.Fleet.Members {
		if h.home != nil && found.Name != h.opts.Alone.Name {
			continue
		}
		present[found.Name] = true
		m := h.members[found.Name]
		if m == nil {
			m = &member{}
			h.members[found.Name] = m
		}
		if found.Err != nil {
			m.err = found.Err.Error()
			continue
		}
		m.labels, m.expires, m.least, m.suspended, m.err = found.Labels, time.Time{}, int64(found.Identity), found.Suspend, ""
		if found.Expires != nil {
			m.expires = found.Expires.Time
		}
		if now := h.opts.Now(); m.expires.IsZero() || now.Before(m.expires) {
			m.expired = time.Time{}
		} else if m.expired.IsZero() {
			m.expired = now
		}
		switch {
		case !m.expired.IsZero():
			m.end("expired at " + m.expires.Format(time.RFC3339))
		case pinned.Fleet.Name == "":
			m.err = "the Fleet document cannot be read"
		default:
			h.reach(found.Name, pinned.Fleet.Name, m)
		}
	}
	if pinned.Fleet.Incomplete != nil {
		return // absence says nothing
	}
	for name, m := range h.members {
		if !present[name] {
			m.end("")
			delete(h.members, name)
			if err := h.ledger.Forget(name); err != nil {
				h.opts.Log.Error("forgetting a cluster", "error", err)
			}
			h.opts.Log.Info("cluster left the fleet; its objects stay", "cluster", name)
		}
	}
}

func (m *member) end(why string) {
	if m.stop != nil {
		m.stop()
	}
	m.spoke, m.stop, m.given, m.key, m.unkept, m.leaving, m.err = nil, nil, nil, "", nil, nil, why
}

// reach starts the spoke of a cluster, if there is a way to it, or tells it of
// another way. One that runs keeps its way when there is no better one.
func (h *Hub) reach(name, fleet string, m *member) {
	if h.home != nil {
		h.dwell(fleet, m, nil, protocol.Checks{})
		return
	}
	file := filepath.Join(h.opts.Kubeconfigs, name+".kubeconfig")
	data, err := []byte(nil), error(os.ErrNotExist)
	if h.opts.Kubeconfigs != "" {
		data, err = os.ReadFile(file)
	}
	if errors.Is(err, os.ErrNotExist) && h.agents != nil {
		h.expect(name, m)
		return
	}
	if errors.Is(err, os.ErrNotExist) {
		m.err = fmt.Sprintf("no kubeconfig: %s is missing", file)
		return
	}
	if err != nil {
		m.err = err.Error()
		return
	}
	if _, remote := m.spoke.(*remote); remote {
		m.end("") // it is kept from here from now on
	}
	if m.spoke != nil && m.config == string(data) {
		return
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		m.err = fmt.Sprintf("reading %s: %v", file, err)
		return
	}
	config.QPS = -1
	config.UserAgent = "nave"
	m.config = string(data)
	if m.spoke != nil {
		h.opts.Log.Info("kubeconfig changed", "cluster", name)
		m.spoke.(local).Reach(config)
		return
	}
	h.start(m, local{spoke.New(h.spokeOptions(name, fleet, config))})
}

// spokeOptions are those of a spoke in the hub's own process.
func (h *Hub) spokeOptions(name, fleet string, config *rest.Config) spoke.Options {
	return spoke.Options{
		Cluster: name, Fleet: fleet, Config: config, Health: h.judged.checker, Keys: h.keys, Renderer: h.pipeline.Renderer(),
		Now: h.opts.Now, Pauses: h.pauses[name],
		Listener: spoke.Listener{
			Event: h.record, Changed: h.changed,
			FactsChanged: func(string) { h.Trigger() }, // they may matter to a render
		},
	}
}

// start has a cluster kept, once the one before has ended: one spoke at a time.
func (h *Hub) start(m *member, k interface {
	keeper
	Run(context.Context)
}) {
	ctx, stop := context.WithCancel(h.ctx)
	before, done := m.done, make(chan struct{})
	m.spoke, m.stop, m.done = k, stop, done
	h.spokes.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		k.Run(ctx)
	})
}

// changed wakes who waits for news of a cluster. Once the apps that were to go from
// it are gone, the cluster is given what it should hold without them.
func (h *Hub) changed(cluster string) {
	h.journal.Wake()
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[cluster]
	if m == nil || m.spoke == nil {
		return
	}
	if s, ok := m.spoke.(solitary); ok {
		s.Wake()
	}
	if m.leaving == nil {
		return
	}
	settled := m.spoke.Settled(m.leaving)
	for _, desired := range m.leaving.Apps {
		if _, gone := settled[desired.Name]; desired.Removed && !gone {
			return
		}
	}
	m.leaving = nil
	signal(h.arrived)
}

// record logs an event and keeps it among the last ones.
func (h *Hub) record(e spoke.Event) {
	level := slog.LevelInfo
	if e.Kind == spoke.EventFailed || e.Kind == spoke.EventOffline {
		level = slog.LevelWarn
	}
	h.opts.Log.Log(h.ctx, level, string(e.Kind), "cluster", e.Cluster, "app", e.App, "message", e.Message)
	h.metrics.Count(e)
	h.journal.Add(e)
	past.Write(h.store, e)
	if e.Kind == spoke.EventOnline {
		h.Trigger() // its facts may matter to a render
	}
}
