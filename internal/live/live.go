// Package live answers questions about one cluster as it is now: an object, its
// events, the logs of its pods, and a query to the Prometheus that runs there. The
// main type is [Cluster]; [Cluster.Serve] answers over HTTP, in the same form to a
// hub that asks an agent and to who asks a hub, and [Follow] puts the bounded answers
// to one who follows logs together again.
//
// Every answer has a limit of size and of time, and is made no faster than it is
// read. Values of Secrets are veiled, and so are those in objects that they were put
// into. The package writes nothing to a cluster, and does not decide who may ask.
package live

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"nave.dev/internal/app"
)

// The questions, as configurations and paths name them.
const (
	ObjectQuestion  = "object"
	EventsQuestion  = "events"
	LogsQuestion    = "logs"
	MetricsQuestion = "metrics"
)

// Questions are all of them.
var Questions = []string{ObjectQuestion, EventsQuestion, LogsQuestion, MetricsQuestion}

// Options say which cluster is asked, and what is known of it.
type Options struct {
	// Config reaches the cluster. Needed.
	Config *rest.Config
	// Metrics is the Service of a Prometheus in the cluster, NAMESPACE/[https:]SERVICE:PORT
	// with a path before /api if there is one; empty: metrics are not answered.
	Metrics string
	// Assigned returns the apps of the cluster, which tell in which objects there are
	// values of Secrets. Nil: there are none.
	Assigned func() []app.Desired
}

// Cluster answers questions about one. It may be used by many at a time.
type Cluster struct {
	options   Options
	service   *service
	core      kubernetes.Interface
	dynamic   dynamic.Interface
	discovery discovery.CachedDiscoveryInterface
	kinds     *restmapper.DeferredDiscoveryRESTMapper
	names     meta.RESTMapper // of kinds, with short names
	metrics   *http.Client

	mu   sync.Mutex
	read time.Time // when the kinds were last read anew
}

// Requests to the API server for all who ask together, a second and at once.
const (
	asksPerSecond = 20
	asksAtOnce    = 40
)

// New returns what answers for a cluster. It does not ask the cluster anything yet.
func New(options Options) (*Cluster, error) {
	service, err := parseService(options.Metrics)
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(options.Config)
	config.QPS, config.Burst = asksPerSecond, asksAtOnce
	config.UserAgent = "nave"
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	core, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	objects, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	// Every call of the client has the credentials of the cluster: it goes nowhere but there.
	metrics := *client
	metrics.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &Cluster{options: options, service: service, core: core, dynamic: objects, metrics: &metrics, discovery: memory.NewMemCacheClient(core.Discovery())}
	c.kinds = restmapper.NewDeferredDiscoveryRESTMapper(c.discovery)
	c.names = restmapper.NewShortcutExpander(c.kinds, c.discovery, nil)
	return c, nil
}

// Refusal is why a question has no answer, where who asks can do something about it.
type Refusal struct{ reason string }

// Error says why, with a hint.
func (r *Refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// Ref names an object as people do: KIND is a kind or a resource in any case, in
// singular or plural, or its short name, and .GROUP may follow.
type Ref struct {
	Kind      string
	Namespace string // of kinds that have one; empty is "default"
	Name      string
}

// String is KIND/NAME.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// segment is what a name may be that becomes a part of a path.
var segment = regexp.MustCompile(`^[^/%]+$`)

// valid says what of a reference from outside is no name.
func (r Ref) valid() error {
	for what, text := range map[string]string{"kind": r.Kind, "name": r.Name} {
		if text == "" {
			return refuse("the %s is missing", what)
		}
	}
	for _, text := range []string{r.Kind, r.Name, r.Namespace} {
		if len(text) > 512 || text != "" && !segment.MatchString(text) || text == "." || text == ".." {
			return refuse("%.80q is no name", text)
		}
	}
	return nil
}

// reread is the least time between two looks at which kinds a cluster serves, for
// kinds that it is not known to serve.
const reread = 10 * time.Second

// resolve finds the kind that a reference means.
func (c *Cluster) resolve(kind string) (*meta.RESTMapping, error) {
	mapping, err := c.mapping(kind)
	if !meta.IsNoMatchError(err) {
		return mapping, explain(err)
	}
	c.mu.Lock()
	due := time.Since(c.read) >= reread
	if due {
		c.read = time.Now()
	}
	c.mu.Unlock()
	if due {
		c.kinds.Reset()
		if mapping, err = c.mapping(kind); err == nil {
			return mapping, nil
		}
	}
	if meta.IsNoMatchError(err) {
		return nil, refuse("the cluster has no kind %q\nhint: a kind or resource as kubectl api-resources lists them, such as deployment, svc or certificates.cert-manager.io", kind)
	}
	return nil, explain(err)
}

func (c *Cluster) mapping(kind string) (*meta.RESTMapping, error) {
	full, short := schema.ParseResourceArg(strings.ToLower(kind))
	if full != nil {
		if found, err := c.names.KindFor(*full); err == nil {
			return c.kinds.RESTMapping(found.GroupKind(), found.Version)
		}
	}
	found, err := c.names.KindFor(short.WithVersion(""))
	if err != nil {
		return nil, err
	}
	return c.kinds.RESTMapping(found.GroupKind(), found.Version)
}

// explain puts what an API server answers into words for who asks.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return refuse("%v\nhint: the account that reads this cluster, an agent's for instance, has no right to it; --read of nave cluster join, or agent.reads of the chart, gives it", err)
	case apierrors.IsNotFound(err), apierrors.IsBadRequest(err):
		return refuse("%v", err)
	}
	refusal := (*Refusal)(nil)
	if errors.As(err, &refusal) {
		return err
	}
	return fmt.Errorf("asking the cluster: %w", err)
}
