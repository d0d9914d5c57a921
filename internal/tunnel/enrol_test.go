package tunnel

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// credentials enrols a cluster and returns what its agent has.
func (w *world) credentials(cluster string, number int64) *holding {
	w.t.Helper()
	m := w.agent(w.token(cluster, number))
	have, err := w.bare(m).enrolled(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return have
}

// bare is an agent that does nothing by itself.
func (w *world) bare(m *member) *agent { return &agent{o: m.o.withDefaults(), instance: "bare"} }

func TestEnrolIsRefused(t *testing.T) {
	foreign := newWorld(t, nil)
	w := newWorld(t, nil)
	spent := w.token("spent", 1)
	w.agent(spent).start().connected()
	expired, _, err := w.o.Authority.Token("late", 1, time.Minute, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w.revokeBelow("gone", 5)
	tests := []struct {
		reason, token string
		as            Identity
		want          string
	}{
		{"a second use, with another key", spent, named("test", "spent", 1), "used before"},
		{"a token that was stolen for another cluster", w.token("prod", 1), named("test", "dev", 1), "the token is for nave://test/prod/1"},
		{"a number above the token's", w.token("prod", 1), named("test", "prod", 2), "the token is for nave://test/prod/1"},
		{"another fleet", w.token("prod", 1), named("other", "prod", 1), "the token is for nave://test/prod/1"},
		{"a token of another hub", foreign.token("prod", 1), named("test", "prod", 1), "not one of this hub's authority"},
		{"a token that is too old", expired, named("test", "late", 1), "expired"},
		{"a number that was revoked", w.token("gone", 4), named("test", "gone", 4), "revoked"},
		{"no token", "", named("test", "prod", 1), "does not begin"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			m := w.agent(test.token)
			_, err := w.bare(m).enrol(t.Context(), Credentials{}, test.token, test.as)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the agent is told %v, and nothing of %q", err, test.want)
			}
			refusal := w.refused("enrol", test.want)
			if refusal.Address != "127.0.0.1" || refusal.Proven || refusal.Claimed.Cluster == "" {
				t.Errorf("the audit is told %+v", refusal)
			}
			if len(m.memory.have.Certificate) > 0 {
				t.Error("the agent has a certificate")
			}
		})
	}
	if len(w.enrolled) != 1 {
		t.Errorf("%v were enrolled", w.enrolled)
	}
}

// TestUsedIsKnownFirst has no certificate leave the hub before it is written down
// that its token was used.
func TestUsedIsKnownFirst(t *testing.T) {
	w := newWorld(t, func(o *ServerOptions) {
		o.Used = func(context.Context, authority.Claims, string) error { return errors.New("the disk is full") }
	})
	m := w.agent(w.token("prod", 1))
	if _, err := w.bare(m).enrolled(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("the agent is told %v", err)
	}
}

// TestLostAnswer has an agent whose certificate was lost on its way, or that was
// killed before it kept it, ask again with the token that it has used.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	first := w.bare(m)
	if _, err := first.enrolled(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As it was before the answer came: the key is there, the certificate is not.
	m.memory.have = Credentials{Next: m.memory.have.Key}
	m.start().connected()
	if len(w.enrolled) != 2 {
		t.Errorf("enrolled were %v", w.enrolled)
	}
}

// TestKeyIsKeptFirst has no token shown for a key that could not be stored.
func TestKeyIsKeptFirst(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	m.memory.failing = errors.New("no room")
	if _, err := w.bare(m).enrolled(t.Context()); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("the error is %v", err)
	}
	if len(w.used) > 0 {
		t.Error("the token was used up")
	}
}

// TestNewToken moves an agent that is revoked to a new number, and to no lower one.
func TestNewToken(t *testing.T) {
	w := newWorld(t, nil)
	old := w.token("prod", 2)
	m := w.agent(old).start()
	m.connected()
	w.revokeBelow("prod", 3)
	w.server.Recheck()
	m.saw("the lowest number is 3")
	m.setToken(w.token("prod", 1))
	m.saw("refuses nave://test/prod/2")
	m.setToken(w.token("prod", 3))
	if c := m.connected(); c.Identity().Number != 3 {
		t.Errorf("the agent is %s", c.Identity())
	}
	if used := len(w.used); used != 2 {
		t.Errorf("%d tokens were used, and not the first and the last", used)
	}
}

