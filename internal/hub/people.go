package hub

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/desired"
	"nave.dev/internal/hub/marking"
	"nave.dev/internal/people"
	"nave.dev/internal/people/audit"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/spoke"
	"nave.dev/internal/store"
	"nave.dev/internal/tunnel/authority"
)

// People is how a hub takes calls over a network.
type People struct {
	// API is the address at which people reach the hub over TLS; empty takes none.
	API string
	// Names by which they do, for a certificate that the fleet's authority makes. None
	// are the host of API.
	Names []string
	// CertFile and KeyFile are a certificate of one's own in its place, read again when
	// they change.
	CertFile, KeyFile string
}

// needs is what the calls of the API ask for. Others, those of the profiles among
// them, are for admins of all clusters.
var needs = map[string]gate.Need{
	"GET /api/v1/fleet":           {Role: v1alpha1.RoleViewer},
	"GET /api/v1/events":          {Role: v1alpha1.RoleViewer},
	"GET /api/v1/history":         {Role: v1alpha1.RoleViewer},
	"GET /api/v1/diff":            {Role: v1alpha1.RoleViewer},
	"GET /api/v1/live/{question}": {Role: v1alpha1.RoleOperator}, // logs say anything, and objects are all there are
	"GET /api/v1/query":           {Role: v1alpha1.RoleViewer},
	"GET /api/v1/orphans":         {Role: v1alpha1.RoleViewer},
	"GET /api/v1/audit":           {Role: v1alpha1.RoleViewer},
	"POST /api/v1/refresh":        {Role: v1alpha1.RoleOperator},
	"POST /api/v1/sync":           {Role: v1alpha1.RoleOperator},
	"POST /api/v1/pause":          {Role: v1alpha1.RoleOperator},
	"POST /api/v1/confirm":        {Role: v1alpha1.RoleApprover},
	"POST /api/v1/join":           {Role: v1alpha1.RoleAdmin},
	"POST /api/v1/remove":         {Role: v1alpha1.RoleAdmin},
	"POST /api/v1/renew":          {Role: v1alpha1.RoleAdmin},
}

// meet makes ready what knows people and writes down what they do.
func (h *Hub) meet() {
	h.audit = audit.New(audit.Options{Store: h.store, Now: h.opts.Now, Problem: func(err error) {
		h.opts.Log.Error("writing down what was done", "error", err)
	}})
	h.gate = &gate.Gate{Needs: needs, Audit: h.audit, Labels: h.labels, Policy: func() people.Policy {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.policy
	}}
	if h.opts.People.API == "" {
		return
	}
	h.gate.People = people.Open(people.Options{
		Dir: h.opts.Authority, Logins: filepath.Join(h.opts.Dir, "logins.json"), Now: h.opts.Now,
		Problem: func(err error) { h.opts.Log.Error("who may use the hub stays as it was", "error", err) },
	})
}

// allow has the rights of groups be those of the head of the fleet branch, unless that
// cannot be told. The hub is locked.
func (h *Hub) allow(pinned *desired.Pinned) {
	if pinned.Fleet.Name == "" {
		return
	}
	policy, err := people.NewPolicy(pinned.Fleet.Access)
	if err != nil {
		h.opts.Log.Error("who may do what stays as it was", "error", err)
		return
	}
	h.policy = policy
}

// labels are those of a cluster of the fleet.
func (h *Hub) labels(cluster string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.members[cluster]; m != nil {
		return m.labels
	}
	return nil
}

// serveAPI answers people over TLS.
func (h *Hub) serveAPI(ctx context.Context, mux *http.ServeMux) error {
	certificate, about, err := h.certificate()
	if err != nil {
		return err
	}
	if _, err := certificate(nil); err != nil {
		return fmt.Errorf("the certificate of the API: %w", err)
	}
	listener, err := net.Listen("tcp", h.opts.People.API)
	if err != nil {
		return fmt.Errorf("listening for people: %w", err)
	}
	h.spokes.Go(func() {
		if err := gate.Serve(ctx, listener, certificate, h.gate.Remote(mux), h.opts.Log); err != nil {
			h.opts.Log.Error("people cannot reach the hub", "error", err)
		}
	})
	h.opts.Log.Info("people may log in", "address", listener.Addr().String(), "certificate", about)
	return nil
}

