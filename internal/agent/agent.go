// Package agent is the process that keeps the cluster that it runs on, as its hub
// says. It dials the hub, takes assignments, fetches what it lacks of them, keeps
// all of that on the cluster and hands it to a spoke; it reports what the spoke
// knows, and answers the hub as far as its own configuration allows. While there is
// no hub it goes on with what the cluster keeps. The package composes; what is done
// to the cluster is decided in spoke.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/agent/fetch"
	"nave.dev/internal/agent/leaving"
	"nave.dev/internal/app"
	"nave.dev/internal/kept"
	"nave.dev/internal/live"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/spoke/releases"
	"nave.dev/internal/tunnel"
)

// Options configure an agent.
type Options struct {
	Cluster string // its name in the fleet repository
	Hub     string // HOST:PORT
	// Token returns the bootstrap token, or "" if there is none.
	Token func() (string, error)
	Roots []byte // PEM; trusted until the hub has given others
	// Config reaches the cluster.
	Config *rest.Config
	// WorkerCommand starts a process that runs the templates of releases.
	WorkerCommand []string
	// AgeKeyFile holds the age identities that decrypt Secrets; empty is none.
	AgeKeyFile string
	// Refuse are the requests of the hub that are not answered, of Requests.
	Refuse []string
	// Metrics is the Service of a Prometheus in the cluster that the hub may query, as
	// live.Options have it; empty is none.
	Metrics string
	// Listen is the address of /healthz, /readyz and /metrics; empty serves none.
	Listen string
	// Profiles serves Go's profiles there too.
	Profiles bool
	Log      *slog.Logger
	// Product is the version of the program.
	Product string
	Now     func() time.Time

	limits tunnel.Limits // of the tunnel
}

// Requests are what a hub may ask of an agent beside giving it assignments.
var Requests = append([]string{protocol.Sync, protocol.RerunHooks, protocol.Confirm, protocol.Pause, protocol.Renew, "diff", "orphans"}, live.Questions...)

// agent is one that runs.
type agent struct {
	opts   Options
	client kubernetes.Interface
	keys   spoke.Keys
	render releases.Renderer
	spokes sync.WaitGroup
	live   *live.Cluster
	tells  *metrics
	news   chan struct{}   // buffered by one: there is something to report
	mark   json.RawMessage // of the hub's database, as it was told last; of the goroutine that reports

	giving  sync.Mutex // held by who takes an assignment, and for what follows
	store   *kept.Store
	fetcher fetch.Fetcher
	checks  string // digest of the fleet's own health checks in use; changed with mu held

	mu       sync.Mutex
	fleet    string
	spoke    *spoke.Spoke // nil until the fleet is known
	assigned *spoke.Assigned
	key      string
	bundles  map[string]*app.Bundle // of what is assigned
	names    map[string]bool        // of all apps that were assigned by this process
	conn     *tunnel.Conn           // nil while there is no hub
	outbox   outbox
	resumed  bool      // the cluster has said what it keeps
	until    time.Time // the end of the certificate; zero if there is none
}

