// Package cluster is the way to one API server: it knows what the server serves
// ([Connection.Find]), and sends it requests ([Connection.Send],
// [Connection.Get], [Connection.List]) no faster than the server bears, again
// where that is safe, and with errors that say whether an object, a kind, a
// namespace or the whole cluster is concerned, and that repeat no value of a
// Secret. It knows nothing of apps, marks or ownership.
package cluster

import (
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Options configure a Connection. Its zero value works.
type Options struct {
	Concurrency int              // the most requests in flight at once; 0 means 16
	Timeout     time.Duration    // of one request; 0 means a minute
	Now         func() time.Time // nil means time.Now
	Throttled   func(Throttle)   // is told when the server pushes back; may be nil
	// Narrow returns the namespaces in which a kind is listed and watched that may not be
	// in the whole cluster; nil means none.
	Narrow func(schema.GroupKind) []string
}

// Throttle says how a Connection slows down.
type Throttle struct {
	Reason string        // such as "429" or "slow answers"
	Limit  int           // requests in flight from now on
	Wait   time.Duration // before the next request
}

// Connection is the way to one API server. It is safe for concurrent use.
type Connection struct {
	config   *rest.Config
	http     *http.Client
	rest     *rest.RESTClient
	metadata metadata.Interface
	dynamic  dynamic.Interface
	limiter  *limiter
	kinds    kinds
	timeout  time.Duration
	now      func() time.Time
	narrow   func(schema.GroupKind) []string
}

// statusCodecs decode what an API server says of an error.
var statusCodecs = func() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return serializer.NewCodecFactory(scheme)
}()

// New returns a connection. It sends no request.
func New(config *rest.Config, options Options) (*Connection, error) {
	if options.Concurrency == 0 {
		options.Concurrency = 16
	}
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Narrow == nil {
		options.Narrow = func(schema.GroupKind) []string { return nil }
	}
	c := &Connection{config: rest.CopyConfig(config), timeout: options.Timeout, now: options.Now, narrow: options.Narrow}
	c.config.QPS, c.config.RateLimiter = -1, nil // the limiter listens to the server instead
	c.config.Timeout = 0                         // watches last; requests have their own
	c.config.WarningHandler = rest.NoWarnings{}
	c.config.GroupVersion = &schema.GroupVersion{}
	c.config.NegotiatedSerializer = statusCodecs.WithoutConversion()
	var err error
	if c.http, err = rest.HTTPClientFor(c.config); err == nil {
		c.rest, err = rest.UnversionedRESTClientForConfigAndClient(c.config, c.http)
	}
	if err == nil {
		c.metadata, err = metadata.NewForConfigAndClient(c.config, c.http)
	}
	if err == nil {
		c.dynamic, err = dynamic.NewForConfigAndClient(c.config, c.http)
	}
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", config.Host, err)
	}
	c.limiter = newLimiter(options.Concurrency, options.Now, options.Throttled)
	c.kinds.connection = c
	return c, nil
}
