package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// hub serves bundles over HTTP/2, as a tunnel does.
type hub struct {
	*httptest.Server
	mu      sync.Mutex
	bundles map[string][]byte
	served  map[string]int // bytes, by digest
	asked   []string       // digests and ranges, in turn
	// cut ends an answer after so many bytes; 0 does not.
	cut int
	// meddle answers in place of the hub, if it returns true.
	meddle func(w http.ResponseWriter, r *http.Request) bool
}

func newHub(t *testing.T) (*hub, *Fetcher) {
	h := &hub{bundles: map[string][]byte{}, served: map[string]int{}}
	h.Server = httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	h.EnableHTTP2 = true
	h.StartTLS()
	t.Cleanup(h.Close)
	check := func(data []byte, digest string) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !bytes.Equal(data, h.bundles[digest]) {
			return errors.New("it is another content")
		}
		return nil
	}
	return h, &Fetcher{URL: h.URL + "/", Check: check, Most: 1 << 20}
}

func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		http.Error(w, "not HTTP/2", http.StatusBadRequest)
		return
	}
	digest := strings.TrimPrefix(r.URL.Path, "/")
	h.mu.Lock()
	content, cut, meddle := h.bundles[digest], h.cut, h.meddle
	h.asked = append(h.asked, digest+" "+r.Header.Get("Range"))
	h.mu.Unlock()
	if meddle != nil && meddle(w, r) {
		return
	}
	if content == nil {
		http.Error(w, "no such bundle", http.StatusForbidden)
		return
	}
	http.ServeContent(&counted{w, h, digest, cut}, r, "", time.Time{}, bytes.NewReader(content))
}

// counted counts what is sent, and breaks off where the hub says.
type counted struct {
	http.ResponseWriter
	hub    *hub
	digest string
	left   int
}

