package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"nave.dev/internal/hub/calling"
	"nave.dev/internal/hub/dismissing"
	"nave.dev/internal/hub/marking"
	"nave.dev/internal/hub/told"
	"nave.dev/internal/people/gate"
	"nave.dev/internal/protocol"
	"nave.dev/internal/store"
	"nave.dev/internal/tunnel"
	"nave.dev/internal/tunnel/authority"
)

// agents is how a hub takes them.
type agents struct {
	authority *authority.Authority
	server    *tunnel.Server
	dismissed *dismissing.List
	marks     *marking.Marks
}

// takeAgents begins to listen for agents.
func (h *Hub) takeAgents(ctx context.Context) error {
	key, err := authority.Open(h.opts.Authority)
	if err != nil {
		return err
	}
	dismissed, err := dismissing.Read(ctx, h.store)
	if err != nil {
		return err
	}
	h.agents = &agents{authority: key, dismissed: dismissed, marks: &marking.Marks{Store: h.store, Authority: key, Log: h.opts.Log}}
	h.agents.server, err = tunnel.NewServer(tunnel.ServerOptions{
		Authority: key, Product: h.opts.Product, Now: h.opts.Now,
		Accepts: h.accepts, Used: h.enrols, Handler: h.agentCalls(), Linked: h.linked, Second: h.second,
		Refused: func(r tunnel.Refusal) {
			h.opts.Log.Warn("an agent was refused", "address", r.Address, "claims", r.Claimed.String(), "proven", r.Proven, "doing", r.Doing, "reason", r.Reason, "omitted", r.Omitted)
			if keeper := h.remoteOf(r.Claimed.Cluster); keeper != nil {
				keeper.turnAway(r.Reason)
			}
			h.audit.Refused(ctx, store.Entry{Action: r.Doing, Cluster: r.Claimed.Cluster, Address: r.Address}, told.FirstLine(r.Reason.Error()))
		},
		Enrolled: func(id tunnel.Identity, address string) {
			h.opts.Log.Info("an agent was enrolled", "cluster", id.Cluster, "identity", id.Number, "address", address)
		},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", h.opts.Agents)
	if err != nil {
		return fmt.Errorf("listening for agents: %w", err)
	}
	h.spokes.Go(func() {
		if err := h.agents.server.Serve(ctx, listener); err != nil {
			h.opts.Log.Error("agents cannot dial in", "error", err)
		}
	})
	h.opts.Log.Info("agents may dial in", "address", listener.Addr().String())
	return nil
}

// accepts says why an identity is not accepted, or nil.
func (h *Hub) accepts(id tunnel.Identity) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[id.Cluster]
	switch {
	case h.pinned == nil:
		return errors.New("the hub has not read the fleet repository yet")
	case h.pinned.Fleet.Name != "" && id.Fleet != h.pinned.Fleet.Name:
		return fmt.Errorf("the hub keeps the fleet %q", h.pinned.Fleet.Name)
	}
	if err := h.agents.dismissed.Check(id); err != nil {
		return err
	}
	switch {
	case m == nil:
		return fmt.Errorf("the fleet has no cluster %q\nhint: commit a Cluster of the name", id.Cluster)
	case id.Number < m.least:
		return fmt.Errorf("identity %d of %q is revoked: the fleet accepts %d and above\nhint: nave cluster join %s", id.Number, id.Cluster, m.least, id.Cluster)
	}
	if err := m.over(h.opts.Now()); err != nil {
		return err
	}
	if r, ok := m.spoke.(*remote); !ok {
		return fmt.Errorf("the cluster %q takes no agent: %s", id.Cluster, cmp.Or(m.err, "the hub has a kubeconfig of it"))
	} else if why := r.fenced(id); why != "" {
		return errors.New(why)
	}
	return nil
}

// enrols writes down that a token enrols a key.
func (h *Hub) enrols(ctx context.Context, token authority.Claims, key string) error {
	if err := h.accepts(tunnel.Identity{Fleet: token.Fleet, Cluster: token.Cluster, Number: token.Number}); err != nil {
		return err
	}
	if err := h.enrolmentWaits(func(string) bool { return true }); err != nil { // for the log
		return err
	}
	enrols := store.Entry{Actor: "agent", Action: "enrol", Cluster: token.Cluster}
	return h.audit.Do(ctx, enrols, func() (any, error) {
		err := h.store.UseToken(ctx, store.Token{ID: token.ID, Cluster: token.Cluster, Identity: token.Number, Key: key, End: token.Expires})
		return map[string]int64{"identity": token.Number}, err
	})
}

// expect has a cluster be kept by its agent.
func (h *Hub) expect(name string, m *member) {
	if r, ok := m.spoke.(*remote); ok && r != nil {
		return
	}
	if m.spoke != nil {
		m.end("")
	}
	ctx, stop := context.WithCancel(h.ctx)
	r := newRemote(h, name, ctx)
	r.Judge(h.judged)
	m.spoke, m.stop, m.done = r, stop, ctx.Done()
}

// remoteOf returns what keeps a cluster by its agent, or nil.
func (h *Hub) remoteOf(cluster string) *remote {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.members[cluster]; m != nil {
		if r, ok := m.spoke.(*remote); ok {
			return r
		}
	}
	return nil
}

// linked runs while an agent is connected.
func (h *Hub) linked(ctx context.Context, link *tunnel.Link) {
	if r := h.remoteOf(link.Identity().Cluster); r != nil {
		r.serve(ctx, link)
	}
}

// second decides about two processes that are connected for one cluster. Where both
// hold the lease of theirs, the cluster is there twice.
func (h *Hub) second(ctx context.Context, older, newer *tunnel.Link) {
	id := newer.Identity()
	r := h.remoteOf(id.Cluster)
	if older.Identity().Number != id.Number || r == nil {
		if older.Identity().Number > id.Number {
			newer.Close("the cluster has enrolled since")
			return
		}
		older.Close("the cluster has enrolled since")
		return
	}
	if calling.BothHold(ctx, older, newer) {
		why := fmt.Sprintf("two clusters use identity %d of %q: at %s and at %s\nhint: one was copied from the other; commit identity: %d in the Cluster, and enrol the right one with nave cluster join", id.Number, id.Cluster, older.Address(), newer.Address(), id.Number+1)
		r.fence(id, why)
		older.Close(why)
		newer.Close(why)
		return
	}
	older.Close("another process of this cluster has connected")
}

// agentCalls serves what agents ask of the hub.
func (h *Hub) agentCalls() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+protocol.ReportPath, func(w http.ResponseWriter, r *http.Request) {
		id, _ := tunnel.From(r.Context())
		report, err := protocol.ReadReport(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		keeper := h.remoteOf(id.Cluster)
		if keeper == nil {
			http.Error(w, "the hub does not keep this cluster by an agent", http.StatusConflict)
			return
		}
		mark := h.agents.marks.Compare(r.Context(), id.Cluster, report.Mark)
		answer(w, protocol.Taken{Whole: !keeper.take(r.Context(), report), Mark: mark})
	})
	mux.HandleFunc("GET "+protocol.BundlePath+"{digest}", h.serveBundle)
	return mux
}

