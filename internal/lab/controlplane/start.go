package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/lab/process"
)

// Host is where clusters run: the programs, and the table of their processes.
type Host struct {
	Binaries  Binaries
	Processes *process.Table
	// Progress, if set, is told what a cluster or an etcd waits for, again and
	// again while it does, and then that it waits for nothing.
	Progress func(name, waitsFor string)
}

// stopGrace is how long a component may take to end by itself. An API server
// drains its watches; nothing here depends on that.
const stopGrace = 5 * time.Second

// StartEtcd starts the member and returns when it serves.
func (h Host) StartEtcd(ctx context.Context, e Etcd) error {
	if err := e.Prepare(); err != nil {
		return err
	}
	record, err := h.Processes.Start(e.Process(h.Binaries))
	if err != nil {
		return err
	}
	return h.await(ctx, e.Name, "etcd", []process.Record{record}, e.Ready)
}

// Start starts the named components, or all, that do not run yet, and returns
// when the cluster is ready. Components that are not named stay as they are.
func (h Host) Start(ctx context.Context, c Cluster, components ...string) error {
	if len(components) == 0 {
		components = c.Components()
	}
	wanted := map[string]bool{}
	for _, component := range components {
		wanted[component] = true
	}
	if wanted[Kwok] && c.stagesDiffer() { // it reads them only when it starts
		if err := h.Processes.Stop(ctx, c.ProcessName(Kwok), 0); err != nil {
			return err
		}
	}
	if err := c.prepare(); err != nil {
		return fmt.Errorf("preparing %s: %w", c.Name, err)
	}
	var running []process.Record
	start := func(component string) error {
		record, err := h.Processes.Start(c.Process(component, h.Binaries))
		running = append(running, record)
		return err
	}
	if wanted[APIServer] {
		if err := start(APIServer); err != nil {
			return err
		}
	}
	if err := h.await(ctx, c.Name, "API server", running, c.serves); err != nil {
		return err
	}
	for _, component := range c.Components()[1:] {
		if wanted[component] {
			if err := start(component); err != nil {
				return err
			}
		}
	}
	if c.Bare {
		return nil
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	// An API server that has just become ready may still refuse a request.
	err = h.await(ctx, c.Name, "first objects", running, func(ctx context.Context) error { return c.bootstrap(ctx, client) })
	if err != nil {
		return err
	}
	for _, component := range c.Components()[1:] {
		if !wanted[component] {
			continue
		}
		err := h.await(ctx, c.Name, component, running, func(ctx context.Context) error { return c.ComponentReady(ctx, component) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Stop stops the named components, or all, in the opposite order of their start.
func (h Host) Stop(ctx context.Context, c Cluster, components ...string) error {
	if len(components) == 0 {
		components = c.Components()
	}
	errs := make(chan error, len(components))
	for _, component := range components {
		go func() { errs <- h.Processes.Stop(ctx, c.ProcessName(component), stopGrace) }()
	}
	var err error
	for range components {
		err = errors.Join(err, <-errs)
	}
	return err
}

// serves reports why the API server does not serve an administrator yet.
func (c Cluster) serves(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// ComponentReady reports why a component does not do its work, or nil: the API
// server answers ready, the controller manager answers and has made what every
// namespace has, the scheduler has its view of the cluster, and kwok keeps all nodes ready.
func (c Cluster) ComponentReady(ctx context.Context, component string) error {
	switch component {
	case APIServer:
		return c.serves(ctx)
	case Scheduler:
		return c.answersOK(ctx, loopback(c.Ports.Scheduler)+"/readyz")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if component == ControllerManager {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			_, err = client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		}
		if err == nil { // those may be from an earlier start
			err = c.answersOK(ctx, loopback(c.Ports.ControllerManager)+"/healthz")
		}
		return err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: PoolLabel, ResourceVersion: "0"})
	if err != nil {
		return err
	}
	var waiting []string
	for _, node := range nodes.Items {
		if !usable(&node) {
			waiting = append(waiting, node.Name)
		}
	}
	if len(waiting) > 0 {
		return fmt.Errorf("%d of %d nodes are not ready: %s", len(waiting), len(nodes.Items), strings.Join(waiting, ", "))
	}
	return getOK(ctx, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/healthz", c.Ports.Kwok))
}

// answersOK asks one of the cluster's own components as its administrator.
func (c Cluster) answersOK(ctx context.Context, url string) error {
	client, err := mutualTLS(c.pki("ca.crt"), c.pki("lab-admin"))
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return getOK(ctx, client, url)
}

// usable reports whether a node is ready and free of the taint that keeps pods
// from a node that just was not.
func usable(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// RESTConfig returns an administrator's way to the API server that no proxy
// can cut.
func (c Cluster) RESTConfig() (*rest.Config, error) {
	return clientcmd.BuildConfigFromFlags("", c.directKubeconfig())
}

func (c Cluster) client() (*kubernetes.Clientset, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.Timeout = 10 * time.Second
	config.QPS = -1 // the lab's own few requests are not to be spread out
	return kubernetes.NewForConfig(config)
}

func (h Host) progress(name, waitsFor string) {
	if h.Progress != nil {
		h.Progress(name, waitsFor)
	}
}

// await polls until the condition holds. It gives up when ctx is done or when
// one of the processes has ended, and then shows the last lines of its log,
// unless it was the caller who called it off.
func (h Host) await(ctx context.Context, name, waitsFor string, running []process.Record, condition func(context.Context) error) error {
	defer h.progress(name, "")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		h.progress(name, waitsFor)
		err := condition(ctx)
		if err == nil {
			return nil
		}
		for _, record := range running {
			if !record.Running() {
				return &EndedError{Process: record.Name, Log: record.Log, Tail: tail(record.Log)}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("waiting for %s of %s: %w", waitsFor, name, context.Cause(ctx))
			}
			err = fmt.Errorf("waiting for %s of %s: %w; last answer: %w", waitsFor, name, context.Cause(ctx), err)
			if len(running) > 0 {
				last := running[len(running)-1]
				err = fmt.Errorf("%w\nlast lines of %s:\n%s", err, last.Log, tail(last.Log))
			}
			return err
		}
	}
}

// EndedError says that a process ended while others waited for it.
type EndedError struct {
	Process string
	Log     string // the whole log's file
	Tail    string // its last lines
}

// Error names the process and shows the last lines of its log.
func (e *EndedError) Error() string {
	return fmt.Sprintf("%s ended; last lines of %s:\n%s", e.Process, e.Log, e.Tail)
}

func tail(log string) string {
	lines, err := process.Tail(log, 10)
	if err != nil {
		return err.Error()
	}
	return string(lines)
}

// PortFree reports whether nothing listens on the loopback port now.
func PortFree(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	listener.Close()
	return true
}

// FreePorts returns n loopback ports on which nothing listens, none of which
// taken refuses. They lie below the range from which systems choose the ports
// of outgoing connections, so that a port stays free while its cluster is stopped.
func FreePorts(n int, taken func(port int) bool) ([]int, error) {
	const first, last = 20000, 32000
	var ports []int
	// Two that look at the same moment begin at different places.
	offset := rand.IntN(last - first)
	for i := range last - first {
		if len(ports) == n {
			break
		}
		port := first + (offset+i)%(last-first)
		if taken != nil && taken(port) {
			continue
		}
		if PortFree(port) {
			ports = append(ports, port)
		}
	}
	if len(ports) < n {
		return nil, fmt.Errorf("finding %d free ports between %d and %d: only %d are", n, first, last, len(ports))
	}
	return ports, nil
}