// TestTokenThatFails keeps an agent with a certificate going when the token that
// would replace it does not work.
func TestTokenThatFails(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	if _, err := w.bare(m).enrolled(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.used["x"] = ""
	m.token = newWorld(t, nil).token("prod", 2)
	m.start().connected()
	m.saw("not one of this hub's authority")
}

func TestNothingToConnectWith(t *testing.T) {
	w := newWorld(t, nil)
	w.agent("").start().saw("nave cluster join NAME")
	w.agent("nave1.cut").start().saw("cut off")
}

// TestRenewal renews on a connection that stays, and has the connection outlive
// the certificate that it began with.
func TestRenewal(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1)).start()
	c := m.connected()
	first := m.memory.have
	w.clock.advance(CertificateLife / 4)
	w.server.Recheck()
	if !bytes.Equal(first.Certificate, m.memory.have.Certificate) {
		t.Error("it was renewed before a third of its life")
	}
	w.clock.advance(CertificateLife / 8)
	renewed := func() bool {
		m.memory.mu.Lock()
		defer m.memory.mu.Unlock()
		return !bytes.Equal(first.Certificate, m.memory.have.Certificate) && !bytes.Equal(first.Key, m.memory.have.Key)
	}
	eventually(t, "a certificate for a new key", renewed)
	w.clock.advance(CertificateLife - CertificateLife/4)
	w.server.Recheck()
	mustCall(t, c.Client(), HubURL, "still", "hub to prod: still")
}

// TestRenewNow renews as often as somebody asks, long before it is due, and tells the
// hub's side when the new certificate ends.
func TestRenewNow(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1)).start()
	c := m.connected()
	eventually(t, "the link is there", w.linked("prod"))
	link, before := w.server.Links()[0], m.memory.have
	for range 2 {
		w.clock.advance(time.Hour)
		until, err := c.Renew(t.Context())
		if err != nil || !until.Equal(link.CertificateEnd()) {
			t.Fatalf("renewed until %v (%v), and the hub says %v", until, err, link.CertificateEnd())
		}
		m.memory.mu.Lock()
		after := m.memory.have
		m.memory.mu.Unlock()
		if bytes.Equal(before.Key, after.Key) || bytes.Equal(before.Certificate, after.Certificate) {
			t.Error("the key or the certificate is the one of before")
		}
		before = after
	}
	link.Close("done")
	eventually(t, "on a connection that has ended there is nothing to renew by", func() bool {
		_, err := c.Renew(t.Context())
		return err != nil
	})
}

// TestExpiry ends a connection with its certificate, and lets nobody in with one
// that has ended.
func TestExpiry(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	m.o.renewals = time.Hour
	m.start().connected()
	eventually(t, "the link is there", w.linked("prod"))
	link := w.server.Links()[0]
	w.clock.advance(CertificateLife + time.Second)
	w.server.Recheck()
	select {
	case <-link.Done():
	case <-time.After(patience):
		t.Fatal("the link outlives the certificate")
	}
	w.refused("link", "ended at")
	m.saw("the agent's certificate has expired")
	if refusal := w.refused("handshake", "has expired"); refusal.Claimed.Cluster != "prod" {
		t.Errorf("the audit is told %+v", refusal)
	}
}

// TestSkew connects agents whose clock is an hour off, in either direction.
func TestSkew(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(fmt.Sprint(skew), func(t *testing.T) {
			w := newWorld(t, nil)
			m := w.agent(w.token("prod", 1))
			m.o.Now = func() time.Time { return w.clock.now().Add(skew) }
			c := m.start().connected()
			mustCall(t, c.Client(), HubURL, "now", "hub to prod: now")
		})
	}
}

// TestRotation gives the authority a new key while one agent is connected and one
// is away; neither enrols again, and both go on when the old root is retired.
func TestRotation(t *testing.T) {
	w := newWorld(t, nil)
	there, away := w.agent(w.token("there", 1)).start(), w.agent(w.token("away", 1)).start()
	c := there.connected()
	away.connected()
	away.stop()
	old := w.o.Authority.Roots()

	if err := authority.Rotate(w.dir, w.clock.now()); err != nil {
		t.Fatal(err)
	}
	if err := w.o.Authority.Reload(); err != nil {
		t.Fatal(err)
	}
	mustCall(t, c.Client(), HubURL, "x", "hub to there: x")
	back := w.agent("")
	back.memory = away.memory
	back.o.Keeper = away.memory
	back.o.Roots = old
	back.start().connected()
	knows := func(m *memory) func() bool {
		return func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return bytes.Equal(m.have.Roots, w.o.Authority.Roots())
		}
	}
	eventually(t, "the agent that was away knows the new root", knows(back.memory))

	w.clock.advance(CertificateLife / 2)
	eventually(t, "the agent that is there knows the new root", knows(there.memory))
	renewed := func() bool {
		have, err := back.memory.have.read()
		return err == nil && have.pair.Leaf.NotBefore.After(w.clock.now().Add(-authority.Skew-time.Hour))
	}
	eventually(t, "the certificate is the new root's", func() bool {
		back.memory.mu.Lock()
		defer back.memory.mu.Unlock()
		return renewed()
	})
	w.clock.advance(CertificateLife/2 + 25*time.Hour)
	if err := authority.Retire(w.dir, CertificateLife, false, w.clock.now()); err != nil {
		t.Fatal(err)
	}
	if err := w.o.Authority.Reload(); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start(w.address)
	there.connected()
	back.connected()
	if len(w.enrolled) != 2 {
		t.Errorf("%v enrolled again", w.enrolled[2:])
	}
}

