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
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/app"
	"nave.dev/internal/desired"
	"nave.dev/internal/spoke"
)

// Options configure a Hub.
type Options struct {
	// Dir holds mirrors, rendered objects and the socket by which the command
	// line reaches the hub. Losing it costs time alone.
	Dir        string
	Repository desired.Repository
	// CredentialsDir is where the files that credentials name are.
	CredentialsDir string
	// Kubeconfigs is a directory with a file NAME.kubeconfig for each cluster.
	Kubeconfigs string
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
	health   spoke.Checker // belongs to the goroutine of follow, as checks does
	checks   string        // digest of the fleet's own checks that were tried last
	trigger  chan struct{} // buffered by one: look at the remotes now
	metrics  *metrics
	journal  journal

	mu       sync.Mutex
	ctx      context.Context // of Run: spokes end with it
	members  map[string]*member
	pinned   *desired.Pinned
	sources  []desired.SourceState
	revision Revision
	spokes   sync.WaitGroup
}

// member is one cluster of the fleet as the hub sees it.
type member struct {
	labels  map[string]string
	expires time.Time
	err     string // why no spoke runs, if none does
	spoke   *spoke.Spoke
	stop    context.CancelFunc
	done    <-chan struct{} // closed when the last spoke has ended
	config  string          // content of the kubeconfig in use
	digest  string          // of the last assignment handed over
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
	free, err := own(opts.Dir)
	if err != nil {
		return err
	}
	defer free()
	pipeline, err := desired.Open(ctx, desired.Options{
		Dir: opts.Dir, Repository: opts.Repository, CredentialsDir: opts.CredentialsDir,
		WorkerCommand: opts.WorkerCommand, Now: opts.Now,
	})
	if err != nil {
		return err
	}
	defer pipeline.Close()
	ctx, cancel := context.WithCancel(ctx)
	h := &Hub{
		opts: opts, pipeline: pipeline, health: checker, trigger: make(chan struct{}, 1),
		ctx: ctx, members: map[string]*member{},
	}
	h.metrics = newMetrics(h)
	defer h.spokes.Wait()
	defer cancel()
	defer os.Remove(Socket(opts.Dir))
	if err := h.serve(ctx); err != nil {
		return err
	}
	opts.Log.Info("hub started", "repository", opts.Repository.URL, "dir", opts.Dir)
	h.follow(ctx)
	return nil
}

