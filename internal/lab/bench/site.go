package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/lab"
)

// site is where benches measure: a lab in a fresh directory, a fleet repository,
// a meter before the clusters, and a hub that comes and goes. One without
// clusters is a directory only.
type site struct {
	opts     Options
	bin, dir string
	lab      *lab.Lab
	clusters []string
	direct   map[string]*rest.Config // past the meter
	metered  map[string]*rest.Config
	meter    *meter
	resting  bool  // controllers are stopped
	kept     fleet // what the hub that runs keeps; no apps if none runs
}

// newSite starts a lab of equal clusters.
func newSite(ctx context.Context, opts Options, clusters int) (s *site, err error) {
	s = &site{opts: opts, bin: opts.Bin}
	if s.bin == "" {
		if s.bin, err = binDir(); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp("", "nave-bench-"); err != nil {
		return nil, err
	}
	if clusters > 0 {
		if err = s.start(ctx, clusters); err != nil {
			return nil, errors.Join(err, s.close(ctx))
		}
	}
	return s, nil
}

func (s *site) start(ctx context.Context, clusters int) error {
	spec, err := lab.Numbered(clusters)
	if err != nil {
		return err
	}
	s.lab, err = lab.New(lab.Options{Dir: filepath.Join(s.dir, "lab"), Bin: s.bin, Progress: s.opts.Starting})
	if err != nil {
		return err
	}
	if err := s.lab.Up(ctx, lab.UpOptions{Fleet: spec}); err != nil {
		return err
	}
	if s.clusters, err = s.lab.Names(); err != nil {
		return err
	}
	s.direct = map[string]*rest.Config{}
	for _, cluster := range s.clusters {
		data, err := s.lab.Kubeconfig(cluster)
		if err != nil {
			return err
		}
		if s.direct[cluster], err = clientcmd.RESTConfigFromKubeConfig(data); err != nil {
			return err
		}
		s.direct[cluster].QPS, s.direct[cluster].UserAgent = -1, "bench"
		if err := makeNamespaces(ctx, s.direct[cluster]); err != nil {
			return fmt.Errorf("making namespaces on %s: %w", cluster, err)
		}
	}
	if s.meter, err = newMeter(s.kubeconfigs(), s.direct); err != nil {
		return err
	}
	s.metered = map[string]*rest.Config{}
	for _, cluster := range s.clusters {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.kubeconfigs(), cluster+".kubeconfig"))
		if err != nil {
			return err
		}
		config.QPS, config.UserAgent = -1, "floor"
		s.metered[cluster] = config
	}
	return nil
}

// close removes everything.
func (s *site) close(ctx context.Context) error {
	var err error
	if s.meter != nil {
		s.meter.close()
	}
	if s.lab != nil {
		err = s.lab.Down(context.WithoutCancel(ctx), true)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *site) kubeconfigs() string { return filepath.Join(s.dir, "metered") }
func (s *site) repository() string  { return filepath.Join(s.dir, "fleet") }

func (s *site) say(format string, values ...any) {
	s.opts.Progress(fmt.Sprintf("  "+format, values...))
}

func makeNamespaces(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for i := range namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}}
		_, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// controllers are stopped while two halves of a run are compared: what they do
// about the objects of one half goes on for minutes and would weigh on the other.
var controllers = []string{"kube-controller-manager", "kube-scheduler"}

// rest stops or starts the controllers of all clusters.
func (s *site) rest(ctx context.Context, resting bool) error {
	if s.resting == resting {
		return nil
	}
	for _, cluster := range s.clusters {
		do := s.lab.Start
		if resting {
			do = s.lab.Stop
		}
		if err := do(ctx, cluster, controllers...); err != nil {
			return err
		}
	}
	s.resting = resting
	return nil
}

