package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/atomicfile"
	"nave.dev/internal/lab/controlplane"
	"nave.dev/internal/lab/process"
)

// agentComponent is the component of a cluster that is its agent. The cluster has
// the Deployment that nave cluster join prints, and kwok plays its pod; the lab
// plays what a kubelet would do for it, with a process of this machine.
const agentComponent = "nave-agent"

// Where nave cluster join puts the agent, and the Secret that the lab makes for it.
const (
	agentNamespace = "nave-system"
	agentName      = "nave-agent"
	ageSecret      = "age-keys"
)

// accountLife is how long, in seconds, the token of the agent's account counts. A
// kubelet would renew it.
const accountLife = 365 * 24 * 3600

// lookAgain is the wait before the hub is asked again whether it has read its fleet.
const lookAgain = 200 * time.Millisecond

// agentsAtOnce is how many agents join at a time.
var agentsAtOnce = runtime.NumCPU() + 1

// StartAgents has each cluster that the fleet knows join the lab's hub, which must
// run and take agents: with the manifest of nave cluster join, and the agent as a
// process that has the rights and the arguments which that gives it, and an empty
// disk. It returns when all agents run. Clusters that have one keep it.
func (l *Lab) StartAgents(ctx context.Context) error {
	known, err := l.fleetClusters(ctx)
	if err != nil {
		return err
	}
	return l.change(ctx, func(s *state) error {
		names := slices.DeleteFunc(s.names(), func(name string) bool { return !slices.Contains(known, name) })
		return l.startAgents(ctx, s, names)
	})
}

// StartAgent is StartAgents for one cluster.
func (l *Lab) StartAgent(ctx context.Context, name string) error {
	return l.change(ctx, func(s *state) error {
		if _, err := s.member(name); err != nil {
			return err
		}
		return l.startAgents(ctx, s, []string{name})
	})
}

func (l *Lab) startAgents(ctx context.Context, s *state, names []string) error {
	if s.AgentsPort == 0 {
		return errors.New("no hub of the lab takes agents\nhint: nave-lab demo starts one")
	}
	for _, name := range names {
		if m := s.Clusters[name]; m.UplinkPort == 0 {
			if err := s.replaceTaken([]*int{&m.UplinkPort}); err != nil {
				return err
			}
		}
	}
	if err := l.save(s); err != nil { // before anything counts on a port
		return err
	}
	if err := l.reloadNetwork(ctx); err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		errs  error
		group sync.WaitGroup
		turn  = make(chan struct{}, agentsAtOnce)
	)
	for _, name := range names {
		group.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			if ctx.Err() != nil {
				return
			}
			if err := l.startAgent(ctx, s, s.Clusters[name]); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = errors.Join(errs, fmt.Errorf("starting the agent of %s: %w", name, err))
			}
		})
	}
	group.Wait()
	return cmp.Or(errs, context.Cause(ctx))
}

// fleetClusters returns the clusters of the fleet, once the hub has read it.
func (l *Lab) fleetClusters(ctx context.Context) (names []string, err error) {
	if err := l.awaitHub(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sharedLimit, fmt.Errorf("it has read no fleet after %s", sharedLimit))
	defer cancel()
	for {
		clusters, err := l.hubClusters(ctx)
		if err == nil && len(clusters) > 0 {
			for _, c := range clusters {
				names = append(names, c.Cluster)
			}
			return names, nil
		}
		if pauseErr := Pause(ctx, lookAgain); pauseErr != nil {
			return nil, fmt.Errorf("asking the hub for its clusters: %w", errors.Join(pauseErr, err))
		}
	}
}

// agentSite is what the agent's pod has on a node: its volumes, and what a kubelet
// knows of it.
type agentSite struct{ dir string }

func (l *Lab) agentSite(s *state, m *member) agentSite {
	return agentSite{filepath.Join(l.cluster(s, m).Dir, agentComponent)}
}

func (a agentSite) file(name string) string { return filepath.Join(a.dir, name) }

// account is the file with the token of the agent's service account; arguments has
// what its container is started with, and is written when all else is there.
func (a agentSite) account() string    { return a.file("account") }
func (a agentSite) arguments() string  { return a.file("arguments.json") }
func (a agentSite) kubeconfig() string { return a.file("kubeconfig") }

