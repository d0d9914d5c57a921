package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"nave.dev/internal/app"
	"nave.dev/internal/hub/asking"
	"nave.dev/internal/hub/calling"
	"nave.dev/internal/live"
)

// questions serves what is asked of clusters as they are now.
func (h *Hub) questions(mux *http.ServeMux) {
	desk := asking.New(asked{h})
	mux.HandleFunc("GET /api/v1/live/{question}", desk.ServeQuestion)
	mux.HandleFunc("GET /api/v1/query", desk.ServeQuery)
}

// asked is the hub, as questions are put to it.
type asked struct{ *Hub }

// Ways implements asking.Fleet.
func (h asked) Ways(cluster string) (ways map[string]asking.Way, unreached map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ways, unreached = map[string]asking.Way{}, map[string]string{}
	for name, m := range h.members {
		if cluster != "" && cluster != name {
			continue
		}
		if r, ok := m.spoke.(*remote); ok {
			ways[name] = asking.Way{Put: r.put}
		} else if m.spoke != nil {
			ways[name] = asking.Way{Here: func() (*live.Cluster, error) { return h.nearby(name) }}
		} else {
			unreached[name] = m.err
		}
	}
	return ways, unreached
}

// Absent implements asking.Fleet.
func (h asked) Absent(w http.ResponseWriter, cluster string) { h.absent(w, cluster) }

// Sees implements asking.Fleet.
func (h asked) Sees(r *http.Request) func(cluster string) bool { return h.sight(r) }

// nearby returns what answers for a cluster that is kept from this process.
func (h *Hub) nearby(cluster string) (*live.Cluster, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[cluster]
	if m == nil || m.given == nil {
		return nil, fmt.Errorf("cluster %q has not been given what it should hold, and where values of Secrets are is not known yet", cluster)
	}
	if m.live != nil && m.asked == m.config {
		return m.live, nil
	}
	var config *rest.Config
	var err error
	if h.home != nil {
		config = h.home.Config()
	} else if config, err = clientcmd.RESTConfigFromKubeConfig([]byte(m.config)); err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %q: %w", cluster, err)
	}
	here, err := live.New(live.Options{Config: config, Metrics: h.opts.Metrics, Assigned: func() []app.Desired {
		h.mu.Lock()
		defer h.mu.Unlock()
		if m.given == nil {
			return nil
		}
		return m.given.Apps
	}})
	if err == nil {
		m.live, m.asked = here, m.config
	}
	return here, err
}

// put puts a question to the agent that is connected.
func (r *remote) put(ctx context.Context, question string, form url.Values) (*http.Response, error) {
	r.mu.Lock()
	link := r.link
	r.mu.Unlock()
	if link == nil {
		return nil, fmt.Errorf("cluster %s: its agent is not connected", r.cluster)
	}
	form.Del("cluster")
	return calling.Question(ctx, link, question, form)
}
