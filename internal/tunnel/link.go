package tunnel

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Link is what the hub has of one connected agent.
type Link struct {
	identity Identity
	hello    Hello
	address  string
	since    time.Time
	client   *http.Client
	conn     *conn
	stream   *stream

	ready   chan struct{} // closed when client is set
	stopped chan struct{} // closed when Linked has returned, or will not be called

	mu     sync.Mutex
	reason string
	vetted bool // it was compared with those that were there before
}

// Identity is whom the agent's certificate names.
func (l *Link) Identity() Identity { return l.identity }

// Hello is what the agent said of itself when it connected.
func (l *Link) Hello() Hello { return l.hello }

// Address is where the agent connected from, without port.
func (l *Link) Address() string { return l.address }

// CertificateEnd is when the certificate ends that the agent has now.
func (l *Link) CertificateEnd() time.Time { return time.Unix(l.conn.expires.Load(), 0) }

// Since is when the link was made, by the clock of the machine.
func (l *Link) Since() time.Time { return l.since }

// Client makes calls to the agent, at URLs that begin with AgentURL. They end with
// the link, and after Limits' Call at the latest where their context does not say
// when. It follows no redirects.
func (l *Link) Client() *http.Client { return l.client }

// Carries reports whether a call of the agent, by the context that ServerOptions'
// Handler has of it, came over the connection of this link. One that did not is of
// another process of the cluster, or of a connection that was replaced.
func (l *Link) Carries(ctx context.Context) bool {
	c, ok := ctx.Value(connKey{}).(*conn)
	return ok && c == l.conn
}

// Done is closed when the link has ended.
func (l *Link) Done() <-chan struct{} { return l.stream.done }

// Err is why the link ended, once Done is closed.
func (l *Link) Err() error {
	select {
	case <-l.stream.done:
		return l.stream.err
	default:
		return nil
	}
}

// Close ends the link, and the connection soon after; the agent is told the
// reason. It does not wait. Of several reasons the first one counts.
func (l *Link) Close(reason string) {
	l.mu.Lock()
	if l.reason == "" {
		l.reason = reason
	}
	l.mu.Unlock()
	l.stream.end(fmt.Errorf("closed by the hub: %s", reason))
}

// newestCounts is what is done of two processes of a cluster where nobody else
// decides.
func newestCounts(_ context.Context, older, newer *Link) {
	if older.identity.Number > newer.identity.Number {
		newer.Close(fmt.Sprintf("%s is connected, which is newer", older.identity))
		return
	}
	older.Close("another process of this cluster has connected")
}

// link is the call that stays open: it makes a link of it, and returns when that
// has ended.
func (s *Server) link(w http.ResponseWriter, r *http.Request, c *conn) {
	hello, err := decodeHello(r.Header.Get(helloHeader))
	if err != nil {
		s.refuse(c, "link", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := hello.speaks("hub", "agent"); err != nil {
		s.refuse(c, "link", err)
		http.Error(w, err.Error(), http.StatusUpgradeRequired)
		return
	}
	mine, err := Hello{Protocol: Protocol, Product: s.o.Product, Roots: string(s.o.Authority.Roots())}.encode()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set(helloHeader, mine)
	w.WriteHeader(http.StatusOK)
	stream := hubStream(w, r, s.o.Limits.Call)
	link := &Link{
		identity: *c.peer, hello: hello, address: c.address, since: time.Now(), conn: c, stream: stream,
		ready: make(chan struct{}), stopped: make(chan struct{}),
	}
	// What writes to the answer must have ended when this call does.
	defer link.farewell(w)
	if http.NewResponseController(w).Flush() == nil {
		s.run(r.Context(), link)
	}
	stream.end(errEnded)
}

// farewell tells the agent why its link has ended, at the end of the call.
func (l *Link) farewell(w http.ResponseWriter) {
	l.stream.settle()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason != "" {
		w.Header().Set(http.TrailerPrefix+reasonHeader, strconv.QuoteToASCII(l.reason))
	}
	l.conn.closeAfter(farewell)
}

// run is the life of a link.
func (s *Server) run(ctx context.Context, link *Link) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := link.stream
	stop := context.AfterFunc(ctx, func() { stream.end(errEnded) })
	defer stop()
	older := s.add(link)
	defer s.remove(link)
	defer close(link.stopped) // after which one that replaces it begins

	client, err := s.inner.NewClientConn(context.WithValue(ctx, streamKey{}, stream), "http", "agent.nave.internal:80")
	if err != nil {
		stream.end(fmt.Errorf("calling the agent: %w", err))
		return
	}
	defer client.Close()
	link.client = newClient(client, s.o.Limits)
	client.SetStateHook(func(c *http.ClientConn) {
		if err := c.Err(); err != nil {
			stream.end(err)
		}
	})
	close(link.ready)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() {
		<-stream.done
		cancel()
	})
	for _, other := range older {
		s.decide(ctx, other, link)
	}
	if link.vet() {
		s.o.Linked(ctx, link)
	}
	link.Close("the hub has no more use for it")
}

// vet makes the link one of those that the hub is shown, unless it has ended.
func (l *Link) vet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vetted = l.Err() == nil
	return l.vetted
}

// decide lets one of two links of a cluster go, or none.
func (s *Server) decide(ctx context.Context, older, newer *Link) {
	select {
	case <-older.ready: // its client can be used
	case <-older.stream.done:
	case <-ctx.Done():
		return
	}
	switch {
	case older.Err() != nil:
	case older.hello.Instance != "" && older.hello.Instance == newer.hello.Instance:
		older.Close("the agent has connected once more")
	default:
		s.o.Second(ctx, older, newer)
	}
	if older.Err() == nil {
		return
	}
	select {
	case <-older.stopped:
	case <-ctx.Done():
	}
}

// add writes a link down, and returns those of its cluster that were there before.
func (s *Server) add(link *Link) (older []*Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	older = s.links[link.identity.Cluster]
	s.links[link.identity.Cluster] = append(slices.Clip(older), link)
	return older
}

func (s *Server) remove(link *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster := link.identity.Cluster
	rest := slices.Clone(s.links[cluster])
	if rest = slices.DeleteFunc(rest, func(l *Link) bool { return l == link }); len(rest) == 0 {
		delete(s.links, cluster)
		return
	}
	s.links[cluster] = rest
}

// all is every link, in no order.
func (s *Server) all() (links []*Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.links {
		links = append(links, of...)
	}
	return links
}

// Links are those that are there, by cluster and then by age, oldest first.
func (s *Server) Links() []*Link {
	links := slices.DeleteFunc(s.all(), func(l *Link) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.vetted || l.Err() != nil
	})
	slices.SortFunc(links, func(a, b *Link) int {
		return cmp.Or(cmp.Compare(a.identity.Cluster, b.identity.Cluster), a.since.Compare(b.since))
	})
	return links
}

// Recheck asks again who is accepted, and ends the links of those that are not, or
// whose certificate has ended. It is to be called when the answer may have
// changed; the server itself does it every minute.
func (s *Server) Recheck() {
	for _, link := range s.all() {
		if err := s.admit(link.conn); err != nil {
			s.refuse(link.conn, "link", err)
			link.Close(err.Error())
		}
	}
}

func (s *Server) recheckUntil(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Recheck()
		case <-ctx.Done():
			return
		}
	}
}