// serveBundle gives an agent a bundle of its own cluster's assignment.
func (h *Hub) serveBundle(w http.ResponseWriter, r *http.Request) {
	id, _ := tunnel.From(r.Context())
	digest := r.PathValue("digest")
	keeper := h.remoteOf(id.Cluster)
	if keeper == nil || !keeper.has(digest) {
		http.Error(w, fmt.Sprintf("the cluster %q is not assigned the bundle %s", id.Cluster, digest), http.StatusForbidden)
		return
	}
	file, err := h.ledger.Compressed(digest)
	if errors.Is(err, fs.ErrNotExist) {
		h.mu.Lock()
		h.compiled = told.Compilation{}
		h.mu.Unlock()
		h.Trigger()
		http.Error(w, "the bundle is lost; the hub makes it again", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/gzip")
	http.ServeContent(w, r, "", time.Time{}, file)
}

// Joining is what a cluster joins with.
type Joining struct {
	Cluster string    `json:"cluster"`
	Token   string    `json:"token"`
	Roots   string    `json:"roots"` // PEM
	Number  int64     `json:"number"`
	Expires time.Time `json:"expires"`
}

// maxTokenLife bounds how long a token may wait to be used.
const maxTokenLife = 7 * 24 * time.Hour

// serveJoin makes a token for a cluster.
func (h *Hub) serveJoin(w http.ResponseWriter, r *http.Request) {
	var a Action
	if !readAction(w, r, &a) {
		return
	}
	if h.agents == nil {
		http.Error(w, "the hub takes no agents\nhint: nave hub --agents ADDRESS --authority DIR", http.StatusConflict)
		return
	}
	if a.For < 0 || a.For > maxTokenLife {
		http.Error(w, "a token lasts a week at most", http.StatusBadRequest)
		return
	}
	if !gate.From(r.Context()).May(a.Cluster, h.labels(a.Cluster)) {
		h.forbid(w, r, a)
		return
	}
	h.mu.Lock()
	pinned, m := h.pinned, h.members[a.Cluster]
	var least, connected int64
	if m != nil {
		least = m.least
		if keeper, ok := m.spoke.(*remote); ok {
			connected = keeper.identity()
		}
	}
	h.mu.Unlock()
	if m == nil {
		h.absent(w, a.Cluster)
		return
	}
	err := h.enrolmentWaits(h.sight(r))
	if pinned != nil {
		err = cmp.Or(h.agents.authority.Serves(pinned.Fleet.Name), err)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	enrolled, err := h.store.Identity(r.Context(), a.Cluster)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	number := max(least-1, connected, enrolled) + 1
	var token string
	var claims authority.Claims
	err = h.audit.Do(r.Context(), entry(r, a, a.Cluster), func() (_ any, err error) {
		if err = h.store.IssueToken(r.Context(), a.Cluster, number); err == nil {
			token, claims, err = h.agents.authority.Token(a.Cluster, number, a.For, h.opts.Now())
		}
		return map[string]any{"identity": number, "expires": claims.Expires}, err
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.opts.Log.Info("a token was made", "cluster", a.Cluster, "identity", number, "actor", a.Actor, "reason", a.Reason, "expires", claims.Expires)
	answer(w, Joining{Cluster: a.Cluster, Token: token, Roots: string(h.agents.authority.Roots()), Number: number, Expires: claims.Expires})
}

// revoke ends the connections of agents that the fleet no longer accepts.
func (h *Hub) revoke() {
	if h.agents != nil {
		h.agents.server.Recheck()
	}
}

// Agent is what is known of the agent of a cluster.
type Agent struct {
	Identity  int64     `json:"identity,omitempty"` // the number in its certificate
	Address   string    `json:"address,omitempty"`  // that it connected from, while it is
	Version   string    `json:"version,omitempty"`
	Connected time.Time `json:"connected,omitzero"` // since when; zero while it is not
	// CertificateEnd is when its certificate ends, as far as is known; it is renewed
	// after a third of its life.
	CertificateEnd time.Time `json:"certificateEnd,omitzero"`
	LastSeen       time.Time `json:"lastSeen,omitzero"`
}