// startAgent starts the agent of a cluster, which joins before if it never has.
func (l *Lab) startAgent(ctx context.Context, s *state, m *member) error {
	cluster, site := l.cluster(s, m), l.agentSite(s, m)
	data, err := os.ReadFile(site.arguments())
	if errors.Is(err, fs.ErrNotExist) {
		if err = l.join(ctx, cluster, m.UplinkPort, site); err == nil {
			data, err = os.ReadFile(site.arguments())
		}
	}
	if err != nil {
		return err
	}
	var args []string
	if err := json.Unmarshal(data, &args); err != nil {
		return fmt.Errorf("reading %s: %w", site.arguments(), err)
	}
	if err := cluster.WriteAccountKubeconfig(site.kubeconfig(), site.account()); err != nil {
		return err
	}
	_, err = l.table.Start(process.Spec{
		Name: cluster.ProcessName(agentComponent),
		Path: filepath.Join(l.bin, "nave-lab"),
		Args: append(append([]string{RunCommand, filepath.Join(l.bin, "nave")}, args...), "--kubeconfig", site.kubeconfig()),
		Log:  cluster.LogFile(agentComponent),
	})
	return err
}

// join has a cluster join the lab's hub by way of a port, as a user would, and
// writes what a kubelet would give to the agent's container.
func (l *Lab) join(ctx context.Context, cluster controlplane.Cluster, uplink int, site agentSite) error {
	manifest, err := l.nave(ctx, "cluster", "join", cluster.Name, "--hub", loopback(uplink), "--age-key-secret", ageSecret)
	if err != nil {
		return err
	}
	apply := exec.CommandContext(ctx, filepath.Join(l.bin, "kubectl"), "--kubeconfig", cluster.AdminKubeconfig(), "apply", "-f", "-")
	apply.Stdin = bytes.NewReader(manifest)
	if _, err := outputOf(apply); err != nil {
		return err
	}
	config, err := cluster.RESTConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := l.giveAgeKeys(ctx, client); err != nil {
		return err
	}
	if err := os.RemoveAll(site.dir); err != nil { // of an attempt that was killed
		return err
	}
	args, err := site.mount(ctx, client)
	if err != nil {
		return err
	}
	seconds := int64(accountLife)
	token, err := client.CoreV1().ServiceAccounts(agentNamespace).CreateToken(ctx, agentName, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("making a token of the agent's account: %w", err)
	}
	if err := os.WriteFile(site.account(), []byte(token.Status.Token), 0o600); err != nil {
		return err
	}
	data, err := json.Marshal(args)
	if err != nil {
		return err
	}
	return atomicfile.Write(site.arguments(), data)
}

// giveAgeKeys makes the Secret with the key of the sample's Secrets.
func (l *Lab) giveAgeKeys(ctx context.Context, client kubernetes.Interface) error {
	keys, err := os.ReadFile(l.ageKeys())
	if err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: ageSecret}, Data: map[string][]byte{"keys.txt": keys}}
	_, err = client.CoreV1().Secrets(agentNamespace).Create(ctx, secret, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("giving the agent the age keys: %w", err)
	}
	return nil
}

// mount makes the volumes of the agent's pod in the site's directory: Secrets with
// their files, and empty ones. It returns the arguments of its container with those
// directories in place of the paths where they are mounted.
func (a agentSite) mount(ctx context.Context, client kubernetes.Interface) (args []string, err error) {
	deployment, err := client.AppsV1().Deployments(agentNamespace).Get(ctx, agentName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the agent's Deployment: %w", err)
	}
	pod := deployment.Spec.Template.Spec
	for _, volume := range pod.Volumes {
		if err := os.MkdirAll(a.file(volume.Name), 0o700); err != nil {
			return nil, err
		}
		if volume.Secret == nil {
			continue
		}
		secret, err := client.CoreV1().Secrets(agentNamespace).Get(ctx, volume.Secret.SecretName, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("mounting a Secret for the agent: %w", err)
		}
		for name, data := range secret.Data {
			if err := os.WriteFile(filepath.Join(a.file(volume.Name), filepath.Base(name)), data, 0o600); err != nil {
				return nil, err
			}
		}
	}
	container := pod.Containers[0]
	for _, arg := range container.Args {
		flag, value, _ := strings.Cut(arg, "=")
		for _, mount := range container.VolumeMounts {
			if rest, within := strings.CutPrefix(value, mount.MountPath); within && (rest == "" || rest[0] == '/') {
				value = a.file(mount.Name) + rest
				break
			}
		}
		if flag == "--listen" { // pods have an address each, processes one
			value = net.JoinHostPort("127.0.0.1", "0")
		}
		if arg = flag; value != "" {
			arg += "=" + value
		}
		args = append(args, arg)
	}
	return args, nil
}

// nave runs a command against the lab's hub and returns what it prints.
func (l *Lab) nave(ctx context.Context, args ...string) ([]byte, error) {
	return outputOf(exec.CommandContext(ctx, filepath.Join(l.bin, "nave"), append(args, "--dir", l.HubDir())...))
}

// outputOf runs a command. An error of it holds what it says of that.
func outputOf(cmd *exec.Cmd) ([]byte, error) {
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w: %s", filepath.Base(cmd.Path), cmd.Args[1], err, bytes.TrimSpace(talk.Bytes()))
	}
	return out, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
