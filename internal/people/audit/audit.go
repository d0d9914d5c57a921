// Package audit has everything that people do on a hub written down before it is
// done, and what became of it afterwards. The main type is [Log]. What cannot be
// written down is not done. Who is refused is written down too, but not so often
// that the disk fills with it.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"nave.dev/internal/people"
	"nave.dev/internal/store"
)

// Store keeps what is written down, as store.Store does.
type Store interface {
	Audit(ctx context.Context, entry store.Entry) (int64, error)
	Conclude(ctx context.Context, id int64, after json.RawMessage, outcome string) error
}

// Options configure a Log.
type Options struct {
	Store Store
	// Problem is told what could not be written of something that was done already, or
	// was refused.
	Problem func(error)
	Now     func() time.Time
}

// Log writes down what is done. It may be used by several goroutines at once.
type Log struct {
	opts Options

	mu      sync.Mutex
	all     *rate.Limiter
	parties map[string]*rate.Limiter // by network
	swept   time.Time                // when those who may be forgotten were
	omitted int                      // refusals since the last that was written down
}

// How often a refusal is written down: so often at once, and once more after each
// interval; of one network, and of all.
const (
	partyRefusals = 10
	partyInterval = 10 * time.Second
	allRefusals   = 100
	allInterval   = time.Second
	maxParties    = 1000
)

// What of an entry is kept, in bytes.
const (
	maxText  = 1000
	maxValue = 64 << 10
)

// concludePatience is how long what became of something may take to be written: who
// asked for it may be gone by then.
const concludePatience = 10 * time.Second

// New returns a log that writes to a store.
func New(opts Options) *Log {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Problem == nil {
		opts.Problem = func(error) {}
	}
	return &Log{opts: opts, all: rate.NewLimiter(rate.Every(allInterval), allRefusals), parties: map[string]*rate.Limiter{}}
}

// Do writes an entry, does what it is of, and writes what became of it: "done" with
// what do returns, or "failed" with its error. If the entry cannot be written,
// nothing is done.
func (l *Log) Do(ctx context.Context, entry store.Entry, do func() (after any, err error)) error {
	entry.Time = l.opts.Now()
	id, err := l.opts.Store.Audit(ctx, clipped(entry))
	if err != nil {
		return fmt.Errorf("refused, because it cannot be written down: %w\nhint: look at the disk of the hub", err)
	}
	after, err := do()
	outcome := "done"
	if err != nil {
		outcome = clip("failed: " + err.Error())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), concludePatience)
	defer cancel()
	if err := l.opts.Store.Conclude(ctx, id, Value(after), outcome); err != nil {
		l.opts.Problem(fmt.Errorf("%s of %s by %s, which is %s: %w", entry.Action, entry.Cluster, entry.Actor, outcome, err))
	}
	return err
}

// Refused writes down that something was refused, and why, if that did not happen
// too often lately.
func (l *Log) Refused(ctx context.Context, entry store.Entry, why string) {
	entry.Time = l.opts.Now()
	ok, omitted := l.take(people.Network(entry.Address), entry.Time)
	if !ok {
		return
	}
	entry.Outcome = "refused: " + why
	if omitted > 0 {
		entry.Outcome = fmt.Sprintf("%s (%d more were refused before and are not written down)", entry.Outcome, omitted)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), concludePatience)
	defer cancel()
	if _, err := l.opts.Store.Audit(ctx, clipped(entry)); err != nil {
		l.opts.Problem(err)
	}
}

// take reports whether a refusal is written down, and how many were not since the
// last that was.
func (l *Log) take(party string, now time.Time) (ok bool, omitted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.parties[party]
	if known == nil {
		if len(l.parties) >= maxParties && now.Sub(l.swept) > allInterval {
			l.swept = now
			for party, other := range l.parties {
				if other.TokensAt(now) >= partyRefusals {
					delete(l.parties, party)
				}
			}
		}
		if len(l.parties) < maxParties {
			known = rate.NewLimiter(rate.Every(partyInterval), partyRefusals)
			l.parties[party] = known
		}
	}
	if known == nil || !known.AllowN(now, 1) || !l.all.AllowN(now, 1) {
		l.omitted++
		return false, 0
	}
	omitted, l.omitted = l.omitted, 0
	return true, omitted
}

// Value is a value as an entry keeps it. One that is too large is told by its size.
func Value(value any) json.RawMessage {
	if value == nil {
		return nil
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	if len(data) > maxValue {
		return json.RawMessage(fmt.Sprintf(`{"omittedBytes":%d}`, len(data)))
	}
	return data
}

func clipped(e store.Entry) store.Entry {
	for _, text := range []*string{&e.Actor, &e.Action, &e.Cluster, &e.App, &e.Reason, &e.Address, &e.Outcome} {
		*text = clip(*text)
	}
	return e
}

// clip is a text as an entry keeps it: a line of some length, which does to a
// terminal nothing but to be read, whoever wrote it.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…" // not half a letter
}
