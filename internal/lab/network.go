package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nave.dev/internal/lab/chartserver"
	"nave.dev/internal/lab/gitserver"
	"nave.dev/internal/lab/gitserver/webhook"
	"nave.dev/internal/lab/process"
	"nave.dev/internal/lab/proxy"
)

// NetworkCommand is the nave-lab command that runs ServeNetwork.
const NetworkCommand = "network"

// networkProcess is the name of the process that stands between the clusters
// and everyone else.
const networkProcess = "network"

// gitName is the directory of the Git server's repositories.
const gitName = "git"

func (l *Lab) networkLog() string { return filepath.Join(l.dir, "network.log") }
func (l *Lab) socket() string     { return filepath.Join(l.dir, "network.sock") }

// startNetwork starts the network process, or makes the running one follow the
// state.
func (l *Lab) startNetwork(ctx context.Context) error {
	record, err := l.table.Start(process.Spec{
		Name: networkProcess,
		Path: filepath.Join(l.bin, "nave-lab"),
		Args: []string{NetworkCommand, "--dir", l.dir},
		Log:  l.networkLog(),
	})
	if err != nil {
		return err
	}
	l.progress(Progress{Name: networkProcess, WaitsFor: "its socket"})
	defer l.progress(Progress{Name: networkProcess})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := l.reloadNetwork(ctx)
		if err == nil {
			return nil
		}
		if !record.Running() {
			tail, _ := process.Tail(record.Log, 5)
			return fmt.Errorf("the lab's network process ended; last lines of %s:\n%s", record.Log, tail)
		}
		var refused *refusedError
		if errors.As(err, &refused) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// reloadNetwork makes the network process follow the saved state, and returns
// when it does.
func (l *Lab) reloadNetwork(ctx context.Context) error {
	return l.askNetwork(ctx, http.MethodPost, "/reload", nil)
}

// Deliveries returns the last webhook deliveries of the Git server, oldest first.
func (l *Lab) Deliveries(ctx context.Context) ([]webhook.Delivery, error) {
	var deliveries []webhook.Delivery
	return deliveries, l.askNetwork(ctx, http.MethodGet, "/deliveries", &deliveries)
}

// SetHooks has the Git server post every push to these addresses.
func (l *Lab) SetHooks(ctx context.Context, change func([]webhook.Hook) ([]webhook.Hook, error)) error {
	return l.change(ctx, func(s *state) error {
		if s.Git.Port == 0 {
			return l.noLab()
		}
		hooks, err := change(s.Git.Hooks)
		if err != nil {
			return err
		}
		before := s.Git.Hooks
		s.Git.Hooks = hooks
		if err := l.save(s); err != nil {
			return err
		}
		if err := l.reloadNetwork(ctx); err != nil {
			s.Git.Hooks = before
			return err
		}
		return nil
	})
}

// Hooks returns where the Git server posts pushes to.
func (l *Lab) Hooks() ([]webhook.Hook, error) {
	s, err := l.load()
	if err != nil {
		return nil, err
	}
	return s.Git.Hooks, nil
}

// refusedError is the network process's answer that it cannot follow the state.
type refusedError struct{ message string }

// Error returns what the network process said.
func (e *refusedError) Error() string { return e.message }

func (l *Lab) askNetwork(ctx context.Context, method, path string, into any) error {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", l.socket())
		},
		DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("reaching the lab's network process: %w\nhint: nave-lab up starts it again", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return &refusedError{strings.TrimSpace(string(body))}
	}
	if into != nil {
		return json.Unmarshal(body, into)
	}
	return nil
}

// network is the process between the clusters and everyone else: a proxy for each
// API server and each agent, and the Git server, with the Helm repository beside it.
// It also does the lab's housekeeping.
type network struct {
	lab    *Lab
	git    *gitserver.Server
	charts *chartserver.Server
	ctx    context.Context // of the whole process: proxies end with it

	mu      sync.Mutex
	proxies map[front]*running
	serving sync.WaitGroup
}

// front is a way between a cluster and others: a port of the network process, and
// the one that is behind it.
type front struct{ port, target int }

type running struct {
	proxy *proxy.Proxy
	stop  func() // returns when the port is free again
}

// Housekeeping: how often logs and expiry are looked at, and the size in bytes
// past which a log starts again and only its last part is kept. Nothing
// happens to a file or cluster in between.
const (
	housekeeping = 5 * time.Second
	logLimit     = 16 << 20
)