// clear makes all clusters as if nothing had been there: without the hub, the
// generated objects, and what nave keeps of its own.
func (s *site) clear(ctx context.Context) error {
	if err := s.stopHub(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(s.lab.HubDir()); err != nil {
		return err
	}
	for _, cluster := range s.clusters {
		if err := empty(ctx, s.direct[cluster]); err != nil {
			return fmt.Errorf("emptying %s: %w", cluster, err)
		}
	}
	return nil
}

// empty deletes generated objects, and nave's own.
func empty(ctx context.Context, config *rest.Config) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, resource := range resources {
		for i := range namespaces {
			err := client.Resource(resource).Namespace(namespaceOf(i)).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
			if err != nil {
				return err
			}
		}
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	own := "nave-system"
	err = typed.CoreV1().Secrets(own).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	if err == nil {
		err = typed.CoordinationV1().Leases(own).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	}
	return err
}

// push makes the fleet repository hold a fleet, as one commit without history.
func (s *site) push(ctx context.Context, f fleet) error {
	if err := os.RemoveAll(s.repository()); err != nil {
		return err
	}
	if err := f.write(s.repository()); err != nil {
		return err
	}
	url, err := s.lab.GitURL()
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"config", "user.name", "bench"}, {"config", "user.email", "bench@nave.invalid"},
		{"config", "gc.auto", "0"}, {"add", "-A"}, {"commit", "-q", "-m", "A fleet to measure"},
		{"remote", "add", "origin", url + "/fleet.git"}, {"push", "-q", "-f", "origin", "main"},
	} {
		if _, err := s.git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// change commits and pushes files, and returns the commit and when it was there.
func (s *site) change(ctx context.Context, changed files, message string) (commit string, pushed time.Time, err error) {
	if err := changed.write(s.repository()); err != nil {
		return "", time.Time{}, err
	}
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", message}, {"push", "-q", "origin", "main"}} {
		if _, err := s.git(ctx, args...); err != nil {
			return "", time.Time{}, err
		}
	}
	pushed = time.Now()
	commit, err = s.git(ctx, "rev-parse", "HEAD")
	return commit, pushed, err
}

func (s *site) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = s.repository()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// startHub starts a hub on the fleet repository, by way of the meter.
func (s *site) startHub(ctx context.Context) error {
	return s.lab.StartHub(ctx, lab.HubOptions{Kubeconfigs: s.kubeconfigs()})
}

// hubGrace is how long a hub may take to let what is under way end.
const hubGrace = 30 * time.Second

func (s *site) stopHub(ctx context.Context) error {
	s.kept = fleet{}
	return s.lab.StopHub(ctx, hubGrace)
}

// settle has a hub keep a fleet on all clusters and returns when every one is
// Synced and Healthy, and the lab is calm. A hub that keeps that fleet goes on.
func (s *site) settle(ctx context.Context, f fleet) error {
	f.clusters = s.clusters
	if err := s.rest(ctx, false); err != nil {
		return err
	}
	if !s.kept.same(f) {
		s.say("bringing up %d apps on %d clusters", f.apps, len(f.clusters))
		if err := s.clear(ctx); err != nil {
			return err
		}
		if err := s.push(ctx, f); err != nil {
			return err
		}
		if err := s.startHub(ctx); err != nil {
			return err
		}
	}
	if err := s.publish(ctx, f); err != nil {
		return err
	}
	if err := s.lab.AwaitFleet(ctx, quietly); err != nil {
		return err
	}
	s.kept = f
	return s.calm(ctx)
}

// quietly has a program say nothing of what it waits for.
func quietly(wait *exec.Cmd) { wait.Stderr = io.Discard }

// publish gives every Ingress an address when it is there, as an ingress
// controller does: without one it does not count as healthy.
func (s *site) publish(ctx context.Context, f fleet) error {
	if f.objects > 0 {
		return nil
	}
	w, err := watch(ctx, s.direct)
	if err != nil {
		return err
	}
	defer w.close()
	want := map[place]string{}
	for _, cluster := range s.clusters {
		for app := range f.apps {
			want[place{cluster, "Ingress", namespaceOf(app), appName(app)}] = "1"
		}
	}
	if _, err := w.await(ctx, w.expect(want), convergence); err != nil {
		return err
	}
	status := []byte(`{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}`)
	for cluster, config := range s.direct {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		for app := range f.apps {
			ingresses := client.NetworkingV1().Ingresses(namespaceOf(app))
			if _, err := ingresses.Patch(ctx, appName(app), types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
				return fmt.Errorf("publishing an address on %s: %w", cluster, err)
			}
		}
	}
	return nil
}

// known is what the hub says of the fleet.
type known struct {
	Revision struct{ Commit string }
	Clusters []struct {
		Cluster     string
		Sync        string
		ConvergedAt time.Time
	}
}

// ask asks the hub what it knows, as a user would.
func (s *site) ask(ctx context.Context) (known, error) {
	out, err := exec.CommandContext(ctx, s.nave(), "status", "-o", "json", "--dir", s.lab.HubDir()).Output()
	var answer known
	if err == nil {
		err = json.Unmarshal(out, &answer)
	}
	if err != nil {
		return known{}, fmt.Errorf("asking the hub: %w", err)
	}
	return answer, nil
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
