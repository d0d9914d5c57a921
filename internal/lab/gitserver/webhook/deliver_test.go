package webhook

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// post is what a test's receiver got.
type post struct {
	id, signature, body string
}

// receiver answers with a status of the caller's choice and passes on what it got.
func receiver(t *testing.T, status func(n int) int) (url string, posts <-chan post) {
	t.Helper()
	received := make(chan post, 1000)
	var mu sync.Mutex
	var n int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading event: %v", err)
		}
		mu.Lock()
		n++
		code := status(n)
		mu.Unlock()
		if code/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(code)
		received <- post{id: r.Header.Get("X-GitHub-Delivery"), signature: r.Header.Get("X-Hub-Signature-256"), body: string(body)}
	}))
	t.Cleanup(server.Close)
	return server.URL, received
}

// receive takes what comes next from a channel, and fails the test if nothing does.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(3 * time.Minute):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func always(status int) func(int) int { return func(int) int { return status } }

// firstly answers with a status the first few times, and with 200 from then on.
func firstly(times, status int) func(int) int {
	return func(n int) int {
		if n <= times {
			return status
		}
		return 200
	}
}

// newOutbox returns an outbox that retries at once, and what its listener is told.
func newOutbox(t *testing.T, hooks ...Hook) (*Outbox, <-chan Delivery) {
	t.Helper()
	told := make(chan Delivery, 1000)
	o := New(Options{Backoff: time.Millisecond, Delivered: func(d Delivery) { told <- d }})
	if err := o.SetHooks(hooks); err != nil {
		t.Fatal(err)
	}
	return o, told
}

