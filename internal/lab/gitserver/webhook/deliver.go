package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	maxAttempts    = 8 // half a minute of retries with the default backoff
	maxBackoff     = 16 * time.Second
	attemptTimeout = 10 * time.Second
)

var errAttemptTimeout = fmt.Errorf("no answer within %s", attemptTimeout)

// newClient returns the client for webhooks: straight to the hook, with no proxy, and never on to where an answer
// redirects.
func newClient(allowRemote bool) *http.Client {
	dialer := &net.Dialer{}
	if !allowRemote {
		dialer.Control = controlLoopback
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Deliver sends events to hooks until the context ends, then returns nil once nothing is in flight. Hooks do not wait
// for each other; each receives its events in order, and an event again if the context ended while it was on its way.
// What is left undelivered waits for the next Deliver. Only one may run at a time; a second returns an error.
func (o *Outbox) Deliver(ctx context.Context) error {
	if !o.delivering.TryLock() {
		return errors.New("delivering webhooks: already being done")
	}
	defer o.delivering.Unlock()
	defer o.client.CloseIdleConnections()

	var workers sync.WaitGroup
	defer workers.Wait()
	running := map[*hookQueue]context.CancelFunc{}
	for {
		queues, changed := o.current()
		for q, stop := range running {
			if !slices.Contains(queues, q) {
				stop()
				delete(running, q)
			}
		}
		for _, q := range queues {
			if running[q] == nil {
				ctx, stop := context.WithCancel(ctx)
				running[q] = stop
				workers.Go(func() { o.drain(ctx, q) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// drain delivers what is in a queue, in order, until the context ends. An event leaves the queue when it is done
// with, so one that the end of the context interrupts is there for the next worker.
func (o *Outbox) drain(ctx context.Context, q *hookQueue) {
	wait := o.opts.Backoff
	for ctx.Err() == nil {
		item, hook := o.first(q)
		if item == nil {
			select {
			case <-ctx.Done():
			case <-q.wake:
			}
			continue
		}
		result := o.attempt(ctx, item, hook)
		if ctx.Err() != nil {
			return
		}
		if o.settle(q, item, result) {
			wait = o.opts.Backoff
			continue
		}
		pause(ctx, wait)
		wait = min(2*wait, maxBackoff)
	}
}

// result is the outcome of one attempt.
type result struct {
	status int // 0 if there was no answer
	err    error
	retry  bool // if err, whether another attempt may end better
	took   time.Duration
}

// attempt posts an event once.
func (o *Outbox) attempt(ctx context.Context, item *queued, hook Hook) result {
	started := time.Now()
	status, err := o.post(ctx, item, hook)
	r := result{status: status, err: err, took: time.Since(started)}
	switch {
	case err != nil:
		r.retry = true
	case status < 200 || status > 299:
		r.err = fmt.Errorf("webhook answered %d %s", status, http.StatusText(status))
		r.retry = status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
	}
	return r
}

func (o *Outbox) post(ctx context.Context, item *queued, hook Hook) (status int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, errAttemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(item.event.Payload))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "nave-lab")
	request.Header.Set("X-GitHub-Event", item.event.Name)
	request.Header.Set("X-GitHub-Delivery", item.id)
	if hook.Secret != "" {
		request.Header.Set("X-Hub-Signature-256", sign(hook.Secret, item.event.Payload))
	}
	response, err := o.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		var atURL *url.Error
		if errors.As(err, &atURL) {
			err = atURL.Err // the delivery has the URL
		}
		return 0, err
	}
	defer response.Body.Close()
	// Reading a short answer to its end lets the connection be used again.
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10)
	return response.StatusCode, nil
}

// sign returns the signature of a payload in the form of GitHub's X-Hub-Signature-256 header.
func sign(secret string, payload []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(payload)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// pause waits, at most until the context ends.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
