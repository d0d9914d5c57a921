package webhook

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestSetHooks(t *testing.T) {
	one, onePosts := receiver(t, always(200))
	two, twoPosts := receiver(t, always(200))
	o, told := newOutbox(t)
	if o.HasHooks() {
		t.Error("an outbox without hooks has hooks")
	}
	o.Enqueue(event(0)) // for nobody
	stop := start(t, o)

	if err := o.SetHooks([]Hook{{URL: one, Secret: "key"}}); err != nil {
		t.Fatal(err)
	}
	o.Enqueue(event(1))
	// The signature was computed with: printf '{"n":1}' | openssl dgst -sha256 -hmac key
	const signed = "sha256=105f53bf3b432ed2e10c1a2f4f0cdc165d1ecdcf1412664224a905f19651c2b2"
	if p := receive(t, onePosts); p.signature != signed || p.body != `{"n":1}` {
		t.Errorf("received %+v", p)
	}
	receive(t, told)

	if err := o.SetHooks([]Hook{{URL: two}}); err != nil {
		t.Fatal(err)
	}
	o.Enqueue(event(2))
	if p := receive(t, twoPosts); p.body != `{"n":2}` || p.signature != "" {
		t.Errorf("received %+v", p)
	}
	receive(t, told)
	stop()

	// While nobody delivers, events wait; a hook that stays keeps its events and takes its new secret.
	o.Enqueue(event(3))
	if err := o.SetHooks([]Hook{{URL: one}, {URL: two, Secret: "key"}}); err != nil {
		t.Fatal(err)
	}
	o.Enqueue(event(1))
	if err := o.SetHooks([]Hook{{URL: two, Secret: "key"}}); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, told); d.State != Dropped || d.URL != one || d.After != "1" {
		t.Errorf("what waits for a removed hook: %+v", d)
	}
	start(t, o)
	if p := receive(t, twoPosts); p.body != `{"n":3}` || p.signature == "" {
		t.Errorf("received %+v", p)
	}
	if p := receive(t, twoPosts); p.body != `{"n":1}` || p.signature != signed {
		t.Errorf("received %+v", p)
	}
	if len(onePosts) > 0 {
		t.Errorf("the removed hook received %+v", receive(t, onePosts))
	}
}

func TestBounds(t *testing.T) {
	o, told := newOutbox(t, Hook{URL: "http://127.0.0.1:1/"})
	for n := range maxQueued + 1 {
		o.Enqueue(event(n))
	}
	if d := receive(t, told); d.State != Dropped || d.After != fmt.Sprint(maxQueued) || len(told) > 0 {
		t.Errorf("one event too many: %+v and %d more", d, len(told))
	}
	record := o.Deliveries()
	if len(record) != maxRecorded || record[0].After != fmt.Sprint(maxQueued) || record[1].State != Pending {
		t.Errorf("record has %d entries, newest %+v", len(record), record[0])
	}
}

func TestPasswordStaysOutOfTheRecord(t *testing.T) {
	o, told := newOutbox(t, Hook{URL: "http://ada:hunter2@127.0.0.1:1/"})
	start(t, o)
	o.Enqueue(event(1))
	if d := receive(t, told); d.URL != "http://ada:xxxxx@127.0.0.1:1/" || strings.Contains(d.Error, "hunter2") {
		t.Errorf("recorded %+v", d)
	}
}

func TestNewID(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if a, b := newID(), newID(); !uuid.MatchString(a) || a == b {
		t.Errorf("ids %q and %q", a, b)
	}
}