// TestRenewalForAnother holds an agent to its own name.
func TestRenewalForAnother(t *testing.T) {
	w := newWorld(t, nil)
	have := w.credentials("mallory", 1)
	a := w.bare(w.agent(""))
	client, err := a.dial(t.Context(), &have.pair, have.Roots)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, id := range []Identity{named("test", "prod", 1), named("test", "mallory", 2)} {
		key, err := authority.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.ask(t.Context(), newClient(client, a.o.Limits), certificatePath, "", Credentials{Next: key}, id)
		if err == nil || !strings.Contains(err.Error(), "asks for the certificate of "+id.String()) {
			t.Errorf("%s: the answer is %v", id, err)
		}
		if refusal := w.refused("renew", id.String()); !refusal.Proven || refusal.Claimed != have.identity {
			t.Errorf("the audit is told %+v", refusal)
		}
	}
}

// forgetful is a Keeper that cannot be reached after a while.
type forgetful struct {
	memory
	away bool
}

func (f *forgetful) Load(ctx context.Context) (Credentials, error) {
	if f.away {
		return Credentials{}, errors.New("the API server is away")
	}
	return f.memory.Load(ctx)
}

// TestKeeperAway connects an agent whose credentials cannot be loaded once more, as
// when the API server of its cluster is away, and takes new roots all the same.
func TestKeeperAway(t *testing.T) {
	w := newWorld(t, nil)
	m := w.agent(w.token("prod", 1))
	keeper := &forgetful{}
	m.o.Keeper = keeper
	a := w.bare(m)
	first, err := a.enrolled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keeper.away, keeper.failing = true, errors.New("the API server is away")
	if err := authority.Rotate(w.dir, w.clock.now()); err != nil {
		t.Fatal(err)
	}
	if err := w.o.Authority.Reload(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := a.connect(ctx, func(context.Context, *Conn) error {
			cancel()
			return nil
		}); err != nil && !errors.Is(err, errEnded) {
			t.Fatal(err)
		}
	}
	have, err := a.enrolled(t.Context())
	if err != nil || have.identity != first.identity || !bytes.Equal(have.Roots, w.o.Authority.Roots()) {
		t.Errorf("the agent has %+v, error %v", have, err)
	}
	m.saw("storing the hub's roots: the API server is away")
}

// TestRootsThatSucceed has a hub tell of roots by which it would be known itself, and
// of others.
func TestRootsThatSucceed(t *testing.T) {
	ours, others := newWorld(t, nil), newWorld(t, nil)
	shown, err := ours.o.Authority.Server(ours.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	on := &tls.ConnectionState{}
	for _, der := range shown.Certificate {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		on.PeerCertificates = append(on.PeerCertificates, certificate)
	}
	own, foreign := ours.o.Authority.Roots(), others.o.Authority.Roots()
	both := slices.Concat(bytes.TrimSpace(own), []byte("\n"), foreign)
	for _, test := range []struct {
		reason             string
		before, told, want []byte
		later              time.Duration
	}{
		{"its own", foreign, own, own, 0},
		{"its own, on a connection that is older than its certificate counts", foreign, own, own, 10 * CertificateLife},
		{"another's", own, foreign, both, 0},
		{"another's again", both, foreign, both, 0},
		{"both", own, both, both, 0},
		{"another's, to one that has none", nil, foreign, both, 0},
	} {
		now := func() time.Time { return ours.clock.now().Add(test.later) }
		a := &agent{o: Options{Roots: own, Now: now, Log: slog.DiscardHandler}}
		have, err := a.succeed(test.before, test.told, on)
		if err != nil || !bytes.Equal(have, test.want) {
			t.Errorf("%s: have (%v)\n%s\nwant\n%s", test.reason, err, have, test.want)
		}
	}
	a := &agent{o: Options{Roots: own, Now: ours.clock.now, Log: slog.DiscardHandler}}
	for reason, told := range map[string][]byte{"nothing": nil, "no certificates": []byte("x"), "too many": bytes.Repeat(own, maxHello/len(own)+1)} {
		if have, err := a.succeed(own, told, on); err == nil {
			t.Errorf("%s: have %s", reason, have)
		}
	}
	if have, err := a.succeed(own, foreign, nil); err == nil {
		t.Errorf("from nobody: have %s", have)
	}
}
