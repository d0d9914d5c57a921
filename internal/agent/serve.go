package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

// handler serves the hub's calls.
func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT "+protocol.AssignmentPath, func(w http.ResponseWriter, r *http.Request) {
		var message protocol.Assignment
		if err := protocol.Read(r.Body, &message); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, struct{}{}, a.give(r.Context(), message))
	})
	mux.HandleFunc("POST "+protocol.ActionPath, func(w http.ResponseWriter, r *http.Request) {
		var action protocol.Action
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&action); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, struct{}{}, a.act(r.Context(), action))
	})
	mux.HandleFunc("GET "+protocol.DiffPath, func(w http.ResponseWriter, r *http.Request) {
		sp, err := a.allows("diff")
		var diffs []spoke.AppDiff
		if err == nil {
			diffs, err = sp.Diff(r.Context(), r.FormValue("app"))
		}
		answer(w, diffs, err)
	})
	mux.HandleFunc("GET "+protocol.OrphansPath, func(w http.ResponseWriter, r *http.Request) {
		sp, err := a.allows("orphans")
		var orphans []spoke.Orphan
		if err == nil {
			orphans, err = sp.Orphans(r.Context())
		}
		answer(w, orphans, err)
	})
	mux.HandleFunc("GET "+protocol.LeasePath, func(w http.ResponseWriter, r *http.Request) {
		lease, err := a.lease(r.Context())
		answer(w, lease, err)
	})
	return mux
}

// allows returns the spoke for a request of the hub, or why it is not answered.
func (a *agent) allows(request string) (*spoke.Spoke, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case slices.Contains(a.opts.Refuse, request):
		return nil, refusedError{fmt.Errorf("the agent of %s does not answer %q by its own configuration", a.opts.Cluster, request)}
	case a.spoke == nil:
		return nil, refusedError{errors.New("the agent begins")}
	}
	return a.spoke, nil
}

// act does what an operator asks.
func (a *agent) act(ctx context.Context, action protocol.Action) error {
	if !slices.Contains(Requests, action.Do) {
		return refusedError{fmt.Errorf("the agent knows no action %q\nhint: it may be older than the hub", action.Do)}
	}
	sp, err := a.allows(action.Do)
	if err != nil {
		return err
	}
	a.opts.Log.Info("action", "do", action.Do, "app", action.App, "digest", action.Digest, "actor", action.Actor, "reason", action.Reason)
	switch action.Do {
	case protocol.Sync:
		err = sp.Sync(ctx, action.App)
	case protocol.RerunHooks:
		err = sp.RerunHooks(ctx, action.App)
	case protocol.Confirm:
		err = sp.Confirm(ctx, action.Digest)
	case protocol.Pause:
		err = sp.Pause(ctx, spoke.Pause{App: action.App, Until: action.Until, Actor: action.Actor, Reason: action.Reason})
	}
	if err != nil {
		return refusedError{err}
	}
	return nil
}

// lease tells whether this process may write to its cluster, and which that is.
func (a *agent) lease(ctx context.Context) (protocol.Lease, error) {
	a.mu.Lock()
	sp := a.spoke
	a.mu.Unlock()
	if sp == nil {
		return protocol.Lease{}, nil
	}
	namespace, err := a.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return protocol.Lease{}, err
	}
	return protocol.Lease{Held: sp.State().Writer, Cluster: string(namespace.UID)}, nil
}

// answer writes a value, or the error.
func answer(w http.ResponseWriter, value any, err error) {
	refused := refusedError{}
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.Error(), protocol.StatusRefused)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(value)
	}
}

// listen serves /healthz: the process is well, whether or not there is a hub.
func (a *agent) listen(ctx context.Context) error {
	if a.opts.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", a.opts.Listen)
	if err != nil {
		return fmt.Errorf("listening for health: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		connected := a.conn != nil
		a.mu.Unlock()
		answer(w, map[string]bool{"connected": connected}, nil)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	a.spokes.Go(func() {
		defer stop()
		server.Serve(listener)
	})
	return nil
}
