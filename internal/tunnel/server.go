package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// CertificateLife is how long the certificate of an agent counts that is given
// with no other end. It is renewed after a third of it.
const CertificateLife = 7 * 24 * time.Hour

// ServerOptions say what a Server is and whom it admits.
type ServerOptions struct {
	Authority *authority.Authority // needed
	// Accepts says why an identity is not accepted, or nil. It is asked at every call
	// of an agent, must not block, and is the only word on revocation; its text
	// reaches the agent. Needed.
	Accepts func(Identity) error
	// Used writes down that a token enrols a key (a digest of its public half), such
	// that it is known after a power cut, and only then returns. A token that was used
	// with another key is an error; one that was used with this key is not, as the
	// answer may have been lost on its way. Needed.
	Used func(ctx context.Context, token authority.Claims, key string) error
	// Handler serves the agents' calls, on all paths but /agent/v1/enrol, certificate
	// and link. From tells who calls. Nil: there is nothing to call.
	Handler http.Handler

	// Linked runs while an agent is connected: its context ends with the link, and
	// the link ends when it returns. That of one cluster's link is called when those
	// of the links closed in favour of it have returned. Nil: nothing runs.
	Linked func(context.Context, *Link)
	// Second is asked when a process connects while another one of the same cluster
	// is there, before Linked: it may close either link, or none. Both can be called.
	// Nil: the older one is closed, unless its identity has the higher number. A
	// process that connects once more always replaces itself.
	Second func(ctx context.Context, older, newer *Link)

	// Refused is told whom the hub did not serve, and why. Nil: nobody is.
	Refused func(Refusal)
	// Enrolled is told of certificates by tokens, with the address that asked.
	Enrolled func(id Identity, address string)
	// Log is where net/http tells of handlers that panic, and of peers whose HTTP/2 is
	// broken. Nil: nowhere.
	Log slog.Handler

	Product string        // version of the program, which agents are told
	Life    time.Duration // of certificates; zero: CertificateLife
	Limits  Limits
	Now     func() time.Time // for what certificates and tokens say; nil: time.Now
}

// Refusal is one thing that the hub did not do for an agent, or for whoever it
// was.
type Refusal struct {
	Address string   // without port
	Claimed Identity // what the peer says it is, as far as it said; proven only by a certificate
	Proven  bool
	Doing   string // "handshake", "enrol", "renew", "link" or "call"
	Reason  error
	Omitted int // refusals of this address that were not told before this one, for being too many
}

// idle is how long a connection stays on which the agent calls nothing, and keeps
// no link.
const idle = 2 * time.Minute

// toldRefusals is how many refusals of an address are told in a minute.
const toldRefusals = 20

// Server is the hub's end of the tunnel. Its methods may be called by several
// goroutines at once.
type Server struct {
	o       ServerOptions
	gate    *gate
	enrols  *rates // by network
	calls   *rates // by cluster
	told    *rates // by network
	inner   *http.Transport
	serving sync.WaitGroup // calls of agents

	mu       sync.Mutex
	stopping bool
	links    map[string][]*Link // by cluster, oldest first
}

// NewServer makes a Server. An option that is needed and missing is an error.
func NewServer(o ServerOptions) (*Server, error) {
	if o.Authority == nil || o.Accepts == nil || o.Used == nil {
		return nil, errors.New("a tunnel needs an authority, who is accepted, and where used tokens are written down")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Handler == nil {
		o.Handler = http.NotFoundHandler()
	}
	if o.Linked == nil {
		o.Linked = func(ctx context.Context, _ *Link) { <-ctx.Done() }
	}
	if o.Second == nil {
		o.Second = newestCounts
	}
	if o.Refused == nil {
		o.Refused = func(Refusal) {}
	}
	if o.Enrolled == nil {
		o.Enrolled = func(Identity, string) {}
	}
	if o.Log == nil {
		o.Log = slog.DiscardHandler
	}
	zero(&o.Life, CertificateLife)
	o.Limits = o.Limits.withDefaults()
	return &Server{
		o: o, gate: newGate(o.Limits), links: map[string][]*Link{},
		enrols: newRates(o.Limits.Enrolments), calls: newRates(o.Limits.Requests), told: newRates(toldRefusals),
		inner: &http.Transport{
			Protocols: protocols(false), HTTP2: o.Limits.asking(),
			DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return ctx.Value(streamKey{}).(*stream), nil
			},
		},
	}, nil
}

