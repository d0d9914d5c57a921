package tunnel

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	randv2 "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	// The wait before the next try is drawn from nothing to backoffFirst, doubled
	// with each failure up to backoffMost, so that agents that lost one hub at one
	// moment do not come back at one moment.
	backoffFirst = time.Second
	backoffMost  = 30 * time.Second
	// worked is how long a link lasts that is no failure.
	worked = 30 * time.Second
	// connectTime is how long connecting may take, from the first packet on.
	connectTime = time.Minute
)

// Options say where an agent's hub is and who the agent is.
type Options struct {
	Hub    string // HOST:PORT. Needed
	Keeper Keeper // needed
	// Token returns the bootstrap token that the agent was given, or "". It is used
	// where there is no certificate, and where it is for another cluster or a higher
	// number than that of the certificate. Nil: there is none.
	Token func() (string, error)
	// Roots are trusted until the hub has given others, and for enrolling; as PEM.
	Roots []byte
	// Handler serves the hub's calls. Nil: there is nothing to call.
	Handler http.Handler
	// Proxy is asked for the proxy to the hub, and may return nil. Schemes are http
	// and https; user and password of the URL are shown to it. Nil:
	// http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Dial makes the connections to the hub, or to the proxy. Nil: a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Lost is told of each connection that ended or did not come about, and when the
	// next one is tried. Nil: nobody is.
	Lost func(why error, wait time.Duration)
	// Certified is told of each enrolment and renewal: how long the certificate
	// counts, or why there is none; and of new roots that could not be kept. Nil:
	// nobody is.
	Certified func(until time.Time, err error)
	// Log is where net/http tells of handlers that panic, and the agent of roots that it
	// does not take as they are. Nil: nowhere.
	Log slog.Handler

	Product string // version of the program, which the hub is told
	Limits  Limits
	Now     func() time.Time // for what certificates say; nil: time.Now

	renewals time.Duration // between looks at the clock; zero: a minute
	patience time.Duration // the longest wait between tries; zero: backoffMost
}

// Conn is what the agent has of its hub while it is connected.
type Conn struct {
	identity Identity
	hub      Hello
	client   *http.Client
	stream   *stream
	renewals chan chan<- renewal // of those who ask for one
}

// Identity is whom the agent's certificate names.
func (c *Conn) Identity() Identity { return c.identity }

// Hub is what the hub said of itself.
func (c *Conn) Hub() Hello { return c.hub }

// Client makes calls to the hub, at URLs that begin with HubURL. They end with the
// connection, and after Limits' Call at the latest where their context does not
// say when. It follows no redirects.
func (c *Conn) Client() *http.Client { return c.client }

// agent is what Keep has from one connection to the next.
type agent struct {
	o        Options
	instance string
	last     *holding // for when the keeper cannot be reached

	mu      sync.Mutex
	over    bool           // no call of the hub begins any more
	serving sync.WaitGroup // calls of the hub
}