// Run keeps the cluster until ctx is done.
func Run(ctx context.Context, opts Options) error {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	for _, name := range opts.Refuse {
		if !slices.Contains(Requests, name) {
			return fmt.Errorf("no request %q\nhint: %v", name, Requests)
		}
	}
	client, err := kubernetes.NewForConfig(opts.Config)
	if err != nil {
		return err
	}
	a := &agent{
		fetcher: fetch.Fetcher{
			URL: tunnel.HubURL + protocol.BundlePath, Most: protocol.MaxBundle,
			Check: func(data []byte, digest string) error {
				_, err := protocol.DecodeBundle(data, digest)
				return err
			},
		},
		opts: opts, client: client, store: kept.New(client), news: make(chan struct{}, 1), bundles: map[string]*app.Bundle{}, names: map[string]bool{},
	}
	a.tells = newMetrics(a)
	if a.live, err = live.New(live.Options{Config: opts.Config, Metrics: opts.Metrics, Assigned: a.apps}); err != nil {
		return err
	}
	if opts.AgeKeyFile != "" {
		if a.keys, err = spoke.OpenKeys(opts.AgeKeyFile); err != nil {
			return err
		}
	}
	renderer := releases.NewRenderer(opts.WorkerCommand)
	defer renderer.Close()
	a.render = renderer
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer a.spokes.Wait()
	defer cancel()
	if err := a.listen(ctx); err != nil {
		return err
	}
	if err := a.resume(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	a.resumed = true
	a.mu.Unlock()
	opts.Log.Info("agent started", "cluster", opts.Cluster, "hub", opts.Hub)
	err = tunnel.Keep(ctx, tunnel.Options{
		Hub: opts.Hub, Keeper: identity{client, a.certified}, Token: opts.Token, Roots: opts.Roots, Handler: a.handler(), Product: opts.Product, Now: opts.Now, Limits: opts.limits,
		Lost: func(why error, wait time.Duration) {
			opts.Log.Warn("no hub; the cluster is kept as it was given last", "error", why, "next", wait.Round(time.Second))
		},
		Certified: func(until time.Time, err error) {
			if err != nil {
				opts.Log.Error("no certificate", "error", err)
				return
			}
			a.certified(until)
			opts.Log.Info("certified", "until", until)
		},
		Log: opts.Log.Handler(),
	}, func(connected context.Context, conn *tunnel.Conn) error {
		if id := conn.Identity(); id.Cluster != opts.Cluster {
			return fmt.Errorf("the certificate is that of the cluster %q, and the agent keeps %q", id.Cluster, opts.Cluster)
		} else if err := a.begin(ctx, id.Fleet); err != nil {
			return err
		}
		return a.report(connected, conn)
	})
	if dismissed := (*tunnel.DismissedError)(nil); errors.As(err, &dismissed) {
		opts.Log.Warn("the fleet has dismissed this agent, which leaves; what was applied stays", "reason", dismissed.Reason)
		cancel()
		a.spokes.Wait() // nothing is written any more
		err = a.leave(outer)
	}
	if outer.Err() != nil {
		return nil
	}
	return err
}

// leave takes the agent off its cluster. What could not be reached is tried again;
// what it may not remove is told.
func (a *agent) leave(ctx context.Context) error {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		err := leaving.Leave(ctx, a.client)
		if rights := (*leaving.RightsError)(nil); err == nil || errors.As(err, &rights) || errors.Is(err, leaving.ErrKept) {
			if err != nil {
				a.opts.Log.Warn("something stays on the cluster", "reason", err)
			}
			return nil
		}
		a.opts.Log.Error("leaving", "error", err, "next", retry)
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// Waits until the cluster is asked again what it keeps.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// resume goes on with what the cluster keeps, once the cluster answers.
func (a *agent) resume(ctx context.Context) error {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		message, bundles, ok, err := a.load(ctx)
		if err == nil {
			if ok {
				a.opts.Log.Info("going on with what the cluster keeps", "number", message.Number, "apps", len(message.Apps))
				if err := a.take(ctx, message, bundles); err != nil { // the hub gives it again
					a.opts.Log.Error("what the cluster keeps is of no use", "error", err)
				}
			}
			return nil
		}
		a.opts.Log.Error("the cluster does not say what it keeps", "error", err, "next", retry)
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// load reads what the cluster keeps. What is there and cannot be read counts as
// nothing: the hub gives it again.
func (a *agent) load(ctx context.Context) (protocol.Assignment, map[string]*app.Bundle, bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no answer within 1m"))
	defer cancel()
	// It is there where the agent was installed; where it runs by hand it may not be.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: spoke.Namespace}}
	if _, err := a.client.CoreV1().Namespaces().Get(ctx, spoke.Namespace, metav1.GetOptions{}); err != nil {
		a.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	}
	a.giving.Lock()
	defer a.giving.Unlock()
	message, bundles, ok, err := a.store.Load(ctx)
	damaged := (*kept.DamageError)(nil)
	if errors.As(err, &damaged) {
		a.opts.Log.Error("what the cluster keeps is of no use", "error", err)
		err = nil
	}
	if ok && message.Cluster != a.opts.Cluster {
		return message, nil, false, fmt.Errorf("the cluster keeps what was given to the cluster %q, and the agent is that of %q\nhint: a cluster that is to have another name: delete the secrets labelled nave.dev/kept in %s", message.Cluster, a.opts.Cluster, spoke.Namespace)
	}
	return message, bundles, ok, err
}

// begin starts the spoke of a fleet, unless it runs.
func (a *agent) begin(ctx context.Context, fleet string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spoke != nil {
		if a.fleet != fleet {
			return fmt.Errorf("the cluster is one of the fleet %q, and the hub keeps %q", a.fleet, fleet)
		}
		return nil
	}
	checker, err := spoke.NewChecker(nil, "")
	if err != nil {
		return err
	}
	config := rest.CopyConfig(a.opts.Config)
	config.QPS, config.UserAgent = -1, "nave"
	a.fleet = fleet
	a.spoke = spoke.New(spoke.Options{
		Cluster: a.opts.Cluster, Fleet: fleet, Config: config, Health: checker, Keys: a.keys, Renderer: a.render, Now: a.opts.Now,
		Listener: spoke.Listener{
			Event: a.record, Changed: func(string) { signal(a.news) }, FactsChanged: func(string) { signal(a.news) },
		},
	})
	a.spokes.Go(func() { a.spoke.Run(ctx) })
	return nil
}

// apps are those of the assignment.
func (a *agent) apps() []app.Desired {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.assigned == nil {
		return nil
	}
	return a.assigned.Apps
}

// certified notes how long the certificate counts.
func (a *agent) certified(until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = until
}

// record logs an event and keeps it until the hub has it.
func (a *agent) record(e spoke.Event) {
	log := a.opts.Log.Info
	if e.Kind == spoke.EventFailed || e.Kind == spoke.EventOffline {
		log = a.opts.Log.Warn
	}
	log(string(e.Kind), "app", e.App, "message", e.Message)
	a.tells.count(e)
	a.mu.Lock()
	a.outbox.add(e)
	a.mu.Unlock()
	signal(a.news)
}

// signal has whoever reads the channel do so once more.
func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}
