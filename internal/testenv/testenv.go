// Package testenv gives tests real API servers. A test package calls Main from
// its TestMain; New then returns the one API server that the package shares,
// with a name prefix of the test's own, and NewCluster a complete cluster with
// controllers, scheduler and nodes. Everything ends with the test binary,
// however that ends. The package is imported by tests alone.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/lab/controlplane"
	"nave.dev/internal/lab/process"
)

// Env is an API server as one test sees it.
type Env struct {
	// Config is a cluster administrator's way to the API server.
	Config *rest.Config
	// Kubeconfig is a file with the same.
	Kubeconfig string
	// Prefix is a name no other test of the package uses, fit for the beginning
	// of object names.
	Prefix string
	// Cluster is the control plane as data.
	Cluster controlplane.Cluster
}

// startLimit bounds how long a control plane may take to be ready on a slow machine.
const startLimit = 3 * time.Minute

// host is what the test binary's control planes have in common.
type host struct {
	dir    string
	host   controlplane.Host
	shared func() (controlplane.Cluster, error)
	etcd   func() (controlplane.Etcd, error)
	tests  atomic.Int64
}

var current *host

// Main runs a package's tests and then stops what they started. TestMain calls
// it, and nothing after it.
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "nave-testenv-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		os.Exit(1)
	}
	current = &host{dir: dir}
	current.etcd = sync.OnceValues(current.startEtcd)
	current.shared = sync.OnceValues(current.startShared)
	code := m.Run()
	if current.host.Processes != nil {
		records, _ := current.host.Processes.List()
		for _, record := range records {
			current.host.Processes.Stop(context.Background(), record.Name, 0)
		}
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// New returns the package's API server. It has no controllers: what a test
// writes stays as it is.
func New(t testing.TB) *Env {
	t.Helper()
	cluster, err := running(t).shared()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return env(t, cluster)
}

// NewCluster returns a complete cluster with three nodes, for this test alone.
func NewCluster(t testing.TB) *Env {
	t.Helper()
	h := running(t)
	cluster, err := h.startCluster(t.Context(), fmt.Sprintf("cluster-%d", h.tests.Add(1)), false)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		if err := h.host.Stop(context.WithoutCancel(t.Context()), cluster); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return env(t, cluster)
}

// Namespace makes a namespace of the test's own and returns its name.
func (e *Env) Namespace(t testing.TB) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: e.Prefix + "-"}}
	namespace, err = client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("testenv: creating a namespace: %v", err)
	}
	return namespace.Name
}

func running(t testing.TB) *host {
	t.Helper()
	if current == nil {
		t.Fatal("testenv: TestMain must call testenv.Main(m)")
	}
	return current
}

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

func env(t testing.TB, cluster controlplane.Cluster) *Env {
	t.Helper()
	config, err := cluster.RESTConfig()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	config.QPS = -1
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	return &Env{
		Config:     config,
		Kubeconfig: cluster.AdminKubeconfig(),
		Prefix:     fmt.Sprintf("%.30s-%d", name, current.tests.Add(1)),
		Cluster:    cluster,
	}
}

func (h *host) startEtcd() (controlplane.Etcd, error) {
	top, err := moduleRoot()
	if err != nil {
		return controlplane.Etcd{}, err
	}
	bin, err := controlplane.FindBinaries(filepath.Join(top, "bin"))
	if err != nil {
		return controlplane.Etcd{}, err
	}
	h.host = controlplane.Host{
		Binaries:  bin,
		Processes: &process.Table{Dir: filepath.Join(h.dir, "run"), Tied: true},
	}
	etcd := controlplane.Etcd{Name: "etcd", Dir: filepath.Join(h.dir, "etcd")}
	err = onFreePorts(context.Background(), 2, func(ctx context.Context, ports []int) error {
		etcd.ClientPort, etcd.PeerPort = ports[0], ports[1]
		return h.host.StartEtcd(ctx, etcd)
	})
	return etcd, err
}

func (h *host) startShared() (controlplane.Cluster, error) {
	return h.startCluster(context.Background(), "shared", true)
}

func (h *host) startCluster(ctx context.Context, name string, bare bool) (controlplane.Cluster, error) {
	etcd, err := h.etcd()
	if err != nil {
		return controlplane.Cluster{}, err
	}
	cluster := controlplane.Cluster{Name: name, Dir: filepath.Join(h.dir, name), Etcd: etcd, Bare: bare}
	if !bare {
		cluster.Nodes = []controlplane.NodePool{{
			Name: "general", Count: 3, CPU: resource.MustParse("4"), Memory: resource.MustParse("16Gi"),
			Region: "test", Zones: []string{"test-a", "test-b", "test-c"},
		}}
	}
	err = onFreePorts(ctx, 4, func(ctx context.Context, ports []int) error {
		cluster.Ports = controlplane.Ports{APIServer: ports[0], ControllerManager: ports[1], Scheduler: ports[2], Kwok: ports[3]}
		err := h.host.Start(ctx, cluster)
		if err != nil {
			err = errors.Join(err, h.host.Stop(context.WithoutCancel(ctx), cluster))
		}
		return err
	})
	return cluster, err
}

// onFreePorts calls start with n free ports, and again with others when a
// process ended instead of starting: another test binary may have taken a port
// between the choice and its use.
func onFreePorts(ctx context.Context, n int, start func(ctx context.Context, ports []int) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for attempt := 1; ; attempt++ {
		ports, err := controlplane.FreePorts(n, nil)
		if err != nil {
			return err
		}
		err = start(ctx, ports)
		var ended *controlplane.EndedError
		if attempt == 3 || !errors.As(err, &ended) {
			return err
		}
	}
}

// moduleRoot walks up from the test's directory to the module's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module nave.dev\n") {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", fmt.Errorf("finding the module nave.dev above the working directory: %w", os.ErrNotExist)
	}
}