// certificate returns what the API shows, and what people compare it by.
func (h *Hub) certificate() (gate.Certificate, string, error) {
	p := h.opts.People
	if p.CertFile != "" {
		files := &gate.Files{CertFile: p.CertFile, KeyFile: p.KeyFile}
		return files.Certificate, p.CertFile, nil
	}
	var err error
	if h.agents != nil {
		h.shown = h.agents.authority
	} else if h.shown, err = authority.Open(h.opts.Authority); err != nil {
		return nil, "", err
	}
	key := h.shown
	names := p.Names
	if len(names) == 0 {
		host, _, err := net.SplitHostPort(p.API)
		if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
			return nil, "", fmt.Errorf("by which name do people reach %s?\nhint: nave hub --api-name hub.example.com", p.API)
		}
		names = []string{host}
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return key.Named(names, h.opts.Now()) }, key.Fingerprint(), nil
}

// seenBy returns what of the fleet somebody may know: of other clusters nothing. What
// is said of the repository is for all.
func (f Fleet) seenBy(c gate.Caller) Fleet {
	if c.Everywhere(v1alpha1.RoleViewer) {
		return f
	}
	f.Clusters = slices.DeleteFunc(slices.Clone(f.Clusters), func(cluster Cluster) bool { return !c.Sees(cluster.Cluster, cluster.Labels) })
	if f.Recovering != nil {
		f.Recovering = &marking.Recovering{Why: "the database may lack what happened", Awaited: slices.DeleteFunc(slices.Clone(f.Recovering.Awaited), func(name string) bool {
			return !slices.ContainsFunc(f.Clusters, func(c Cluster) bool { return c.Cluster == name })
		})}
	}
	f.sum()
	return f
}

// sum says what the clusters come to together.
func (f *Fleet) sum() {
	f.Sync = spoke.Synced
	if len(f.Clusters) == 0 {
		f.Sync = spoke.Unknown
	}
	var states []spoke.State
	for _, c := range f.Clusters {
		if !c.Online || c.Sync != spoke.Synced {
			f.Sync = spoke.OutOfSync
		}
		states = append(states, c.State)
	}
	f.Health = spoke.FleetHealth(states)
}

// sight returns of which clusters the caller of a request may know. What is of no
// cluster, or of one that has left the fleet, is for those who see all.
func (h *Hub) sight(r *http.Request) func(cluster string) bool {
	caller, known := gate.From(r.Context()), map[string]bool{}
	return func(cluster string) bool {
		if sees, asked := known[cluster]; asked {
			return sees
		}
		known[cluster] = cluster == "" && caller.Everywhere(v1alpha1.RoleViewer) || cluster != "" && caller.Sees(cluster, h.labels(cluster))
		return known[cluster]
	}
}

// forbid answers that the caller may not do what was asked for on a cluster.
func (h *Hub) forbid(w http.ResponseWriter, r *http.Request, a Action) {
	caller := gate.From(r.Context())
	lacks := caller.Lacks("on the cluster "+strconv.Quote(a.Cluster), caller.Rights.On(a.Cluster, h.labels(a.Cluster)))
	h.gate.Forbid(w, r, caller, store.Entry{Cluster: a.Cluster, App: a.App, Reason: a.Reason}, lacks)
}

// entry is what is written down of an action on a cluster.
func entry(r *http.Request, a Action, cluster string) store.Entry {
	name := gate.Action(r)
	if a.RerunHooks {
		name = "rerun-hooks"
	}
	return store.Entry{Actor: a.Actor, Action: name, Cluster: cluster, App: a.App, Reason: a.Reason, Address: gate.From(r.Context()).Address}
}
