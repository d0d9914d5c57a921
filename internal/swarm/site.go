package swarm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nave.dev/internal/lab/gitserver"
	"nave.dev/internal/lab/process"
)

// site is the hub's side: a fleet repository on a Git server, and a hub process that
// comes and goes, with its log and its directory.
type site struct {
	nave, dir string
	agents    string // address at which agents dial in
	git       *http.Server
	url       string // of the repository
	hub       *exec.Cmd
	client    *http.Client // of the hub's API
}

// newSite makes a fleet of clusters and apps in a directory, and the authority's key.
func newSite(ctx context.Context, nave, dir string, clusters, apps int) (s *site, err error) {
	made := &site{nave: nave, dir: dir}
	defer func() {
		if err != nil {
			made.close()
		}
	}()
	s = made
	s.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.hubDir(), "hub.sock"))
		},
	}}
	server, err := gitserver.New(ctx, gitserver.Options{Root: filepath.Join(dir, "git")})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for git: %w", err)
	}
	s.git = &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	go s.git.Serve(listener) // until close
	s.url = "http://" + listener.Addr().String() + "/fleet.git"
	if s.agents, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := writeFleet(s.repository(), clusters, apps); err != nil {
		return nil, fmt.Errorf("writing the fleet repository: %w", err)
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"config", "user.name", "swarm"}, {"config", "user.email", "swarm@nave.invalid"},
		{"config", "gc.auto", "0"}, {"remote", "add", "origin", s.url},
	} {
		if _, err := s.run(ctx, "git", args...); err != nil {
			return nil, err
		}
	}
	if _, err = s.run(ctx, nave, "hub", "init", "swarm", "--dir", s.hubDir()); err != nil {
		return nil, err
	}
	return s, os.Rename(filepath.Join(s.hubDir(), "authority"), s.authority()) // which outlives the hub's directory
}

// freeAddress chooses where agents dial in: a hub that is started again is there too.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

func (s *site) repository() string { return filepath.Join(s.dir, "fleet") }
func (s *site) hubDir() string     { return filepath.Join(s.dir, "hub") }
func (s *site) authority() string  { return filepath.Join(s.dir, "authority") }
func (s *site) log() string        { return filepath.Join(s.dir, "hub.log") }

// close ends what runs.
func (s *site) close() {
	s.kill()
	if s.git != nil {
		s.git.Close()
	}
}

func (s *site) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.repository()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// push commits what is in the repository, and tells the hub if one runs. It returns the
// commit and when it could be fetched.
func (s *site) push(ctx context.Context, message string) (commit string, pushed time.Time, err error) {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", message}, {"push", "-q", "origin", "main"}} {
		if _, err := s.run(ctx, "git", args...); err != nil {
			return "", time.Time{}, err
		}
	}
	pushed = time.Now()
	if s.hub != nil {
		if err := s.call(ctx, http.MethodPost, "/api/v1/refresh", nil, nil); err != nil {
			return "", time.Time{}, err
		}
	}
	commit, err = s.run(ctx, "git", "rev-parse", "HEAD")
	return commit, pushed, err
}

// start starts a hub in its directory. It does not wait for it.
func (s *site) start() error {
	log, err := os.OpenFile(s.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.nave, "hub", "--repo", s.url, "--dir", s.hubDir(), "--authority", s.authority(), "--agents", s.agents)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the hub: %w", err)
	}
	s.hub = cmd
	return nil
}

// kill ends the hub without a warning.
func (s *site) kill() {
	if s.hub == nil {
		return
	}
	s.hub.Process.Kill() // an error is that it has ended
	s.hub.Wait()
	s.hub = nil
	s.client.CloseIdleConnections()
}

// forget removes all that the hub knows, but for the authority's key.
func (s *site) forget() error { return os.RemoveAll(s.hubDir()) }

// pid is that of the hub, 0 for none.
func (s *site) pid() int {
	if s.hub == nil {
		return 0
	}
	return s.hub.Process.Pid
}

// usage is what the hub's process has of the machine; its workers are apart.
func (s *site) usage() (process.Usage, error) {
	if s.hub == nil {
		return process.Usage{}, errors.New("no hub runs")
	}
	usage, err := process.Record{PID: s.hub.Process.Pid}.Usage()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the hub has ended, or this is no Linux; its log is %s: %w", s.log(), err)
	}
	return usage, err
}

// call asks the hub's API.
func (s *site) call(ctx context.Context, method, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://hub"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the hub: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // only for words
		return fmt.Errorf("asking the hub for %s: %s: %s", path, response.Status, text)
	}
	if into == nil {
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// page is what the hub says of some clusters, as far as the swarm looks at it.
type page struct {
	Revision struct{ Commit, Error string }
	Next     string
	Clusters []struct {
		Cluster, Sync string
		Online        bool
		AppCount      int
	}
}

// known returns how many clusters the hub knows to be Synced at a commit, with all
// their apps.
func (s *site) known(ctx context.Context, commit string, apps int) (clusters int, err error) {
	after := ""
	for {
		var found page
		if err := s.call(ctx, http.MethodGet, "/api/v1/fleet?apps=none&after="+after, nil, &found); err != nil {
			return 0, err
		}
		if found.Revision.Commit != commit {
			return 0, nil
		}
		for _, c := range found.Clusters {
			if c.Online && c.Sync == "Synced" && c.AppCount == apps {
				clusters++
			}
		}
		if after = found.Next; after == "" {
			return clusters, nil
		}
	}
}

// tally counts messages and their bytes.
type tally struct{ messages, bytes atomic.Int64 }

func (t *tally) add(bytes int) {
	t.messages.Add(1)
	t.bytes.Add(int64(bytes))
}

// take returns what was counted since it was called last.
func (t *tally) take() (messages, bytes int64) { return t.messages.Swap(0), t.bytes.Swap(0) }

// counted is a connection whose bytes, both ways, are counted.
type counted struct {
	net.Conn
	wire *tally
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.bytes.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wire.bytes.Add(int64(n))
	return n, err
}

// each does something for numbers below n, some at a time, and returns the first error.
func each(n, atOnce int, do func(int) error) error {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		first error
		next  atomic.Int64
	)
	for range min(n, atOnce) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := do(i)
				mu.Lock()
				if first == nil {
					first = err
				}
				failed := first != nil
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	group.Wait()
	return first
}