type (
	connKey   struct{} // of the *conn in the context of a call
	streamKey struct{} // of the *stream that the inner transport is to use
)

// Serve serves agents on a listener until ctx ends, which is no error, and then
// closes it and all that came of it. It returns when everything it started has
// ended. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx)) // of agents, who are told before they end
	defer endCalls()
	ready := newQueue()
	server := &http.Server{
		Handler: http.HandlerFunc(s.serve), Protocols: protocols(true), HTTP2: s.o.Limits.pinging(),
		IdleTimeout: idle, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(s.o.Log, slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return calls },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c.(*tls.Conn).NetConn())
		},
	}
	var background sync.WaitGroup
	background.Go(func() { server.Serve(ready) })
	background.Go(func() { s.recheckUntil(ctx) })
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()

	err := s.accept(ctx, listener, ready)
	cancel()
	s.stop()
	endCalls()
	// What was said last is on its way yet; of a peer that does not read it never arrives.
	last, giveUp := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer giveUp()
	server.Shutdown(last)
	server.Close()
	s.serving.Wait()
	background.Wait()
	return err
}

// stop lets no call begin, and ends the links.
func (s *Server) stop() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	for _, link := range s.all() {
		link.Close("the hub stops")
	}
}

// begin counts a call that begins, unless the server stops.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.serving.Add(1)
	}
	return !s.stopping
}

// accept takes connections and hands over those that showed who they are, or that
// they have no certificate yet.
func (s *Server) accept(ctx context.Context, listener net.Listener, ready *queue) error {
	var shaking sync.WaitGroup
	defer shaking.Wait()
	config := s.tls()
	for failures := 0; ; {
		raw, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				raw.Close()
			}
			return nil
		case err != nil:
			// Out of files, most likely: what is connected goes on, and closes some.
			if failures++; errors.Is(err, net.ErrClosed) || failures > 100 {
				return fmt.Errorf("accepting agents: %w", err)
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		failures = 0
		c := s.gate.enter(raw)
		if c == nil {
			raw.Close()
			s.refuse(&conn{address: host(raw.RemoteAddr())}, "handshake", errors.New("there are too many connections"))
			continue
		}
		shaking.Go(func() {
			if encrypted := s.handshake(ctx, c, config); encrypted != nil {
				ready.put(encrypted)
			}
		})
	}
}

func (s *Server) tls() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Time: s.o.Now,
		// Each connection is judged anew, never by what an earlier one showed.
		SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			certificate, err := s.o.Authority.Server(s.o.Now())
			if err != nil {
				return nil, err
			}
			return &tls.Config{
				MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Time: s.o.Now, SessionTicketsDisabled: true,
				Certificates: []tls.Certificate{*certificate},
				ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: s.o.Authority.Pool(),
				VerifyConnection: s.verify,
			}, nil
		},
	}
}

// verify looks at what a certificate of the authority says. That it is not
// revoked is asked with each call, whose answer can say why it is.
func (s *Server) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	id, err := authority.IdentityOf(state.PeerCertificates[0])
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	if fleet := s.o.Authority.Fleet(); id.Fleet != fleet {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates,
			Err: fmt.Errorf("%s is not of fleet %q", id, fleet)}
	}
	return nil
}

