package release

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// discoveryTimeout bounds a question about what the cluster serves, which all runs
// have in common.
const discoveryTimeout = time.Minute

// reach is the way to one cluster, and what is known of what it serves.
type reach struct {
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func newReach(config *rest.Config) (*reach, error) {
	r := &reach{config: rest.CopyConfig(config)}
	r.config.QPS, r.config.RateLimiter = -1, nil // priority and fairness listens to the server instead
	r.config.WarningHandler = rest.NoWarnings{}
	r.config.Timeout = 0 // watches last; a run ends them all
	short := rest.CopyConfig(r.config)
	short.Timeout = discoveryTimeout
	client, err := discovery.NewDiscoveryClientForConfig(short)
	if err != nil {
		return nil, err
	}
	r.discovery = memory.NewMemCacheClient(client)
	r.mapper = restmapper.NewDeferredDiscoveryRESTMapper(r.discovery)
	return r, nil
}

// forget has the cluster asked anew what it serves.
func (r *reach) forget() { r.mapper.Reset() }

// bound is the way to the cluster for one run: as the user that it impersonates, in a
// namespace, and until its context ends.
type bound struct {
	*reach
	config    *rest.Config
	namespace string
}

// bind returns the way for one run. Without a service account, as NAMESPACE/NAME, it
// is that of the client itself.
func (r *reach) bind(ctx context.Context, serviceAccount, namespace string) *bound {
	b := &bound{reach: r, config: rest.CopyConfig(r.config), namespace: namespace}
	if at, name, ok := strings.Cut(serviceAccount, "/"); ok {
		b.config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + at + ":" + name}
	}
	b.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &transport{ctx, next} })
	return b
}

// metadata returns a client that reads metadata alone.
func (b *bound) metadata() (metadata.Interface, error) { return metadata.NewForConfig(b.config) }

// ToRESTConfig implements the interface by which Helm finds its cluster.
func (b *bound) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(b.config), nil }

// ToDiscoveryClient implements it.
func (b *bound) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return b.discovery, nil
}

// ToRESTMapper implements it.
func (b *bound) ToRESTMapper() (meta.RESTMapper, error) { return b.mapper, nil }

// ToRawKubeConfigLoader implements it: all that is asked of it is the namespace.
func (b *bound) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: b.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}

// transport ends the requests of a run when the run ends, as Helm passes on no
// context, and lets no answer about a Secret repeat a value of it.
type transport struct {
	run  context.Context
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := t.run.Err(); err != nil {
		return nil, context.Cause(t.run)
	}
	ctx, cancel := context.WithCancelCause(request.Context())
	context.AfterFunc(t.run, func() { cancel(context.Cause(t.run)) })
	response, err := t.next.RoundTrip(request.WithContext(ctx))
	if err == nil && response.StatusCode >= 400 && aboutSecret(request.URL.Path) {
		scrub(response)
	}
	return response, err
}

// aboutSecret reports whether a path of the API is that of Secrets.
func aboutSecret(path string) bool {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	return len(parts) >= 5 && parts[0] == "api" && parts[2] == "namespaces" && parts[4] == "secrets"
}

// maxAnswer bounds an answer about an error, in bytes.
const maxAnswer = 1 << 20

// scrub takes the words out of an answer, which may quote what was refused.
func scrub(response *http.Response) {
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close()
	status := metav1.Status{}
	if err != nil || json.Unmarshal(data, &status) != nil {
		status = metav1.Status{Status: metav1.StatusFailure, Code: int32(response.StatusCode)}
	}
	status.APIVersion, status.Kind = "v1", "Status"
	switch status.Reason {
	case metav1.StatusReasonNotFound, metav1.StatusReasonAlreadyExists, metav1.StatusReasonForbidden:
	default:
		status.Message = fmt.Sprintf("the Secret is refused: %s (what the API server says of it may repeat its values)", reasonOf(status, response.StatusCode))
		if status.Details != nil {
			status.Details.Causes = nil
		}
	}
	if data, err = json.Marshal(status); err != nil {
		data = nil
	}
	response.Body = io.NopCloser(bytes.NewReader(data))
	response.ContentLength = int64(len(data))
	response.Header.Set("Content-Type", "application/json")
	response.Header.Del("Content-Length")
}

func reasonOf(status metav1.Status, code int) string {
	if status.Reason != "" {
		return string(status.Reason)
	}
	return http.StatusText(code)
}