// Keep keeps the agent connected to its hub, until ctx ends, and returns why it
// did. Each time that it is connected it calls serve, whose context ends with the
// connection; when serve returns, the connection is given up, its error is told to
// Lost, and the next one is made. A hub that dismisses the agent ends it with a
// DismissedError. Other errors are of options. When it returns, every call of the hub
// that Handler serves has ended.
func Keep(ctx context.Context, o Options, serve func(context.Context, *Conn) error) error {
	if _, _, err := net.SplitHostPort(o.Hub); err != nil {
		return fmt.Errorf("the hub's address %q: %w\nhint: HOST:PORT", o.Hub, err)
	}
	if o.Keeper == nil || serve == nil {
		return errors.New("an agent needs a keeper of its credentials, and something to do when it is connected")
	}
	o = o.withDefaults()
	var id [8]byte
	rand.Read(id[:])
	a := &agent{o: o, instance: hex.EncodeToString(id[:])}
	defer a.settle()
	for failures := 0; ; {
		lasted, err := a.connect(ctx, serve)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if dismissed := (*DismissedError)(nil); errors.As(err, &dismissed) {
			return err
		}
		if lasted >= worked {
			failures = 0
		}
		wait := backoff(failures, o.patience)
		failures++
		o.Lost(err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (o Options) withDefaults() Options {
	if o.Token == nil {
		o.Token = func() (string, error) { return "", nil }
	}
	if o.Handler == nil {
		o.Handler = http.NotFoundHandler()
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Dial == nil {
		o.Dial = dialDirect
	}
	if o.Lost == nil {
		o.Lost = func(error, time.Duration) {}
	}
	if o.Certified == nil {
		o.Certified = func(time.Time, error) {}
	}
	if o.Log == nil {
		o.Log = slog.DiscardHandler
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	zero(&o.renewals, time.Minute)
	zero(&o.patience, backoffMost)
	o.Limits = o.Limits.withDefaults()
	return o
}

// backoff is the wait after some failures in a row, at most patience.
func backoff(failures int, patience time.Duration) time.Duration {
	most := min(patience, backoffFirst<<min(failures, 10))
	return randv2.N(most)
}

// connect is one connection from its first packet to its last. It returns how long
// there was a link, and why there is none any more.
func (a *agent) connect(ctx context.Context, serve func(context.Context, *Conn) error) (lasted time.Duration, err error) {
	have, err := a.enrolled(ctx)
	if err != nil {
		return 0, err
	}
	roots := have.Roots
	if len(roots) == 0 {
		roots = a.o.Roots
	}
	client, err := a.dial(ctx, &have.pair, roots)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	conn, hang, err := a.link(ctx, client, have)
	if err != nil {
		return 0, explain(err)
	}
	defer hang()
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	server := a.server()
	beside.Go(func() { // the hub's calls
		listener := newQueue()
		beside.Go(func() { listener.put(conn.stream) })
		server.Serve(listener)
	})
	beside.Go(func() { a.renewUntil(ctx, have, conn) })
	beside.Go(func() {
		select {
		case <-conn.stream.done:
		case <-ctx.Done():
		}
		cancel()
		conn.stream.end(errEnded)
		server.Close()
	})
	err = serve(ctx, conn)
	conn.stream.end(errEnded)
	return time.Since(began), cmp.Or(conn.why(), err, errEnded)
}

// begin counts a call of the hub that begins, unless Keep is about to return.
func (a *agent) begin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.serving.Add(1)
	}
	return !a.over
}

// settle waits for the calls of the hub, whose contexts ended with their connections.
func (a *agent) settle() {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	a.serving.Wait()
}

func (a *agent) server() *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a.begin() {
				defer a.serving.Done()
				bounded(a.o.Handler, a.o.Limits, w, r)
			}
		}),
		Protocols: protocols(false), HTTP2: a.o.Limits.config(), MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(a.o.Log, slog.LevelWarn),
	}
}

// link makes the call that stays open.
func (a *agent) link(ctx context.Context, client *http.ClientConn, have *holding) (*Conn, func(), error) {
	mine, err := Hello{Protocol: Protocol, Product: a.o.Product, Instance: a.instance}.encode()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	hang := func() { cancel(errEnded) }
	read, write := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, HubURL+linkPath, read)
	if err != nil {
		hang()
		return nil, nil, err
	}
	request.Header.Set(helloHeader, mine)
	late := time.AfterFunc(connectTime, func() { cancel(errors.New("the hub took too long to answer")) })
	answer, err := client.RoundTrip(request)
	late.Stop()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		hang()
		return nil, nil, fmt.Errorf("connecting to the hub at %s: %w", a.o.Hub, err)
	}
	conn, err := a.greeted(ctx, answer, have)
	if err != nil {
		answer.Body.Close()
		hang()
		return nil, nil, err
	}
	conn.client = newClient(client, a.o.Limits)
	conn.stream = agentStream(&withReason{ReadCloser: answer.Body, answer: answer}, write, a.o.Limits.Call)
	return conn, hang, nil
}

// greeted reads the hub's answer to the call that stays open.
func (a *agent) greeted(ctx context.Context, answer *http.Response, have *holding) (*Conn, error) {
	hello, err := decodeHello(answer.Header.Get(helloHeader))
	switch {
	case answer.StatusCode == http.StatusGone:
		return nil, &DismissedError{reason(answer)}
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the hub refuses %s: %s", have.identity, reason(answer))
	case err != nil:
		return nil, err
	}
	if err := hello.speaks("agent", "hub"); err != nil {
		return nil, err
	}
	if err := a.trust(ctx, have, hello.Roots, answer.TLS); err != nil {
		a.o.Certified(time.Time{}, err)
	}
	return &Conn{identity: have.identity, hub: hello, renewals: make(chan chan<- renewal)}, nil
}

// withReason turns the end of a call into the reason that the hub gave for it.
type withReason struct {
	io.ReadCloser
	answer *http.Response
}

func (b *withReason) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		if text, bad := strconv.Unquote(b.answer.Trailer.Get(reasonHeader)); bad == nil && len(text) <= maxReason {
			err = fmt.Errorf("the hub has closed the connection: %s", text)
		} else {
			err = errors.New("the hub has closed the connection")
		}
	}
	return n, err
}

// why is why the connection ended, where it was not this end that ended it.
func (c *Conn) why() error {
	<-c.stream.done
	if c.stream.err == errEnded {
		return nil
	}
	return c.stream.err
}
