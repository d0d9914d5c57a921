package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// Credentials are what an agent proves itself with and recognizes its hub by. All
// of it is PEM, and what is not there yet is empty.
type Credentials struct {
	Key         []byte // of the certificate
	Certificate []byte
	Roots       []byte
	// Next is a key that enrolment was begun with. It is kept before the token is
	// shown, so that an answer that was lost can be asked for again with it.
	Next []byte
}

// Keeper keeps credentials over restarts of the agent. Keep calls it from one
// goroutine at a time.
type Keeper interface {
	// Load returns what was stored last; nothing, if nothing ever was.
	Load(context.Context) (Credentials, error)
	// Store replaces all of what was stored, at once and such that it outlasts a power
	// cut.
	Store(context.Context, Credentials) error
}

// holding is credentials, read.
type holding struct {
	Credentials
	pair     tls.Certificate
	identity Identity
}

// read reads credentials; there is a holding where there is a certificate.
func (c Credentials) read() (*holding, error) {
	if len(c.Certificate) == 0 {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the agent's certificate: %w", err)
	}
	id, err := authority.IdentityOf(pair.Leaf)
	if err != nil {
		return nil, fmt.Errorf("reading the agent's certificate: %w", err)
	}
	return &holding{Credentials: c, pair: pair, identity: id}, nil
}

// enrolled returns credentials with a certificate, enrolling if there is none or
// if there is a token for a newer one. A newer one that is not to be had is told,
// and the present one stays.
func (a *agent) enrolled(ctx context.Context) (*holding, error) {
	stored, err := a.o.Keeper.Load(ctx)
	if err != nil && a.last != nil {
		return a.last, nil // a cluster whose API is away still has something to say
	}
	if err != nil {
		return nil, fmt.Errorf("loading the agent's credentials: %w", err)
	}
	have, unreadable := stored.read() // a token is a way out of broken credentials
	token, err := a.o.Token()
	var claims authority.Claims
	if err == nil && token != "" {
		claims, err = authority.ReadToken(token)
	}
	if err == nil && token != "" && (have == nil || replaces(claims.Identity(), have.identity)) {
		var fresh *holding
		if fresh, err = a.enrol(ctx, stored, token, claims.Identity()); err == nil {
			a.last = fresh
			return fresh, nil
		}
		err = fmt.Errorf("enrolling as %s: %w", claims.Identity(), err)
	}
	switch {
	case have == nil && err == nil && unreadable != nil:
		return nil, unreadable
	case have == nil && err == nil:
		return nil, errors.New("the agent has neither a certificate nor a token\nhint: apply the manifest of `nave cluster join NAME`")
	case have == nil:
		return nil, err
	case err != nil:
		a.o.Certified(time.Time{}, err)
	}
	a.last = have
	return have, nil
}

// replaces reports whether a token's identity takes the place of the one there is.
func replaces(next, have Identity) bool {
	return next.Fleet != have.Fleet || next.Cluster != have.Cluster || next.Number > have.Number
}

// enrol shows a token and keeps what it brings.
func (a *agent) enrol(ctx context.Context, stored Credentials, token string, id Identity) (*holding, error) {
	if len(stored.Next) == 0 {
		key, err := authority.NewKey()
		if err != nil {
			return nil, err
		}
		stored.Next = key
		if err := a.o.Keeper.Store(ctx, stored); err != nil {
			return nil, fmt.Errorf("storing the agent's key: %w", err)
		}
	}
	client, err := a.dial(ctx, nil, bytes.Join([][]byte{a.o.Roots, stored.Roots}, []byte("\n")))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return a.ask(ctx, newClient(client, a.o.Limits), enrolPath, token, stored, id)
}