func (c *counted) Write(data []byte) (int, error) {
	cuts := c.left > 0 && len(data) >= c.left
	if cuts {
		data = data[:c.left]
	}
	c.left -= len(data)
	n, err := c.ResponseWriter.Write(data)
	c.hub.mu.Lock()
	c.hub.served[c.digest] += n
	c.hub.mu.Unlock()
	if cuts {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func content(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	return data
}

func TestFetch(t *testing.T) {
	h, f := newHub(t)
	var digests []string
	for i := range 20 {
		digest := fmt.Sprintf("d%02d", i)
		h.bundles[digest] = content(1000 + i)
		digests = append(digests, digest)
	}
	found, err := f.Fetch(t.Context(), h.Client(), digests)
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range digests {
		if !bytes.Equal(found[digest], h.bundles[digest]) {
			t.Errorf("%s came as something else", digest)
		}
	}
	h.asked = nil
	if _, err := f.Fetch(t.Context(), h.Client(), digests[:3]); err != nil || len(h.asked) != 0 {
		t.Errorf("what was there was asked for: %v, %v", h.asked, err)
	}
	f.Forget()
	if _, err := f.Fetch(t.Context(), h.Client(), digests[:3]); err != nil || len(h.asked) != 3 {
		t.Errorf("what was forgotten was not asked for: %v, %v", h.asked, err)
	}
}

// A connection that breaks every few bytes brings a bundle all the same, and no
// byte of it twice. The last time it breaks where only the end is missing.
func TestABrokenConnection(t *testing.T) {
	h, f := newHub(t)
	h.bundles["a"], h.cut = content(300_000), 10_000
	if _, err := f.Fetch(t.Context(), h.Client(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if n := h.served["a"]; n > 300_100 { // the last answer is a few words: that it was all
		t.Errorf("of 300000 bytes the hub sent %d", n)
	}
}

// What an attempt at an assignment brought, that was broken off, the next one has.
func TestTheNextAttemptGoesOn(t *testing.T) {
	h, f := newHub(t)
	h.bundles["a"], h.bundles["b"] = content(1000), content(50_000)
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("the hub waited for too long")
	h.meddle = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/b" {
			return false
		}
		w.Header().Set("Content-Length", "50000")
		w.Write(h.bundles["b"][:20_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	had := make(chan struct{})
	go func() { // ends once both came as far as they do
		defer close(had)
		for range time.Tick(time.Millisecond) {
			h.mu.Lock()
			whole := h.served["a"] == 1000 && slices.Contains(h.asked, "b ")
			h.mu.Unlock()
			if whole {
				stop(why)
				return
			}
		}
	}()
	if _, err := f.Fetch(ctx, h.Client(), []string{"a", "b"}); !errors.Is(err, why) {
		t.Fatalf("broken off: %v", err)
	}
	<-had
	got := len(f.parts["b"].data)
	h.mu.Lock()
	h.meddle, h.asked = nil, nil
	h.mu.Unlock()
	if _, err := f.Fetch(t.Context(), h.Client(), []string{"b"}); err != nil {
		t.Fatal(err)
	}
	want := "b "
	if got > 0 {
		want = fmt.Sprintf("b bytes=%d-", got)
	}
	if !slices.Equal(h.asked, []string{want}) {
		t.Errorf("after %d bytes the rest was asked for as %q", got, h.asked)
	}
	if f.parts["a"] != nil {
		t.Error("what is no longer wanted is remembered")
	}
}

func TestAnswers(t *testing.T) {
	want := content(5000)
	times := 0
	tests := []struct {
		reason string
		have   []byte // of an attempt before
		meddle func(w http.ResponseWriter, r *http.Request) bool
		most   int
		err    string // in part; empty: it comes
		asks   int
	}{
		{reason: "a bundle of which the hub now has other bytes is fetched anew", have: []byte("other"), asks: 2},
		{reason: "one that is shorter than what there is is fetched anew", have: content(9000), asks: 2},
		{reason: "a hub that knows no ranges sends all of it", have: want[:10], asks: 1, meddle: func(w http.ResponseWriter, r *http.Request) bool {
			w.Write(want)
			return true
		}},
		{reason: "a range that was not asked for does not count", have: want[:10], asks: 2, meddle: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.Header().Set("Content-Range", "bytes 0-4999/5000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(want)
			return true
		}},
		{reason: "a hub that is busy is asked again", asks: 3, meddle: func(w http.ResponseWriter, r *http.Request) bool {
			if times++; times > 2 {
				return false
			}
			w.WriteHeader([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[times-1])
			return true
		}},
		{reason: "what the hub refuses is not asked for again", asks: 1, err: "403 Forbidden: not yours", meddle: func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "not yours", http.StatusForbidden)
			return true
		}},
		{reason: "one that is too large is not read", asks: 1, most: 4999, err: "more than 4999 bytes"},
	}
	for _, test := range tests {
		h, f := newHub(t)
		h.bundles["a"], h.meddle = want, test.meddle
		f.parts = map[string]*part{"a": {data: test.have}}
		if test.most > 0 {
			f.Most = test.most
		}
		found, err := f.Fetch(t.Context(), h.Client(), []string{"a"})
		switch {
		case test.err == "" && (err != nil || !bytes.Equal(found["a"], want)):
			t.Errorf("%s: %v", test.reason, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: %v", test.reason, err)
		case len(h.asked) != test.asks:
			t.Errorf("%s: asked %q", test.reason, h.asked)
		}
	}
}

// One bundle that the hub does not give does not keep it from giving the others.
func TestRefusedBesideOthers(t *testing.T) {
	h, f := newHub(t)
	h.bundles["b"], h.bundles["c"] = content(100), content(200)
	_, err := f.Fetch(t.Context(), h.Client(), []string{"a", "b", "c"})
	refused := (*RefusedError)(nil)
	if !errors.As(err, &refused) || refused.Digest != "a" {
		t.Fatalf("the hub has no bundle a: %v", err)
	}
	h.asked, h.bundles["a"] = nil, content(300)
	found, err := f.Fetch(t.Context(), h.Client(), []string{"a", "b", "c"})
	if err != nil || len(found) != 3 || !slices.Equal(h.asked, []string{"a "}) {
		t.Errorf("asked %q: %v", h.asked, err)
	}
}
