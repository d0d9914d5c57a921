package agent

import (
	"context"
	"errors"
	"fmt"

	"nave.dev/internal/app"
	"nave.dev/internal/kept"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

// refusedError is why the agent does not do what the hub asks, though it understood.
type refusedError struct{ error }

// give takes an assignment of the hub: once everything in it is here and is kept on
// the cluster, the spoke is given it.
func (a *agent) give(ctx context.Context, message protocol.Assignment) error {
	a.giving.Lock()
	defer a.giving.Unlock()
	a.mu.Lock()
	fleet, key, conn, sp, last := a.fleet, a.key, a.conn, a.spoke, a.assigned
	a.mu.Unlock()
	switch {
	case message.Cluster != a.opts.Cluster:
		return refusedError{fmt.Errorf("the assignment is that of the cluster %q, and the agent keeps %q", message.Cluster, a.opts.Cluster)}
	case sp == nil || message.Fleet != fleet:
		return refusedError{fmt.Errorf("the assignment is of the fleet %q, and the cluster of %q", message.Fleet, fleet)}
	case last != nil && message.Number < last.Number, message.Number < sp.State().Number:
		return refusedError{fmt.Errorf("assignment %d is older than %d, which the cluster has", message.Number, max(lastNumber(last), sp.State().Number))}
	}
	if last != nil && message.Key == key && message.Checks.Digest == a.checks {
		return nil // the answer to it was lost
	}
	bundles := map[string]*app.Bundle{}
	var missing []string
	for _, digest := range message.Bundles() {
		if bundle := a.bundles[digest]; bundle != nil {
			bundles[digest] = bundle
			continue
		}
		missing = append(missing, digest)
	}
	if conn == nil {
		return errors.New("there is no hub to fetch bundles from")
	}
	fetched, err := a.fetcher.Fetch(ctx, conn.Client(), missing)
	if err != nil {
		return err
	}
	for _, digest := range missing {
		if bundles[digest], err = protocol.DecodeBundle(fetched[digest], digest); err != nil {
			return err
		}
	}
	// What cannot be assigned is not kept: it would be in the way at every start.
	if _, err := message.Assigned(func(digest string) (*app.Bundle, error) { return bundles[digest], nil }); err != nil {
		return refusedError{err}
	}
	encoded := func(digest string) ([]byte, error) {
		if data := fetched[digest]; data != nil {
			return data, nil
		}
		return protocol.EncodeBundle(bundles[digest])
	}
	err = a.store.Keep(ctx, message, encoded)
	if errors.Is(err, kept.ErrOther) { // or this one, and it did not hear the answer
		found, _, ok, errLoad := a.store.Load(ctx)
		if errLoad == nil && (!ok || found.Number <= message.Number) {
			err = a.store.Keep(ctx, message, encoded)
		}
	}
	if err != nil {
		return err
	}
	a.fetcher.Forget()
	return a.assign(message, bundles)
}

func lastNumber(a *spoke.Assigned) int64 {
	if a == nil {
		return 0
	}
	return a.Number
}

// take starts with an assignment that the cluster keeps.
func (a *agent) take(ctx context.Context, message protocol.Assignment, bundles map[string]*app.Bundle) error {
	a.giving.Lock()
	defer a.giving.Unlock()
	if err := a.begin(ctx, message.Fleet); err != nil {
		return err
	}
	return a.assign(message, bundles)
}

// assign gives the spoke an assignment whose bundles are here. One that is missing
// puts its app in error, and what is on the cluster of it stays.
func (a *agent) assign(message protocol.Assignment, bundles map[string]*app.Bundle) error {
	assigned, err := message.Assigned(func(digest string) (*app.Bundle, error) {
		if bundle := bundles[digest]; bundle != nil {
			return bundle, nil
		}
		return nil, fmt.Errorf("the bundle %s that the cluster kept is damaged; the hub gives it again", digest)
	})
	if err != nil {
		return refusedError{err}
	}
	complete := len(bundles) == len(message.Bundles())
	a.mu.Lock()
	a.assigned, a.bundles, a.key = assigned, bundles, message.Key
	if !complete {
		a.key = "" // so that it is not taken for what the hub gave
	}
	for _, desired := range assigned.Apps {
		a.names[desired.Name] = true
	}
	sp := a.spoke
	a.mu.Unlock()
	a.judge(sp, message.Checks)
	sp.Assign(assigned)
	signal(a.news)
	return nil
}

// judge has the cluster judged by the fleet's own health checks. While one is in
// error those from before stay in force.
func (a *agent) judge(sp *spoke.Spoke, checks protocol.Checks) {
	if checks.Digest == a.checks {
		return
	}
	files, err := checks.Files()
	var checker spoke.Checker
	if err == nil {
		checker, err = spoke.NewChecker(files, ".")
	}
	a.mu.Lock() // for who reports
	a.checks = checks.Digest
	a.mu.Unlock()
	if err != nil {
		a.opts.Log.Error("the fleet's health checks are of no use", "error", err)
		return
	}
	sp.Judge(checker)
}
