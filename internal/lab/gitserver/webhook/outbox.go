// Package webhook sends events to HTTP receivers in the form that GitHub uses for its webhooks: a POST of JSON with
// the event's name, an id, and an HMAC signature in the headers. [Outbox] queues events per receiver, delivers them in
// order with a few retries, and keeps a record to look at. It knows nothing of what an event says, keeps nothing on
// disk, and unless told otherwise sends nothing to another machine.
package webhook

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	maxRecorded = 100
	maxQueued   = 256 // events that wait for one hook
)

// State is how far a delivery is.
type State string

// The states of a delivery. The last three are final.
const (
	Pending   State = "pending"   // waits for its first or next attempt
	Delivered State = "delivered" // the hook answered 2xx
	Failed    State = "failed"    // the hook refused it, or all attempts failed
	Dropped   State = "dropped"   // its hook was removed, or had too many events waiting
)

// Delivery is the record of one event for one hook.
type Delivery struct {
	ID         string        `json:"id"`  // sent as X-GitHub-Delivery, the same in every attempt
	URL        string        `json:"url"` // of the hook, with a password in it blanked
	Event      string        `json:"event"`
	Repository string        `json:"repository"`
	Ref        string        `json:"ref"`
	Before     string        `json:"before"`
	After      string        `json:"after"`
	State      State         `json:"state"`
	Attempts   int           `json:"attempts"`
	Status     int           `json:"status,omitempty"`     // of the last attempt's answer; 0 if there was none
	Error      string        `json:"error,omitempty"`      // of the last attempt
	Duration   time.Duration `json:"durationNs,omitempty"` // of the last attempt
	Queued     time.Time     `json:"queued"`
}

// Event is what is sent to hooks.
type Event struct {
	Name    string // kind of event, such as "push"
	Payload []byte // JSON; not changed after Enqueue

	// What the event is about, for the record.
	Repository, Ref, Before, After string
}

// Options say how an Outbox delivers. The zero value works.
type Options struct {
	// AllowRemote lets hooks name hosts that are not on this machine's loopback.
	AllowRemote bool

	// Backoff is the wait before a failed delivery is tried again, doubled with every further attempt up to 16 s;
	// 0 means 250 ms.
	Backoff time.Duration

	// Delivered, if set, is called after every attempt and when an event is dropped, on the goroutine that did it.
	Delivered func(Delivery)
}

// Outbox holds the events that wait for each hook and the record of what became of them. Each hook has a queue of its
// own, bounded, so that one that is down costs the others nothing and the sender little. It may be used by several
// goroutines, and owns none but those of Deliver.
type Outbox struct {
	opts       Options
	client     *http.Client
	delivering sync.Mutex // held by the one Deliver

	mu      sync.Mutex
	queues  []*hookQueue
	changed chan struct{} // closed when queues is replaced
	record  []*Delivery   // oldest first, at most maxRecorded
}

type hookQueue struct {
	url    string
	secret string
	items  []*queued
	wake   chan struct{} // has room for one; filled when items come
}

// queued is an event for one hook. The outbox's lock guards what the delivery points to.
type queued struct {
	id       string
	event    Event
	delivery *Delivery
}

// New returns an outbox without hooks.
func New(opts Options) *Outbox {
	if opts.Backoff == 0 {
		opts.Backoff = 250 * time.Millisecond
	}
	return &Outbox{opts: opts, client: newClient(opts.AllowRemote), changed: make(chan struct{})}
}

