package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// honest is an agent that is connected while others misbehave; check holds it to
// being served as ever.
func (w *world) honest() (check func()) {
	w.t.Helper()
	m := w.agent(w.token("honest", 1)).start()
	c := m.connected()
	var link *Link
	eventually(w.t, "the honest agent is there", func() bool {
		for _, l := range w.server.Links() {
			if l.Identity().Cluster == "honest" {
				link = l
			}
		}
		return link != nil
	})
	return func() {
		w.t.Helper()
		mustCall(w.t, c.Client(), HubURL, "x", "hub to honest: x")
		mustCall(w.t, link.Client(), AgentURL, "y", "agent: y")
		if link.Err() != nil || len(m.conns) > 0 {
			w.t.Errorf("the honest agent lost its link: %v", link.Err())
		}
	}
}

// dialAs is a connection with the certificate of an agent, or without one.
func (w *world) dialAs(have *holding) *http.ClientConn {
	w.t.Helper()
	pair, roots := (*tls.Certificate)(nil), w.o.Authority.Roots()
	if have != nil {
		pair = &have.pair
	}
	client, err := w.bare(w.agent("")).dial(w.t.Context(), pair, roots)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { client.Close() })
	return client
}

// raw is TLS to the hub with nothing in it.
func (w *world) raw(have *holding) *tls.Conn {
	w.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.o.Authority.Roots())
	config := &tls.Config{ServerName: authority.ServerName, RootCAs: roots, NextProtos: []string{"h2"}}
	if have != nil {
		config.Certificates = []tls.Certificate{have.pair}
	}
	c, err := tls.Dial("tcp", w.address, config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// closed waits until the other end has closed a connection, whatever it sent.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays")
	}
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// TestMalformedFrames sends all sorts of bytes instead of HTTP/2, with a genuine
// certificate.
func TestMalformedFrames(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) { o.Limits.PerCluster = 100 })
	check := w.honest()
	have := w.credentials("mallory", 1)
	noise := rand.New(rand.NewChaCha8([32]byte{1}))
	bytes := make([]byte, 4096)
	for i := range bytes {
		bytes[i] = byte(noise.Uint32())
	}
	for _, sent := range []string{
		string(bytes),
		preface + string(bytes),
		preface + "\xff\xff\xff\x00\x00\x00\x00\x00\x01",                                                              // a frame of 16 MiB
		preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x05\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff\xff", // headers that do not unpack
		preface + "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\xff\xff\xff\xff",                                      // a window of 4 GiB
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := w.raw(have)
		io.WriteString(c, sent)
		closed(t, c)
		check()
	}
}

// TestGarbageInTheLink speaks HTTP/2 well, and garbage on the way back.
func TestGarbageInTheLink(t *testing.T) {
	w := newWorld(t, nil)
	check := w.honest()
	have := w.credentials("mallory", 1)
	client := w.dialAs(have)
	hello, err := Hello{Protocol: Protocol}.encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, garbage := range []string{"garbage, and no frames of HTTP/2, at that", "\xff\xff\xff\x00\x00\x00\x00\x00\x01" + strings.Repeat("x", 1000)} {
		read, write := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, HubURL+linkPath, read)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(helloHeader, hello)
		answer, err := client.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(write, garbage)
		io.Copy(io.Discard, answer.Body) // until the hub ends it
		write.Close()
		check()
	}
}