// ask asks for a certificate for the key that is stored as the next one, and keeps
// it.
func (a *agent) ask(ctx context.Context, client *http.Client, path, token string, stored Credentials, id Identity) (*holding, error) {
	csr, err := authority.NewRequest(stored.Next, id)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(enrolment{Token: token, Request: string(csr)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errors.New("the hub took too long to answer"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, HubURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, explain(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the hub refuses: %s", reason(answer))
	}
	var given certified
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxHeader)).Decode(&given); err != nil {
		return nil, fmt.Errorf("reading the hub's answer: %w", err)
	}
	roots, err := a.succeed(stored.Roots, []byte(given.Roots), answer.TLS)
	if err != nil {
		return nil, err
	}
	next := Credentials{Key: stored.Next, Certificate: []byte(given.Certificate), Roots: roots}
	have, err := next.read()
	switch {
	case err != nil:
		return nil, err
	case have == nil || have.identity != id:
		return nil, errors.New("the hub's answer is no certificate of this agent")
	}
	if err := a.o.Keeper.Store(ctx, next); err != nil {
		return nil, fmt.Errorf("storing the agent's credentials: %w", err)
	}
	a.o.Certified(have.pair.Leaf.NotAfter, nil)
	return have, nil
}

// renewal is what became of one that was asked for.
type renewal struct {
	until time.Time
	err   error
}

// Renew gets a certificate for a new key now, and returns when it ends.
func (c *Conn) Renew(ctx context.Context) (until time.Time, err error) {
	done := make(chan renewal, 1)
	select {
	case c.renewals <- done:
	case <-c.stream.done:
		return time.Time{}, errEnded
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
	select {
	case r := <-done:
		return r.until, r.err
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
}

// renewUntil renews the certificate when a third of its life is over, and when it is
// asked to, as long as ctx lasts.
func (a *agent) renewUntil(ctx context.Context, have *holding, conn *Conn) {
	for wait := time.Duration(0); ; {
		var asked chan<- renewal
		select {
		case <-time.After(wait):
		case asked = <-conn.renewals:
		case <-ctx.Done():
			return
		}
		wait = a.o.renewals
		if asked == nil && a.o.Now().Before(have.due()) {
			continue
		}
		next, err := a.renew(ctx, have, conn)
		if asked != nil && err != nil {
			asked <- renewal{err: err}
		} else if asked != nil {
			asked <- renewal{until: next.pair.Leaf.NotAfter}
		}
		switch {
		case ctx.Err() != nil && err != nil:
			return // the next connection does it
		case err != nil:
			a.o.Certified(time.Time{}, fmt.Errorf("renewing the certificate: %w", err))
		default:
			have = next
			a.last = next
			wait *= 60 // also where a clock that is far ahead finds it due at once
		}
	}
}

// due is when a third of the certificate's life is over.
func (h *holding) due() time.Time {
	begin := h.pair.Leaf.NotBefore.Add(authority.Skew)
	return begin.Add(h.pair.Leaf.NotAfter.Sub(begin) / 3)
}

// renew gets a certificate for a new key. One whose answer is lost is no harm: the
// present key and certificate are kept until both of the next are there.
func (a *agent) renew(ctx context.Context, have *holding, conn *Conn) (*holding, error) {
	key, err := authority.NewKey()
	if err != nil {
		return nil, err
	}
	return a.ask(ctx, conn.client, certificatePath, "", Credentials{Next: key}, have.identity)
}

// trust keeps the roots that the hub tells of on a connection. Those that cannot be
// stored count for this process, and are told of again.
func (a *agent) trust(ctx context.Context, have *holding, roots string, told *tls.ConnectionState) error {
	if roots == "" {
		return nil
	}
	next := *have
	var err error
	if next.Roots, err = a.succeed(have.Roots, []byte(roots), told); err != nil || bytes.Equal(next.Roots, have.Roots) {
		return err
	}
	a.last = &next
	if err := a.o.Keeper.Store(ctx, next.Credentials); err != nil {
		return fmt.Errorf("storing the hub's roots: %w", err)
	}
	return nil
}

// succeed returns the roots that count after those of before, when a hub tells of
// others on a connection: those alone, or, where the hub would not be recognized by
// them itself, both. An agent that knows its hub no more is lost to it, and one that
// was connected before an old root was retired learns the rest when it connects again.
func (a *agent) succeed(before, told []byte, on *tls.ConnectionState) ([]byte, error) {
	pool, err := readRoots(told)
	if err != nil {
		return nil, err
	}
	if len(before) == 0 {
		before = a.o.Roots
	}
	if on == nil || len(on.PeerCertificates) == 0 {
		return nil, errors.New("the hub tells of roots and shows no certificate")
	}
	leaf := on.PeerCertificates[0]
	at := a.o.Now()
	if at.After(leaf.NotAfter) { // since the connection began
		at = leaf.NotAfter
	}
	options := x509.VerifyOptions{Roots: pool, Intermediates: x509.NewCertPool(), DNSName: authority.ServerName, CurrentTime: at}
	for _, between := range on.PeerCertificates[1:] {
		options.Intermediates.AddCert(between)
	}
	if _, err = leaf.Verify(options); err == nil {
		return told, nil
	}
	both := bytes.Join([][]byte{bytes.TrimSpace(before), told}, []byte("\n"))
	if bytes.Contains(before, bytes.TrimSpace(told)) || len(both) > maxHello {
		return before, nil
	}
	slog.New(a.o.Log).Warn("the hub tells of roots by which it would not be recognized itself; those of before stay beside them", "error", err)
	return both, nil
}

// readRoots reads certificates of authorities.
func readRoots(roots []byte) (*x509.CertPool, error) {
	if len(roots) > maxHello {
		return nil, errors.New("the hub tells of too many roots")
	}
	pool, none := x509.NewCertPool(), true
	for rest := roots; ; none = false {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the hub's roots: %w", err)
		}
		if !root.IsCA {
			return nil, errors.New("the hub's roots are not certificates of an authority")
		}
		pool.AddCert(root)
	}
	if none {
		return nil, errors.New("the hub tells of no roots")
	}
	return pool, nil
}