// SetHooks replaces the hooks. A hook whose URL stays keeps the events that wait for it and uses its new secret from
// the next attempt on; what waits for a hook that is gone is dropped. All problems are reported at once, and then
// nothing changes.
func (o *Outbox) SetHooks(hooks []Hook) error {
	if err := Validate(hooks, o.opts.AllowRemote); err != nil {
		return fmt.Errorf("setting webhooks: %w", err)
	}
	o.mu.Lock()
	queues := make([]*hookQueue, 0, len(hooks))
	for _, h := range hooks {
		i := slices.IndexFunc(o.queues, func(q *hookQueue) bool { return q.url == h.URL })
		q := &hookQueue{url: h.URL, wake: make(chan struct{}, 1)}
		if i >= 0 {
			q = o.queues[i]
		}
		q.secret = h.Secret
		queues = append(queues, q)
	}
	var dropped []Delivery
	for _, q := range o.queues {
		if slices.Contains(queues, q) {
			continue
		}
		for _, item := range q.items {
			item.delivery.State, item.delivery.Error = Dropped, "webhook was removed"
			dropped = append(dropped, *item.delivery)
		}
		q.items = nil
	}
	o.queues = queues
	close(o.changed)
	o.changed = make(chan struct{})
	o.mu.Unlock()
	o.tell(dropped...)
	return nil
}

// HasHooks reports whether anyone would receive an event.
func (o *Outbox) HasHooks() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queues) > 0
}

// current returns the queues and the channel that is closed when there are others.
func (o *Outbox) current() ([]*hookQueue, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queues, o.changed
}

// Enqueue gives an event to every hook. It never waits.
func (o *Outbox) Enqueue(e Event) {
	o.mu.Lock()
	var dropped []Delivery
	for _, q := range o.queues {
		id := newID()
		item := &queued{id: id, event: e, delivery: &Delivery{
			ID: id, URL: redact(q.url), Event: e.Name,
			Repository: e.Repository, Ref: e.Ref, Before: e.Before, After: e.After,
			State: Pending, Queued: time.Now(),
		}}
		if len(q.items) < maxQueued {
			q.items = append(q.items, item)
			select {
			case q.wake <- struct{}{}:
			default:
			}
		} else {
			item.delivery.State, item.delivery.Error = Dropped, "too many events wait for this webhook"
			dropped = append(dropped, *item.delivery)
		}
		o.record = append(o.record, item.delivery)
	}
	if extra := len(o.record) - maxRecorded; extra > 0 {
		o.record = slices.Delete(o.record, 0, extra)
	}
	o.mu.Unlock()
	o.tell(dropped...)
}

// first returns what is next in a queue, or nil, and the hook as it is now.
func (o *Outbox) first(q *hookQueue) (*queued, Hook) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(q.items) == 0 {
		return nil, Hook{}
	}
	return q.items[0], Hook{URL: q.url, Secret: q.secret}
}

// settle records an attempt and reports whether the event is done with, in which case it leaves the queue.
func (o *Outbox) settle(q *hookQueue, item *queued, r result) (done bool) {
	o.mu.Lock()
	if len(q.items) == 0 || q.items[0] != item {
		o.mu.Unlock()
		return true // its hook was removed during the attempt, and the record says so
	}
	d := item.delivery
	d.Attempts++
	d.Status, d.Duration, d.Error = r.status, r.took, ""
	switch {
	case r.err == nil:
		d.State = Delivered
	case !r.retry || d.Attempts >= maxAttempts:
		d.State = Failed
	}
	if r.err != nil {
		d.Error = r.err.Error()
	}
	done = d.State != Pending
	if done {
		q.items = slices.Delete(q.items, 0, 1)
	}
	told := *d
	o.mu.Unlock()
	o.tell(told)
	return done
}

// Deliveries returns the last 100 deliveries, newest first, those that still wait among them.
func (o *Outbox) Deliveries() []Delivery {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]Delivery, 0, len(o.record))
	for _, d := range slices.Backward(o.record) {
		list = append(list, *d)
	}
	return list
}

// tell calls the listener, never with the lock held, so that it may ask the outbox.
func (o *Outbox) tell(deliveries ...Delivery) {
	if o.opts.Delivered == nil {
		return
	}
	for _, d := range deliveries {
		o.opts.Delivered(d)
	}
}

func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// newID returns a random UUID (RFC 9562, version 4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the program instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