// TestNoCertificate keeps those who show none from all but enrolment, and not for
// long.
func TestNoCertificate(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) { o.Limits.Handshake = 2 * time.Second })
	check := w.honest()
	for path, doing := range map[string]string{"/reports": "call", certificatePath: "renew", linkPath: "link"} {
		client := newClient(w.dialAs(nil), Limits{}.withDefaults())
		if _, err := call(client, HubURL+path, "x"); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("%s: %v", path, err)
		}
		w.refused(doing, "no certificate")
	}
	idle, silent := w.raw(nil), must(net.Dial("tcp", w.address))
	defer silent.Close()
	io.WriteString(idle, preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	closed(t, idle)
	closed(t, silent)
	check()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// TestForeignCertificate refuses those of another authority, and tells whom they
// claim to be.
func TestForeignCertificate(t *testing.T) {
	other := newWorld(t, nil)
	w := newWorld(t, nil)
	have := other.credentials("prod", 1)
	have.Roots = w.o.Authority.Roots()
	m := w.agent("")
	m.memory.have = have.Credentials
	m.start().saw("the hub does not know who signed the agent's certificate")
	if refusal := w.refused("handshake", "unknown authority"); refusal.Claimed != named("test", "prod", 1) || refusal.Proven {
		t.Errorf("the audit is told %+v", refusal)
	}
}

// TestWrongHub has an agent not talk to what is not its hub.
func TestWrongHub(t *testing.T) {
	other := newWorld(t, nil)
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	m.o.Hub = other.address
	m.start().saw("certificate signed by unknown authority")
	if len(other.refusals) > 0 {
		t.Errorf("the token was shown: %+v", other.refusals)
	}
}

// TestConnectionFloods fills the places that strangers have, and those of one
// cluster: who is there stays, and others come in.
func TestConnectionFloods(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) {
		o.Limits.Pending, o.Limits.PerCluster, o.Limits.Handshake = 20, 5, 5*time.Second
	})
	check := w.honest()
	late := w.credentials("late", 1)
	mallory := w.credentials("mallory", 1)

	// Of an address of its own, as far as the machine has one.
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range 60 {
		c, err := from.Dial("tcp", w.address)
		if err != nil {
			t.Skipf("no connections from 127.0.0.2 (%v): the addresses of loopback are needed", err)
		}
		defer c.Close()
	}
	w.refused("handshake", "too many connections")
	newcomer := w.agent("")
	newcomer.memory.have = late.Credentials
	newcomer.start().connected()
	check()

	var alive []*tls.Conn
	for range 12 {
		alive = append(alive, w.raw(mallory))
	}
	if refusal := w.refused("handshake", `"mallory" has 5 connections already`); !refusal.Proven {
		t.Errorf("the audit is told %+v", refusal)
	}
	check()
	for _, c := range alive {
		c.Close()
	}
	eventually(t, "the places are given back", func() bool {
		w.server.gate.mu.Lock()
		defer w.server.gate.mu.Unlock()
		return w.server.gate.clusters["mallory"] == 0
	})
}

// TestCallFloods lets a cluster call so often and no more, and an address enrol.
func TestCallFloods(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) { o.Limits.Requests, o.Limits.Enrolments = 50, 10 })
	check := w.honest()
	client := newClient(w.dialAs(w.credentials("mallory", 1)), Limits{}.withDefaults())
	refused := 0
	var work sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		work.Go(func() {
			for range 50 {
				if _, err := call(client, HubURL, "x"); err != nil && strings.Contains(err.Error(), "429") {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	if refused < 300 {
		t.Errorf("of 400 calls %d were refused", refused)
	}
	check()

	anonymous := newClient(w.dialAs(nil), Limits{}.withDefaults())
	for range 50 {
		if _, err := call(anonymous, HubURL+enrolPath, "{}"); err == nil {
			t.Fatal("nothing enrols")
		}
	}
	w.refused("enrol", "too many tries")
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.refusals) > toldRefusals+1 {
		t.Errorf("the audit was told %d refusals of one address", len(w.refusals))
	}
}

// TestStreams serves so many calls of a connection at once and no more.
func TestStreams(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	release := make(chan struct{})
	w := newWorld(t, func(o *ServerOptions) {
		o.Limits.Streams = 10
		o.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-release
			mu.Lock()
			running--
			mu.Unlock()
		})
	})
	client := newClient(w.dialAs(w.credentials("mallory", 1)), Limits{}.withDefaults())
	var work sync.WaitGroup
	for range 50 {
		work.Go(func() { call(client, HubURL, "x") })
	}
	eventually(t, "as many calls as are allowed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return running == 10
	})
	close(release)
	work.Wait()
	if most != 10 {
		t.Errorf("%d calls were served at once", most)
	}
}