// ServeNetwork is the lab's network process. It returns when ctx is done.
func (l *Lab) ServeNetwork(ctx context.Context, log *slog.Logger) error {
	s, err := l.load()
	if err != nil {
		return err
	}
	if s.Git.Port == 0 {
		return l.noLab()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	charts := &chartserver.Server{Root: filepath.Join(l.dir, chartsName)}
	git, err := gitserver.New(ctx, gitserver.Options{
		Root:     filepath.Join(l.dir, gitName),
		Password: s.Git.Password,
		URL:      s.gitURL(),
		Hooks:    s.Git.Hooks,
		Beside:   map[string]http.Handler{chartsPath: charts},
		Listener: gitserver.Listener{
			Pushed: func(p gitserver.Push) { log.Info("pushed", "repository", p.Repository, "refs", len(p.Moves)) },
			Failed: func(f gitserver.Failure) {
				log.Error("serving Git", "repository", f.Repository, "error", f.Err)
			},
		},
	})
	if err != nil {
		return err
	}
	n := &network{lab: l, git: git, charts: charts, ctx: ctx, proxies: map[front]*running{}}
	defer n.serving.Wait()
	defer cancel()
	if err := n.follow(s); err != nil { // the other clusters are served
		log.Error("following the lab's state", "error", err)
	}
	gitListener, err := net.Listen("tcp", loopback(s.Git.Port))
	if err != nil {
		return fmt.Errorf("listening for Git: %w", err)
	}
	os.Remove(l.socket()) // left by a process that was killed; the table says none runs
	socket, err := net.Listen("unix", l.socket())
	if err != nil {
		return err
	}
	if err := os.Chmod(l.socket(), 0o600); err != nil {
		return err
	}
	n.serve(gitListener, git)
	n.serve(socket, n.handler())
	n.serving.Go(func() { git.Deliver(ctx) })
	log.Info("serving", "git", s.gitURL(), "clusters", len(s.Clusters))

	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			removed, err := n.keepHouse(time.Now())
			for _, name := range removed {
				log.Info("removed, its time was over", "cluster", name)
			}
			if err != nil {
				log.Error("housekeeping", "error", err)
			}
		}
	}
}

// serve answers HTTP on a listener until the process ends.
func (n *network) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(n.ctx, func() { server.Close() })
	n.serving.Go(func() {
		defer stop()
		server.Serve(listener)
	})
}

func (n *network) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		s, err := n.lab.load()
		if err == nil {
			err = n.follow(s)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /deliveries", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(n.git.Deliveries())
	})
	return mux
}

// follow makes the proxies, hooks and the Helm repository what the state says.
func (n *network) follow(s *state) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.git.SetHooks(s.Git.Hooks); err != nil {
		return err
	}
	n.charts.SetAway(s.Git.ChartsAway)
	fronts := s.fronts()
	for f, r := range n.proxies {
		if fronts[f] == nil {
			r.stop()
			delete(n.proxies, f)
		}
	}
	var errs error
	for f, m := range fronts {
		if n.proxies[f] == nil {
			listener, err := net.Listen("tcp", loopback(f.port))
			if err != nil {
				errs = errors.Join(errs, fmt.Errorf("listening for cluster %s: %w", m.Spec.Name, err))
				continue
			}
			n.proxies[f] = n.front(f, listener)
		}
		n.proxies[f].proxy.SetLink(m.Link)
	}
	return errs
}

// fronts returns the ways between each cluster and others: to its API server, and
// from its agent to the hub.
func (s *state) fronts() map[front]*member {
	fronts := map[front]*member{}
	for _, m := range s.Clusters {
		fronts[front{m.ServerPort, m.Ports.APIServer}] = m
		if m.UplinkPort != 0 {
			fronts[front{m.UplinkPort, s.AgentsPort}] = m
		}
	}
	return fronts
}

// front serves a way through the network on the listener.
func (n *network) front(f front, listener net.Listener) *running {
	ctx, cancel := context.WithCancel(n.ctx)
	r := &running{proxy: proxy.New(loopback(f.target))}
	done := make(chan struct{})
	r.stop = func() { cancel(); <-done }
	n.serving.Go(func() {
		defer close(done)
		r.proxy.Serve(ctx, listener)
	})
	return r
}

// keepHouse bounds the logs and removes clusters whose time is over, whose
// names it returns.
func (n *network) keepHouse(now time.Time) (removed []string, err error) {
	dir := os.DirFS(n.lab.dir)
	for _, pattern := range []string{"*.log", sharedEtcd + "/*.log", "clusters/*/*.log", "clusters/*/" + sharedEtcd + "/*.log"} {
		logs, _ := fs.Glob(dir, pattern) // fails for a bad pattern only
		for _, log := range logs {
			err = errors.Join(err, process.Trim(filepath.Join(n.lab.dir, log), logLimit))
		}
	}
	removed, expireErr := n.lab.expire(n.ctx, now)
	return removed, errors.Join(err, expireErr)
}

// gitURL is where repositories are served.
func (s *state) gitURL() string { return "http://" + loopback(s.Git.Port) }