// start runs Deliver until the returned function is called, which waits for its end.
func start(t *testing.T, o *Outbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Deliver(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Deliver: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func event(n int) Event {
	return Event{Name: "push", Payload: fmt.Appendf(nil, `{"n":%d}`, n), Repository: "fleet", Ref: "refs/heads/main", After: fmt.Sprint(n)}
}

func TestAnswers(t *testing.T) {
	cases := []struct {
		reason   string
		status   func(int) int
		state    State
		attempts int
		last     int
		says     string
	}{
		{"taken", always(200), Delivered, 1, 200, ""},
		{"taken, as some say it", always(204), Delivered, 1, 204, ""},
		{"refused: trying again is no use", always(403), Failed, 1, 403, "403 Forbidden"},
		{"redirects are not followed, they may lead anywhere", always(307), Failed, 1, 307, "307"},
		{"broken for good", always(500), Failed, maxAttempts, 500, "500"},
		{"broken twice", firstly(2, 503), Delivered, 3, 200, ""},
		{"too busy", firstly(1, 429), Delivered, 2, 200, ""},
	}
	for _, c := range cases {
		url, posts := receiver(t, c.status)
		o, told := newOutbox(t, Hook{URL: url})
		start(t, o)
		o.Enqueue(event(1))
		d, times := receive(t, told), 1
		for ; d.State == Pending; times++ {
			d = receive(t, told)
		}
		if d.State != c.state || d.Attempts != c.attempts || times != c.attempts || d.Status != c.last {
			t.Errorf("%s: %+v, told %d times", c.reason, d, times)
		}
		if !strings.Contains(d.Error, c.says) || (c.says == "") != (d.Error == "") {
			t.Errorf("%s: error is %q, want %q", c.reason, d.Error, c.says)
		}
		if diff := cmp.Diff([]Delivery{d}, o.Deliveries()); diff != "" {
			t.Errorf("%s: the record is not what was told (-told +record):\n%s", c.reason, diff)
		}
		for range c.attempts {
			if p := receive(t, posts); p.id != d.ID || p.signature != "" || p.body != `{"n":1}` {
				t.Errorf("%s: received %+v", c.reason, p)
			}
		}
		if len(posts) > 0 {
			t.Errorf("%s: received %d more", c.reason, len(posts))
		}
	}
}

// TestReceiverThatComesBack has nobody listening at first.
func TestReceiverThatComesBack(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()

	o, told := newOutbox(t, Hook{URL: "http://" + address + "/hook"})
	// Slow enough that the attempts do not run out while the receiver starts.
	o.opts.Backoff = 250 * time.Millisecond
	start(t, o)
	for n := range 3 {
		o.Enqueue(event(n))
	}
	if d := receive(t, told); d.State != Pending || d.Status != 0 || !strings.Contains(d.Error, "connection refused") {
		t.Errorf("while the receiver is down: %+v", d)
	}

	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading event: %v", err)
		}
		bodies = append(bodies, string(body))
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	for delivered := 0; delivered < 3; {
		switch d := receive(t, told); d.State {
		case Delivered:
			delivered++
		case Failed:
			t.Fatalf("gave up: %+v", d)
		}
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-served
	if diff := cmp.Diff([]string{`{"n":0}`, `{"n":1}`, `{"n":2}`}, bodies); diff != "" {
		t.Errorf("events did not arrive once each and in order (-want +got):\n%s", diff)
	}
}

// roundTripper is an HTTP transport without a network, for tests in which time is the subject.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTiming(t *testing.T) {
	answer := func(status int) (*http.Response, error) {
		return &http.Response{StatusCode: status, Body: http.NoBody}, nil
	}
	t.Run("backoff doubles up to its limit, then the next event has its turn at once and starts anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := New(Options{})
			if err := o.SetHooks([]Hook{{URL: "http://127.0.0.1/"}}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var at []time.Duration
			o.client.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
				at = append(at, time.Since(began))
				if len(at) <= maxAttempts+1 {
					return answer(500)
				}
				return answer(200)
			})
			o.Enqueue(event(1))
			o.Enqueue(event(2))
			ctx, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			if err := o.Deliver(ctx); err != nil {
				t.Error(err)
			}
			ms := time.Millisecond
			want := []time.Duration{0, 250 * ms, 750 * ms, 1750 * ms, 3750 * ms, 7750 * ms, 15750 * ms, 31750 * ms, 31750 * ms, 32000 * ms}
			if diff := cmp.Diff(want, at); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
			if d := o.Deliveries(); d[0].State != Delivered || d[1].State != Failed {
				t.Errorf("recorded %+v", d)
			}
		})
	})
	t.Run("a receiver that does not answer costs a bounded time, and the others none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := New(Options{})
			if err := o.SetHooks([]Hook{{URL: "http://127.0.0.1/hangs"}, {URL: "http://127.0.0.1/fine"}}); err != nil {
				t.Fatal(err)
			}
			o.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/fine" {
					return answer(200)
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			for n := range 5 {
				o.Enqueue(event(n))
			}
			ctx, stop := context.WithTimeout(t.Context(), attemptTimeout+time.Millisecond)
			defer stop()
			if err := o.Deliver(ctx); err != nil {
				t.Error(err)
			}
			var fine, hanging int
			for _, d := range o.Deliveries() {
				switch {
				case strings.HasSuffix(d.URL, "/fine") && d.State == Delivered:
					fine++
				case d.Attempts == 1 && d.State == Pending && strings.Contains(d.Error, errAttemptTimeout.Error()) && d.Duration == attemptTimeout:
					hanging++
				}
			}
			if fine != 5 || hanging != 1 {
				t.Errorf("recorded %+v", o.Deliveries())
			}
		})
	})
}

func TestDeliverOnce(t *testing.T) {
	url, _ := receiver(t, always(200))
	o, told := newOutbox(t, Hook{URL: url})
	stop := start(t, o)
	o.Enqueue(event(1))
	receive(t, told) // the first is running
	if err := o.Deliver(t.Context()); err == nil {
		t.Error("a second Deliver ran beside the first")
	}
	stop()
	start(t, o)
	o.Enqueue(event(2))
	if d := receive(t, told); d.State != Delivered {
		t.Errorf("after Deliver was started again: %+v", d)
	}
}

// TestInterrupted ends Deliver while an event is on its way.
func TestInterrupted(t *testing.T) {
	arrived := make(chan string)
	var interrupted sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		arrived <- r.Header.Get("X-GitHub-Delivery")
		interrupted.Do(func() { <-r.Context().Done() })
	}))
	defer server.Close()
	o, told := newOutbox(t, Hook{URL: server.URL})
	o.Enqueue(event(1))
	stop := start(t, o)
	first := receive(t, arrived)
	stop()
	if d := o.Deliveries(); d[0].State != Pending || d[0].Attempts != 0 {
		t.Errorf("interrupted: %+v", d[0])
	}
	start(t, o)
	if again := receive(t, arrived); again != first {
		t.Errorf("sent again as %q, first as %q", again, first)
	}
	if d := receive(t, told); d.State != Delivered || d.Attempts != 1 {
		t.Errorf("sent again: %+v", d)
	}
}
