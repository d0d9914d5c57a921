// Package alone keeps one cluster without a hub beside it. A Home is the cluster with
// what it keeps of its last assignment, so that a process that starts with an empty
// disk goes on while Git is away; a Keeper is a spoke whose assignments the cluster
// keeps before they are accepted.
package alone

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/app"
	"nave.dev/internal/kept"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

// Cluster is the one that is kept.
type Cluster struct {
	Name   string // in the fleet repository
	Config *rest.Config
}

// Home is a cluster and what it keeps.
type Home struct {
	// Writer names this process among those that may want to write to the cluster.
	Writer  string
	cluster Cluster
	log     *slog.Logger
	using   sync.Mutex // held by who uses store
	store   *kept.Store
}

// New returns the Home of a cluster. It asks nothing yet.
func New(cluster Cluster, log *slog.Logger) (*Home, error) {
	client, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		return nil, fmt.Errorf("reaching the cluster %q: %w", cluster.Name, err)
	}
	return &Home{Writer: rand.Text(), cluster: cluster, log: log, store: kept.New(client)}, nil
}

// Config returns the way to the cluster for a spoke.
func (h *Home) Config() *rest.Config {
	config := rest.CopyConfig(h.cluster.Config)
	config.QPS, config.UserAgent = -1, "nave"
	return config
}

// Waits until the cluster is asked again.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// timeout bounds one use of what the cluster keeps.
const timeout = time.Minute

var errTimeout = fmt.Errorf("no answer within %s", timeout)

// Load returns what the cluster keeps, once it answers; the assignment is nil if that
// is nothing, or of no use. A cluster that keeps what another was given is an error.
func (h *Home) Load(ctx context.Context) (protocol.Assignment, *spoke.Assigned, error) {
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		message, bundles, ok, err := h.load(ctx)
		switch {
		case err == nil && !ok:
			return message, nil, nil
		case err == nil && message.Cluster != h.cluster.Name:
			return message, nil, fmt.Errorf("the cluster keeps what was given to the cluster %q, and the agent is that of %q\nhint: a cluster that is to have another name: delete the secrets labelled nave.dev/kept in %s", message.Cluster, h.cluster.Name, spoke.Namespace)
		case err == nil:
			assigned, err := message.Assigned(func(digest string) (*app.Bundle, error) {
				if bundle := bundles[digest]; bundle != nil {
					return bundle, nil
				}
				return nil, fmt.Errorf("the bundle %s that the cluster kept is damaged; it is made again from Git", digest)
			})
			if err != nil {
				h.log.Error("what the cluster keeps is of no use", "error", err)
				return message, nil, nil
			}
			return message, assigned, nil
		}
		h.log.Error("the cluster does not say what it keeps", "error", err, "next", retry)
		timer := time.NewTimer(retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return message, nil, context.Cause(ctx)
		}
	}
}

// load is one attempt. What is there and cannot be read counts as nothing.
func (h *Home) load(ctx context.Context) (protocol.Assignment, map[string]*app.Bundle, bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	h.using.Lock()
	defer h.using.Unlock()
	message, bundles, ok, err := h.store.Load(ctx)
	if _, damaged := errors.AsType[*kept.DamageError](err); damaged {
		h.log.Error("what the cluster keeps is of no use", "error", err)
		err = nil
	}
	return message, bundles, ok, err
}

// keep has the cluster keep an assignment that comes after the one of a number. What
// another process had the cluster accept since then has a higher number, and is not
// gone back behind.
func (h *Home) keep(ctx context.Context, a *spoke.Assigned, after int64, checks protocol.Checks) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	bundles := map[string]*app.Bundle{}
	for _, desired := range a.Apps {
		if desired.Bundle != nil {
			bundles[desired.Bundle.Digest] = desired.Bundle
		}
	}
	encoded := func(digest string) ([]byte, error) { return protocol.EncodeBundle(bundles[digest]) }
	message := protocol.NewAssignment(a, "", checks)
	message.Number = after
	h.using.Lock()
	defer h.using.Unlock()
	err := h.store.Keep(ctx, message, encoded)
	if errors.Is(err, kept.ErrOther) { // who kept it does not hold the lease now
		if _, _, _, errLoad := h.store.Load(ctx); errLoad == nil {
			err = h.store.Keep(ctx, message, encoded)
		}
	}
	return err
}
