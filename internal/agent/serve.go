package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

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
	mux.HandleFunc("GET "+protocol.AskPath+"{question}", a.ask)
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

// maxLogged is how much of a question is logged.
const maxLogged = 500

// ask answers a question about the cluster. What values of Secrets are in is known
// from the assignment, so that nothing is shown before there is one.
func (a *agent) ask(w http.ResponseWriter, r *http.Request) {
	question := r.PathValue("question")
	_, err := a.allows(question)
	a.mu.Lock()
	assigned := a.assigned != nil
	a.mu.Unlock()
	if err == nil && !assigned {
		err = refusedError{errors.New("the agent has not been given what its cluster should hold, and does not know yet where values of Secrets are")}
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	a.opts.Log.Info("asked", "question", question, "form", fmt.Sprintf("%.*s", maxLogged, r.URL.RawQuery))
	a.live.Serve(question, w, r)
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
	case protocol.Renew:
		err = a.renew(ctx)
	case protocol.Pause:
		err = sp.Pause(ctx, spoke.Pause{App: action.App, Until: action.Until, Actor: action.Actor, Reason: action.Reason})
	}
	if err != nil {
		return refusedError{err}
	}
	return nil
}

// renew gets a new certificate.
func (a *agent) renew(ctx context.Context) error {
	a.mu.Lock()
	conn := a.conn
	a.mu.Unlock()
	if conn == nil {
		return errors.New("the connection to the hub ends")
	}
	_, err := conn.Renew(ctx)
	return err
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
