package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ErrTooLarge is what reading an answer ends with that has more bytes than Limits
// allow.
var ErrTooLarge = errors.New("the answer is larger than allowed")

// calls is a RoundTripper for calls to the other end, with the limits that hold
// for them.
type calls struct {
	to     http.RoundTripper
	limits Limits
}

func newClient(to http.RoundTripper, limits Limits) *http.Client {
	return &http.Client{
		Transport:     &calls{to, limits},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeoutCause(ctx, c.limits.Call, fmt.Errorf("the call took longer than %s", c.limits.Call))
		r = r.WithContext(ctx)
	}
	answer, err := c.to.RoundTrip(r)
	if err != nil {
		cancel()
		return nil, err
	}
	answer.Body = &boundedBody{ReadCloser: answer.Body, left: c.limits.Answer, cancel: cancel}
	return answer, nil
}

// boundedBody ends a body that is too long, and gives a deadline back with it.
type boundedBody struct {
	io.ReadCloser
	left   int64
	cancel context.CancelFunc
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more, which tells an answer of just that size from a longer one
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.ReadCloser.Close()
		return n - 1, ErrTooLarge
	}
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// bounded serves a call of the other end by a handler, within the limits.
func bounded(handler http.Handler, limits Limits, w http.ResponseWriter, r *http.Request) {
	end := time.Now().Add(limits.Call)
	http.NewResponseController(w).SetWriteDeadline(end) // resets the stream, and so ends reading too
	ctx, cancel := context.WithDeadline(r.Context(), end)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(w, r.Body, limits.Body)
	handler.ServeHTTP(w, r)
}

// config is what both ends have of HTTP/2, on both levels. The windows are how
// much a peer can make this end hold, and few enough bytes that a slow line is
// never busy for long with what was sent ahead.
func (l Limits) config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          l.Streams,
		MaxReceiveBufferPerConnection: 1 << 20,
		MaxReceiveBufferPerStream:     256 << 10,
	}
}

// asking is config for the hub's calls to an agent. Several answers that nobody reads
// leave room for others on the same connection.
func (l Limits) asking() *http.HTTP2Config {
	c := l.config()
	c.MaxReceiveBufferPerStream = 128 << 10
	return c
}

// pinging is config for the level that notices a peer that is gone.
func (l Limits) pinging() *http.HTTP2Config {
	c := l.config()
	c.SendPingTimeout, c.PingTimeout, c.WriteByteTimeout = l.Silence, l.Silence*6/5, stuckWrite
	return c
}

// fetching is config for the agent's end of the level that bundles come by. What was
// sent ahead of them is before all else that the hub says, and lost where the
// connection breaks: four bundles' and a link's share, 7 seconds of a line of 50 kB a
// second.
func (l Limits) fetching() *http.HTTP2Config {
	c := l.pinging()
	c.MaxReceiveBufferPerConnection = 320 << 10
	c.MaxReceiveBufferPerStream = 64 << 10
	return c
}

func protocols(encrypted bool) *http.Protocols {
	var p http.Protocols
	p.SetHTTP2(encrypted)
	p.SetUnencryptedHTTP2(!encrypted)
	return &p
}

// reason is what the other end says of an answer that is not the one hoped for.
func reason(answer *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxReason))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := range lines { // a hint has a line of its own
		lines[i] = printable(lines[i])
	}
	if len(text) == 0 {
		return answer.Status
	}
	return strings.Join(lines, "\n")
}