// handshake makes a connection one that net/http can serve, or closes it.
func (s *Server) handshake(ctx context.Context, c *conn, config *tls.Config) *tls.Conn {
	c.closeAfter(s.o.Limits.Handshake)
	encrypted := tls.Server(c, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			s.refuseHandshake(c, refused)
			linger(c)
		}
		c.Close()
		return nil
	}
	state := encrypted.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		c.Close()
		return nil
	}
	if len(state.PeerCertificates) == 0 { // it may enrol, in the time that is left
		return encrypted
	}
	leaf := state.PeerCertificates[0]
	id, err := authority.IdentityOf(leaf)
	if err == nil && !s.gate.identify(c, id, leaf.NotAfter) {
		err = fmt.Errorf("%q has %d connections already", id.Cluster, s.o.Limits.PerCluster)
	}
	if err != nil {
		c.Close()
		s.o.refuse(s.told, Refusal{Address: c.address, Claimed: id, Proven: true, Doing: "handshake", Reason: err})
		return nil
	}
	c.keep()
	return encrypted
}

// linger lets the peer read why before the connection is reset.
func linger(c *conn) {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		c.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, c, 64<<10)
	}
}

func (s *Server) refuseHandshake(c *conn, err *tls.CertificateVerificationError) {
	refusal := Refusal{Address: c.address, Doing: "handshake", Reason: err.Err}
	if len(err.UnverifiedCertificates) > 0 {
		refusal.Claimed, _ = authority.IdentityOf(err.UnverifiedCertificates[0])
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err.Err); ok && invalid.Reason == x509.Expired {
			refusal.Reason = fmt.Errorf("the certificate of %s has expired, or does not count yet: %w", refusal.Claimed, invalid)
		}
	}
	s.o.refuse(s.told, refusal)
}

// refuse tells of a refusal on a connection.
func (s *Server) refuse(c *conn, doing string, why error) {
	refusal := Refusal{Address: c.address, Doing: doing, Reason: why}
	if c.peer != nil {
		refusal.Claimed, refusal.Proven = *c.peer, true
	}
	s.o.refuse(s.told, refusal)
}

func (o *ServerOptions) refuse(told *rates, refusal Refusal) {
	ok, omitted := told.take(networkOf(refusal.Address), time.Now())
	if ok {
		refusal.Omitted = omitted
		o.Refused(refusal)
	}
}

// serve is every call of every agent.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		http.Error(w, "the hub stops", http.StatusServiceUnavailable)
		return
	}
	defer s.serving.Done()
	c := r.Context().Value(connKey{}).(*conn)
	doing := map[string]string{enrolPath: "enrol", certificatePath: "renew", linkPath: "link"}[r.URL.Path]
	switch {
	case doing == "":
		doing = "call"
	case r.Method != http.MethodPost:
		http.Error(w, "this takes POST only", http.StatusMethodNotAllowed)
		return
	}
	if doing == "enrol" {
		s.enrol(w, r, c)
		return
	}
	if err := s.admit(c); err != nil {
		s.refuse(c, doing, err)
		w.Header().Set("Connection", "close")
		status, dismissed := http.StatusForbidden, (*DismissedError)(nil)
		if errors.As(err, &dismissed) {
			status = http.StatusGone
		}
		http.Error(w, err.Error(), status)
		c.closeAfter(farewell)
		return
	}
	if ok, _ := s.calls.take(c.peer.Cluster, time.Now()); !ok {
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("more than %d calls in a minute", s.o.Limits.Requests), http.StatusTooManyRequests)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), identityKey{}, *c.peer))
	switch doing {
	case "renew":
		s.renew(w, r, c)
	case "link":
		s.link(w, r, c)
	default:
		bounded(s.o.Handler, s.o.Limits, w, r)
	}
}

// farewell is how long a connection that is over stays for the last answer.
const farewell = 5 * time.Second

type identityKey struct{}

// From tells whose call a context belongs to, in ServerOptions' Handler.
func From(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(Identity)
	return id, ok
}

// admit says why whoever is at the end of a connection is not served, or nil.
func (s *Server) admit(c *conn) error {
	if c.peer == nil {
		return errors.New("no certificate was shown\nhint: without one an agent can only enrol, with a token of `nave cluster join`")
	}
	if end := time.Unix(c.expires.Load(), 0); !s.o.Now().Before(end) {
		return fmt.Errorf("the certificate of %s ended at %s", c.peer, end.UTC().Format(time.RFC3339))
	}
	return s.o.Accepts(*c.peer)
}
