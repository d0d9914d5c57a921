package lab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"nave.dev/examples"
	"nave.dev/internal/lab/gitserver/webhook"
	"nave.dev/internal/lab/process"
)

// The sample's fleet repository, its name, and its key in examples; and the process
// that keeps the fleet.
const (
	sampleFleet = "ecommerce/fleet"
	sampleName  = "ecommerce"
	// sampleKey is the age key of the sample's Secrets, which are made up.
	sampleKey  = "ecommerce/demo-only.agekey"
	hubProcess = "hub"
)

// RunCommand is the nave-lab command that waits at the gate and then becomes the
// program it is given, so that a program which knows nothing of the lab can be
// one of its processes.
const RunCommand = "run"

// SampleDir is the working copy of the sample's fleet repository.
func (l *Lab) SampleDir() string { return filepath.Join(l.dir, "fleet") }

// HubDir is where the lab's hub works.
func (l *Lab) HubDir() string { return filepath.Join(l.dir, "nave") }

// HubLog is where the lab's hub writes its log.
func (l *Lab) HubLog() string { return filepath.Join(l.dir, "hub.log") }

// PushSample writes the sample's fleet repository to SampleDir, with those of its
// clusters that the lab has, and pushes it to the lab's Git server.
func (l *Lab) PushSample(ctx context.Context) error {
	names, err := l.Names()
	if err != nil {
		return err
	}
	present := map[string]bool{}
	for _, name := range names {
		present[name] = true
	}
	err = fs.WalkDir(examples.Files, sampleFleet, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel := strings.TrimPrefix(file, sampleFleet+"/")
		if path.Dir(rel) == "clusters" && !present[strings.TrimSuffix(path.Base(rel), ".yaml")] {
			return nil
		}
		data, err := examples.Files.ReadFile(file)
		if err != nil {
			return err
		}
		target := filepath.Join(l.SampleDir(), filepath.FromSlash(rel))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		return fmt.Errorf("writing the sample fleet: %w", err)
	}
	url, err := l.GitURL()
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"},
		{"config", "user.name", "Nave lab"},
		{"config", "user.email", "lab@nave.invalid"},
		{"add", "-A"},
		{"commit", "-q", "-m", "The sample fleet"},
		{"remote", "add", "origin", url + "/fleet.git"},
		{"push", "-q", "-u", "origin", "main"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = l.SampleDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// HubOptions configure the lab's hub.
type HubOptions struct {
	// Kubeconfigs is the directory by which it reaches the clusters; that of the
	// lab unless set.
	Kubeconfigs string
	// Agents has the clusters be kept by agents, which StartAgents starts, in place of
	// the hub itself by kubeconfigs.
	Agents bool
}

// StartHub starts a hub that keeps the lab's clusters as the fleet repository on
// the lab's Git server says, told of every push by a webhook, and that has the key
// of the sample's Secrets. It ends with Down.
func (l *Lab) StartHub(ctx context.Context, opts HubOptions) error {
	if opts.Kubeconfigs == "" {
		opts.Kubeconfigs = l.Kubeconfigs()
	}
	url, err := l.GitURL()
	if err != nil {
		return err
	}
	var address, forAgents string
	err = l.change(ctx, func(s *state) error {
		var err error
		if !l.running(hubProcess) {
			ports := []*int{&s.HubPort}
			if opts.Agents {
				ports = append(ports, &s.AgentsPort)
			}
			err = s.replaceTaken(ports)
		}
		address, forAgents = loopback(s.HubPort), loopback(s.AgentsPort)
		return err
	})
	if err != nil {
		return err
	}
	secret := filepath.Join(l.dir, "webhook-secret")
	key := rand.Text()
	if err := os.WriteFile(secret, []byte(key), 0o600); err != nil {
		return err
	}
	sample, err := examples.Files.ReadFile(sampleKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.ageKeys(), sample, 0o600); err != nil {
		return err
	}
	reach := []string{"--kubeconfigs", opts.Kubeconfigs}
	if opts.Agents {
		if _, err := os.Stat(filepath.Join(l.HubDir(), "authority")); errors.Is(err, fs.ErrNotExist) {
			_, err = l.nave(ctx, "hub", "init", sampleName)
			if err != nil {
				return err
			}
		}
		reach = []string{"--agents", forAgents}
	}
	_, err = l.table.Start(process.Spec{
		Name: hubProcess,
		Path: filepath.Join(l.bin, "nave-lab"),
		Args: append([]string{
			RunCommand, filepath.Join(l.bin, "nave"), "hub", "--dir", l.HubDir(), "--repo", url + "/fleet.git",
			"--listen", address, "--webhook-secret-file", secret, "--age-key-file", l.ageKeys(), "--interval", "30s",
		}, reach...),
		Log: l.HubLog(),
	})
	if err != nil {
		return err
	}
	return l.SetHooks(ctx, func([]webhook.Hook) ([]webhook.Hook, error) {
		return []webhook.Hook{{URL: "http://" + address + "/webhook", Secret: key}}, nil
	})
}

// RestartHub starts a hub in the place of the one that was started last, as that
// was: with agents if it had them. It returns when the hub answers. One that runs
// goes on.
func (l *Lab) RestartHub(ctx context.Context) error {
	s, err := l.load()
	if err != nil {
		return err
	}
	if s.HubPort == 0 {
		return l.noHub()
	}
	if err := l.StartHub(ctx, HubOptions{Agents: s.AgentsPort != 0}); err != nil {
		return err
	}
	return l.awaitHub(ctx)
}

// StopHub ends the lab's hub: by asking it, with a time to end in, or with a
// grace of 0 by killing it. StartHub starts another one in its place, at the same
// address.
func (l *Lab) StopHub(ctx context.Context, grace time.Duration) error {
	return l.table.Stop(ctx, hubProcess, grace)
}

// HubPID returns the process id of the lab's hub.
func (l *Lab) HubPID() (int, error) {
	record, err := l.table.Get(hubProcess)
	if err == nil && !record.Running() {
		err = errors.New("it does not run")
	}
	if err != nil {
		return 0, fmt.Errorf("looking for the lab's hub: %w", err)
	}
	return record.PID, nil
}

// HubURL returns where the lab's hub serves its metrics.
func (l *Lab) HubURL() (string, error) {
	s, err := l.load()
	if err == nil && s.HubPort == 0 {
		err = l.noHub()
	}
	if err != nil {
		return "", err
	}
	return "http://" + loopback(s.HubPort), nil
}

func (l *Lab) noHub() error {
	return fmt.Errorf("no hub was started in the lab in %s\nhint: nave-lab demo starts one", l.dir)
}

// ageKeys is the file with the key of the sample's Secrets.
func (l *Lab) ageKeys() string { return filepath.Join(l.dir, "age-keys") }

// Hub returns the record of the lab's hub; the error is fs.ErrNotExist if none
// was started.
func (l *Lab) Hub() (process.Record, error) { return l.table.Get(hubProcess) }

// CPU returns the processor time of all processes of the lab that run, and of
// those that they started.
func (l *Lab) CPU() (time.Duration, error) { return l.table.SessionsCPU() }

// awaitHub waits until the lab's hub can be asked.
func (l *Lab) awaitHub(ctx context.Context) error {
	record, err := l.table.Get(hubProcess)
	if err != nil {
		return fmt.Errorf("looking for the lab's hub: %w", err)
	}
	// The hub makes its directory and socket within moments. One that was killed
	// leaves a socket behind at which nobody listens.
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(l.HubDir(), "hub.sock"))
		if err == nil {
			return conn.Close()
		}
		if !record.Running() {
			tail, _ := process.Tail(l.HubLog(), 5)
			return fmt.Errorf("the hub ended; last lines of %s:\n%s", l.HubLog(), tail)
		}
		if err := Pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// AwaitFleet waits until the lab's hub says that every cluster is Synced and
// Healthy, and shows how far it is on the given command's standard error.
func (l *Lab) AwaitFleet(ctx context.Context, show func(*exec.Cmd)) error {
	if err := l.awaitHub(ctx); err != nil {
		return err
	}
	wait := exec.CommandContext(ctx, filepath.Join(l.bin, "nave"), "wait", "--dir", l.HubDir(), "--timeout", "20m")
	show(wait)
	if err := wait.Run(); err != nil {
		return errors.Join(context.Cause(ctx), fmt.Errorf("the fleet has not converged: %w\nhint: %s status --dir %s", err, wait.Path, l.HubDir()))
	}
	return nil
}

// Convergence is when a cluster first was as the fleet repository says.
type Convergence struct {
	Cluster string
	Took    time.Duration // since the hub was started
	// Identity is the number of its agent's; 0 for a cluster that the hub itself keeps.
	Identity int64
}

// Converged asks the lab's hub when each cluster converged.
func (l *Lab) Converged(ctx context.Context) ([]Convergence, error) {
	record, err := l.table.Get(hubProcess)
	if err != nil {
		return nil, err
	}
	clusters, err := l.hubClusters(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the hub: %w", err)
	}
	var converged []Convergence
	for _, c := range clusters {
		converged = append(converged, Convergence{Cluster: c.Cluster, Took: c.ConvergedAt.Sub(record.Started), Identity: c.Agent.Identity})
	}
	return converged, nil
}

// hubCluster is what the lab reads of a cluster that the hub tells of.
type hubCluster struct {
	Cluster     string                   `json:"cluster"`
	ConvergedAt time.Time                `json:"convergedAt"`
	Agent       struct{ Identity int64 } `json:"agent"`
}

func (l *Lab) hubClusters(ctx context.Context) (clusters []hubCluster, err error) {
	out, err := l.nave(ctx, "clusters", "-o", "json")
	if err != nil {
		return nil, err
	}
	return clusters, json.Unmarshal(out, &clusters)
}
