// Package fetch gets bundles from a hub over a connection that may be slow and may
// break at any byte. A Fetcher goes on where it was: with the rest of a bundle, and
// in the next attempt at an assignment with those that it lacks, so that any
// connection that brings something at all brings everything in the end. It knows
// bundles by their digests, and does not read them.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// atOnce is how many bundles are on their way at a time: a few, so that the time of
	// a round trip does not count for each.
	atOnce = 4
	// attempts is how often in a row a bundle is asked for in vain.
	attempts = 8
	// firstWait is before the second of them; it doubles up to lastWait.
	firstWait = 200 * time.Millisecond
	lastWait  = 10 * time.Second
	// idle is how long a connection may bring nothing.
	idle = time.Minute
)

var errIdle = fmt.Errorf("nothing came within %s", idle)

// RefusedError says that the hub does not give a bundle, and asking again would
// not help.
type RefusedError struct {
	Digest string
	Reason string
}

// Error names the bundle and the reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("fetching the bundle %s: %s", e.Digest, e.Reason)
}

// Fetcher gets bundles and remembers what it has of them, until Forget. It is for
// one goroutine.
type Fetcher struct {
	URL string // before a digest
	// Check says what is wrong with the content of a bundle, which is then thrown away.
	Check func(data []byte, digest string) error
	Most  int // bytes of a bundle, as it is sent

	parts map[string]*part
}

// part is what there is of a bundle.
type part struct {
	data  []byte
	whole bool
}

// Fetch returns bundles by their digests, as the hub sends them. What it already
// has it does not ask for, and what it has of others it drops. One that the hub
// refuses does not keep the others from being fetched; each such one is a
// RefusedError in the error.
func (f *Fetcher) Fetch(ctx context.Context, client *http.Client, digests []string) (map[string][]byte, error) {
	parts := map[string]*part{}
	for _, digest := range digests {
		if parts[digest] = f.parts[digest]; parts[digest] == nil {
			parts[digest] = &part{}
		}
	}
	f.parts = parts
	queue := make(chan string, len(parts))
	for _, digest := range slices.Sorted(maps.Keys(parts)) {
		queue <- digest
	}
	close(queue)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		refused []error
	)
	for range min(atOnce, len(parts)) {
		group.Go(func() {
			for digest := range queue {
				err := f.bring(ctx, client, digest, parts[digest])
				reason := (*RefusedError)(nil)
				switch {
				case err == nil:
				case errors.As(err, &reason):
					mu.Lock()
					refused = append(refused, err)
					mu.Unlock()
				default: // no way to the hub for this one is none for the others
					stop(fmt.Errorf("fetching the bundle %s: %w", digest, err))
					return
				}
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(refused) > 0 {
		return nil, errors.Join(refused...)
	}
	found := make(map[string][]byte, len(parts))
	for digest, p := range parts {
		found[digest] = p.data
	}
	return found, nil
}

// Forget drops what there is of bundles, once it is kept elsewhere.
func (f *Fetcher) Forget() { f.parts = nil }

// bring gets what is missing of a bundle. Attempts that come further than those
// before do not count; one that begins anew does, until it is further.
func (f *Fetcher) bring(ctx context.Context, client *http.Client, digest string, p *part) error {
	wait, furthest := firstWait, len(p.data)
	for failures := 0; !p.whole; {
		err := f.rest(ctx, client, digest, p)
		if err == nil {
			if err = f.Check(p.data, digest); err == nil {
				p.whole = true
				return nil
			}
			p.data = nil // from halves of different wholes, if not worse
		}
		reason := (*RefusedError)(nil)
		switch {
		case errors.As(err, &reason):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case len(p.data) > furthest:
			failures, wait, furthest = 0, firstWait, len(p.data)
			continue
		}
		if failures++; failures == attempts {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		wait = min(2*wait, lastWait)
	}
	return nil
}

// rest asks for what is missing of a bundle, and adds what comes of it.
func (f *Fetcher) rest(ctx context.Context, client *http.Client, digest string, p *part) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watch := time.AfterFunc(idle, func() { stop(errIdle) })
	defer watch.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL+digest, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept-Encoding", "identity") // ranges are of the bytes as they are
	if len(p.data) > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", len(p.data)))
	}
	answer, err := client.Do(request)
	if err != nil {
		return because(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusRequestedRangeNotSatisfiable && answer.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", len(p.data)) {
		return nil // all was there, and only its end was lost
	}
	if err := f.begin(answer, digest, p); err != nil {
		return err
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := answer.Body.Read(buffer)
		watch.Reset(idle)
		if len(p.data)+n > f.Most {
			p.data = nil
			return &RefusedError{digest, fmt.Sprintf("it has more than %d bytes", f.Most)}
		}
		p.data = append(p.data, buffer[:n]...)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return because(ctx, err)
		}
	}
}

// begin makes a part ready for the body of an answer.
func (f *Fetcher) begin(answer *http.Response, digest string, p *part) error {
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		p.data = nil // all of it, whatever was asked for
		return nil
	case code == http.StatusPartialContent: // of other bytes, if the hub is wrong, Check tells
		return nil
	case code == http.StatusRequestedRangeNotSatisfiable:
		p.data = nil
		return errors.New("the hub has another content than before")
	default:
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // only for words
		reason := fmt.Sprintf("the hub answered %s: %s", answer.Status, strings.TrimSpace(string(text)))
		if code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout {
			return errors.New(reason)
		}
		return &RefusedError{digest, reason}
	}
}

// because returns why a request ended, if it was ended here.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