// endless is a body that never ends, and never fails.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestHugeMessages bounds bodies, answers, headers and the hello, in both
// directions.
func TestHugeMessages(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) { o.Limits.Body, o.Limits.Answer = 1000, 2000 })
	check := w.honest()
	have := w.credentials("mallory", 1)
	m := w.agent("")
	m.memory.have = have.Credentials
	m.o.Limits.Body = 3000
	var answer io.Reader = endless{}
	m.o.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			_, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(rw, err)
			return
		}
		io.Copy(rw, answer)
	})
	c := m.start().connected()
	eventually(t, "mallory is there", w.linked("honest", "mallory"))
	link := w.server.Links()[1]

	if got, err := call(c.Client(), HubURL, strings.Repeat("x", 5000)); !strings.Contains(got, "request body too large") && err == nil {
		t.Errorf("the hub read all of it: %q", got)
	}
	if got, err := call(link.Client(), AgentURL+"/read", strings.Repeat("x", 5000)); !strings.Contains(got, "request body too large") && err == nil {
		t.Errorf("the agent read all of it: %q", got)
	}
	if got, err := call(link.Client(), AgentURL, ""); !errors.Is(err, ErrTooLarge) || len(got) != 2000 {
		t.Errorf("of an answer without end %d bytes were read, error %v", len(got), err)
	}
	answer = strings.NewReader(strings.Repeat("x", 2000))
	if got, err := call(link.Client(), AgentURL, ""); err != nil || len(got) != 2000 {
		t.Errorf("of an answer of the largest size %d bytes were read, error %v", len(got), err)
	}
	for _, header := range []string{helloHeader, "X"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, HubURL+linkPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, strings.Repeat("x", 2*maxHeader))
		answer, err := c.Client().Do(r)
		if err == nil {
			answer.Body.Close()
		}
		if err == nil && answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a %s of %d bytes: %s", header, 2*maxHeader, answer.Status)
		}
	}
	check()
}

// TestSlowPeers ends calls of those who send, read or answer nothing.
func TestSlowPeers(t *testing.T) {
	began := make(chan struct{}, 10)
	served := make(chan error, 10)
	w := newWorld(t, func(o *ServerOptions) {
		inner := o.Handler
		o.Limits.Call = 2 * time.Second
		o.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var err error
			switch r.URL.Path {
			case "/read":
				began <- struct{}{}
				_, err = io.Copy(io.Discard, r.Body)
			case "/write":
				_, err = io.Copy(rw, endless{})
			default:
				inner.ServeHTTP(rw, r)
				return
			}
			served <- err
		})
	})
	check := w.honest()
	m := w.agent("")
	m.memory.have = w.credentials("mallory", 1).Credentials
	hang := make(chan struct{})
	defer close(hang)
	m.o.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang })
	c := m.start().connected()
	eventually(t, "mallory is there", w.linked("honest", "mallory"))

	body, never := io.Pipe()
	defer never.Close()
	go call2(c.Client(), "/read", body)
	<-began
	answers := make(chan *http.Response, 1)
	go func() { answers <- call2(c.Client(), "/write", nil) }()
	if _, err := call(w.server.Links()[1].Client(), AgentURL, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an agent that does not answer: %v", err)
	}
	check()
	for range 2 {
		select {
		case err := <-served:
			if err == nil {
				t.Error("what has no end ended")
			}
		case <-time.After(patience):
			t.Fatal("a call goes on for ever")
		}
	}
	if answer := <-answers; answer != nil {
		answer.Body.Close()
	}
}

// call2 makes a call and leaves its answer unread.
func call2(client *http.Client, path string, body io.Reader) *http.Response {
	answer, err := client.Post(HubURL+path, "text/plain", body)
	if err != nil {
		return nil
	}
	return answer
}

// TestLinkThatIsNotRead ends a link into which nothing more can be written, though
// the connection is well.
func TestLinkThatIsNotRead(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) { o.Limits.Call = 2 * time.Second })
	check := w.honest()
	hello, err := Hello{Protocol: Protocol}.encode()
	if err != nil {
		t.Fatal(err)
	}
	read, write := io.Pipe()
	defer write.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, HubURL+linkPath, read)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(helloHeader, hello)
	answer, err := w.dialAs(w.credentials("mallory", 1)).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	eventually(t, "mallory is there", w.linked("honest", "mallory"))
	link := w.server.Links()[1]
	var calls sync.WaitGroup
	for range 60 { // more than all windows hold
		calls.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, AgentURL, nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("X", strings.Repeat("#", 40<<10))
			if _, err := link.Client().Do(r); err == nil {
				t.Error("there was an answer")
			}
		})
	}
	calls.Wait()
	ended(t, link, "")
	check()
}