// follow looks at Git, now and whenever it is time, until ctx is done.
func (h *Hub) follow(ctx context.Context) {
	for {
		h.look(ctx)
		timer := time.NewTimer(time.Until(h.next()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-h.trigger:
			timer.Stop()
		}
	}
}

// next returns when to look at the remotes again.
func (h *Hub) next() time.Time {
	h.mu.Lock()
	interval := h.opts.Interval
	if h.pinned != nil && h.pinned.Fleet.Interval > 0 && h.opts.Interval == time.Minute {
		interval = h.pinned.Fleet.Interval
	}
	h.mu.Unlock()
	return h.pipeline.NextFetch(interval)
}

// Trigger has the hub look at Git at once.
func (h *Hub) Trigger() {
	select {
	case h.trigger <- struct{}{}:
	default:
	}
}

// look brings the hub to the newest state of Git.
func (h *Hub) look(ctx context.Context) {
	h.mu.Lock()
	before := h.pinned
	h.mu.Unlock()
	states := h.pipeline.Fetch(ctx, before)
	pinned, err := h.pipeline.Pin(ctx)
	h.mu.Lock()
	h.sources = states
	h.mu.Unlock()
	if err != nil {
		// What was accepted before stays in force, and clusters that join, expire
		// or get other credentials do not wait for Git.
		if pinned = before; pinned == nil {
			pinned, _ = h.pipeline.PinAccepted(ctx) // without one there is nothing to keep
		}
	}
	if pinned != nil {
		err = errors.Join(err, h.compile(ctx, pinned))
	}
	if err != nil && ctx.Err() == nil {
		h.opts.Log.Error("reading the fleet repository", "error", err)
		h.mu.Lock()
		h.revision.Error = err.Error()
		h.mu.Unlock()
	}
}

// compile hands every cluster what it should hold of a snapshot.
func (h *Hub) compile(ctx context.Context, pinned *desired.Pinned) error {
	h.judge(pinned.Checks)
	h.admit(pinned)
	h.mu.Lock()
	var clusters []string
	spokes := map[string]*spoke.Spoke{}
	for name, m := range h.members {
		if m.spoke != nil {
			clusters = append(clusters, name)
			spokes[name] = m.spoke
		}
	}
	h.mu.Unlock()
	slices.Sort(clusters)
	facts := map[string]app.Facts{}
	for name, s := range spokes {
		facts[name] = s.Facts()
	}
	compiled, err := h.pipeline.Compile(ctx, pinned, clusters, func(name string) app.Facts { return facts[name] })
	if err != nil {
		return err
	}
	problems := problemsOf(pinned, compiled)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned = pinned
	h.revision = Revision{
		Commit: pinned.Snapshot.Fleet, Subject: pinned.Commit.Subject, Snapshot: pinned.ID(),
		Compiled: h.opts.Now(), Problems: problems,
	}
	for name, c := range compiled {
		m := h.members[name]
		if m == nil || m.spoke == nil {
			continue
		}
		if c.FactsUsed && len(facts[name].APIVersions) == 0 {
			continue // a guess; once the cluster is reached, this is done again
		}
		state := stateDigest(c.Assignment)
		if m.digest == state {
			continue
		}
		m.digest = state
		m.spoke.Assign(&spoke.Assigned{Assignment: c.Assignment, Sources: describeSources(c.Sources)})
	}
	return nil
}

// stateDigest names an assignment with its errors, which are news as well.
func stateDigest(a *app.Assignment) string {
	text := a.Digest()
	if a.Incomplete != nil {
		text += "|" + a.Incomplete.Error()
	}
	for _, desired := range a.Apps {
		if desired.Err != nil {
			text += "|" + desired.Name + ":" + desired.Err.Error()
		}
	}
	return text
}

func describeSources(sources map[string]app.Source) map[string]string {
	described := map[string]string{}
	for name, source := range sources {
		text := source.Path
		if source.Repository != "" {
			text = source.Repository + ":" + source.Path
		}
		described[name] = text
	}
	return described
}

func problemsOf(pinned *desired.Pinned, compiled map[string]*desired.Compiled) []string {
	seen := map[string]bool{}
	for _, problem := range pinned.Problems {
		seen[problem.String()] = true
	}
	for _, c := range compiled {
		for _, desired := range c.Apps {
			if desired.Err != nil {
				seen[desired.Name+": "+desired.Err.Error()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// admit makes the hub's members those of the head of the fleet branch. A cluster
// that is no longer there, whose time is over or whose file is in error is left
// as it is; nothing on it is deleted.
func (h *Hub) admit(pinned *desired.Pinned) {
	h.mu.Lock()
	defer h.mu.Unlock()
	present := map[string]bool{}
	for _, found := range pinned.Fleet.Members {
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
		m.labels, m.expires, m.err = found.Labels, time.Time{}, ""
		if found.Expires != nil {
			m.expires = found.Expires.Time
		}
		expired := !m.expires.IsZero() && h.opts.Now().After(m.expires)
		switch {
		case expired:
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
			h.opts.Log.Info("cluster left the fleet; its objects stay", "cluster", name)
		}
	}
}

func (m *member) end(why string) {
	if m.stop != nil {
		m.stop()
	}
	m.spoke, m.stop, m.digest, m.err = nil, nil, "", why
}

// reach starts the spoke of a cluster, if there is a way to it, or tells it of
// another way. One that runs keeps its way when there is no better one.
func (h *Hub) reach(name, fleet string, m *member) {
	file := filepath.Join(h.opts.Kubeconfigs, name+".kubeconfig")
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		m.err = fmt.Sprintf("no kubeconfig: %s is missing", file)
		return
	}
	if err != nil {
		m.err = err.Error()
		return
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
		m.spoke.Reach(config)
		return
	}
	s := spoke.New(spoke.Options{
		Cluster: name, Fleet: fleet, Config: config, Health: h.health, Now: h.opts.Now,
		Listener: spoke.Listener{
			Event: h.record, Changed: h.journal.wake,
			FactsChanged: func(string) { h.Trigger() }, // they may matter to a render
		},
	})
	ctx, stop := context.WithCancel(h.ctx)
	before, done := m.done, make(chan struct{})
	m.spoke, m.stop, m.done = s, stop, done
	h.spokes.Go(func() {
		defer close(done)
		if before != nil {
			<-before // one spoke of a cluster at a time
		}
		s.Run(ctx)
	})
}

// record logs an event and keeps it among the last ones.
func (h *Hub) record(e spoke.Event) {
	level := slog.LevelInfo
	if e.Kind == spoke.EventFailed || e.Kind == spoke.EventOffline {
		level = slog.LevelWarn
	}
	h.opts.Log.Log(h.ctx, level, string(e.Kind), "cluster", e.Cluster, "app", e.App, "message", e.Message)
	h.metrics.count(e)
	h.journal.add(e)
	if e.Kind == spoke.EventOnline {
		h.Trigger() // its facts may matter to a render
	}
}
