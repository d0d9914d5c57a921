package tunnel

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

var errEnded = errors.New("the link has ended")

// stream is the open call as a net.Conn, at either end. It has no deadlines: the
// connection below notices a peer that is gone, and a write that hangs because
// one does not read ends the stream.
type stream struct {
	read   io.ReadCloser
	write  func([]byte) (int, error)
	abort  func()        // makes a write that is under way return
	stuck  time.Duration // how long a write may take
	writes chan struct{} // holds one token while a write is under way

	once sync.Once
	done chan struct{} // closed with the first error of a read, or by Close
	err  error         // why, once done is closed
}

func newStream(read io.ReadCloser, write func([]byte) (int, error), abort func(), stuck time.Duration) *stream {
	return &stream{read: read, write: write, abort: abort, stuck: stuck, writes: make(chan struct{}, 1), done: make(chan struct{})}
}

// hubStream is the hub's end of the open call.
func hubStream(w http.ResponseWriter, r *http.Request, stuck time.Duration) *stream {
	flow := http.NewResponseController(w)
	write := func(p []byte) (int, error) {
		n, err := w.Write(p)
		if err == nil {
			err = flow.Flush()
		}
		return n, err
	}
	return newStream(r.Body, write, func() { flow.SetWriteDeadline(time.Unix(1, 0)) }, stuck)
}

// agentStream is the agent's end of the open call, made of the two halves of it.
func agentStream(answer io.ReadCloser, body *io.PipeWriter, stuck time.Duration) *stream {
	return newStream(answer, body.Write, func() { body.CloseWithError(errEnded) }, stuck)
}

// end closes the stream for a reason; the first one stands.
func (s *stream) end(why error) {
	s.once.Do(func() {
		s.err = why
		close(s.done)
		s.read.Close()
	})
}

// settle waits until nothing writes any more, and lets nothing write again. A
// write that hangs is given a moment, because ending it by force costs the other
// end the reason that would follow.
func (s *stream) settle() {
	select {
	case s.writes <- struct{}{}:
		return
	case <-time.After(time.Second):
	}
	s.abort()
	s.writes <- struct{}{}
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.read.Read(p)
	if err != nil {
		s.end(err)
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	select {
	case <-s.done:
		return 0, net.ErrClosed
	case s.writes <- struct{}{}:
	}
	defer func() { <-s.writes }()
	select {
	case <-s.done:
		return 0, net.ErrClosed
	default:
	}
	aborted := make(chan struct{})
	late := time.AfterFunc(s.stuck, func() {
		s.abort()
		close(aborted)
	})
	n, err := s.write(p)
	if !late.Stop() {
		<-aborted // what is aborted may be gone when this returns
	}
	if err != nil {
		// Reading tells why the other end takes no more; writing only that it is so.
		select {
		case <-s.done:
		case <-time.After(time.Second):
			s.end(err)
		}
	}
	return n, err
}

func (s *stream) Close() error {
	s.end(errEnded)
	return nil
}

func (s *stream) LocalAddr() net.Addr              { return streamAddr{} }
func (s *stream) RemoteAddr() net.Addr             { return streamAddr{} }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

type streamAddr struct{}

func (streamAddr) Network() string { return "tunnel" }
func (streamAddr) String() string  { return "tunnel" }

// queue is a net.Listener of connections that are put into it.
type queue struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newQueue() *queue {
	return &queue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands a connection over, or closes it if nobody accepts any more.
func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		c.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *queue) Addr() net.Addr { return streamAddr{} }
