package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"nave.dev/internal/store"
)

// Bounds of the history.
const (
	batch        = 1000     // events in one transaction at most
	queueBytes   = 16 << 20 // of events that wait to be written
	detailBytes  = 256 << 10
	messageBytes = 4 << 10
	// calm is how long events must have been written before it is said that they are:
	// on a disk that is nearly full, some are and some are not.
	calm = time.Minute
)

// queue holds the events that wait to be written.
type queue struct {
	news chan struct{} // buffered by one: there are events again
	full chan struct{} // buffered by one: there are enough for a batch

	mu       sync.Mutex
	waiting  []store.Event
	bytes    int
	overflow int64 // events that found no room since the last flush

	writing sync.Mutex // held by who writes a batch, and where the listener is told
	dropped int64      // since events could be written last
	failed  time.Time  // when that was not possible last
}

// Record takes events into the history. A time that has not come is taken for now,
// since it is another machine's, and would keep the event on top of the list; so
// is a missing one. A message is cut after 4 KiB, and a detail above 256 KiB is
// left out.
func (s *Store) Record(events ...store.Event) {
	now := s.opts.Now()
	q := &s.history
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range events {
		if e.Time.IsZero() || e.Time.After(now) {
			e.Time = now
		}
		if len(e.Message) > messageBytes {
			e.Message = e.Message[:messageBytes]
		}
		if len(e.Detail) > detailBytes {
			e.Detail = nil
		}
		size := 256 + len(e.Cluster) + len(e.App) + len(e.Kind) + len(e.Message) + len(e.Detail)
		if q.bytes+size > queueBytes {
			q.overflow++
			continue
		}
		q.bytes += size
		q.waiting = append(q.waiting, e)
	}
	poke(q.news)
	if len(q.waiting) >= batch {
		poke(q.full)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// keepHistory writes events as they come and removes old ones, until ctx is done.
func (s *Store) keepHistory(ctx context.Context) {
	defer close(s.done)
	tidy := time.NewTicker(tidyInterval)
	defer tidy.Stop()
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			s.flush(context.WithoutCancel(ctx))
			return
		case <-s.history.news:
			if due == nil {
				due = time.After(s.opts.FlushInterval)
			}
		case <-s.history.full:
			s.flush(ctx)
		case <-due:
			due = nil
			s.flush(ctx)
		case <-tidy.C:
			if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
				s.history.writing.Lock()
				s.opts.Listener.Tidying(err)
				s.history.writing.Unlock()
			}
		}
	}
}

var errOverflow = errors.New("events come faster than the disk takes them")

// flush writes the events that wait. Those that cannot be written are dropped: the
// history must not hold up the fleet.
func (s *Store) flush(ctx context.Context) {
	q := &s.history
	q.writing.Lock()
	defer q.writing.Unlock()
	q.mu.Lock()
	events, overflow := q.waiting, q.overflow
	q.waiting, q.bytes, q.overflow = nil, 0, 0
	q.mu.Unlock()
	if overflow > 0 {
		s.lose(overflow, errOverflow)
	}
	for len(events) > 0 {
		some := events[:min(batch, len(events))]
		events = events[len(some):]
		// Who asks for a page and goes away takes no events along.
		if err := s.insert(context.WithoutCancel(ctx), some); err != nil {
			s.lose(int64(len(some)), explain(err))
		} else if q.dropped > 0 && s.opts.Now().Sub(q.failed) >= calm {
			s.opts.Listener.Kept(q.dropped)
			q.dropped = 0
		}
	}
}

// lose counts events that are dropped, and says so if they are the first ones.
func (s *Store) lose(n int64, why error) {
	if s.history.dropped == 0 {
		s.opts.Listener.Dropped(why)
	}
	s.history.dropped += n
	s.history.failed = s.opts.Now()
}

func (s *Store) insert(ctx context.Context, events []store.Event) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect once it is committed
	insert, err := tx.PrepareContext(ctx, `INSERT INTO events (time, cluster, app, kind, message, detail) VALUES (?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, e := range events {
		if _, err := insert.ExecContext(ctx, nanoseconds(e.Time), e.Cluster, e.App, e.Kind, e.Message, text(e.Detail)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Events returns a page of the history, the newest first, with what was recorded
// before the call.
func (s *Store) Events(ctx context.Context, query store.EventQuery) (store.EventPage, error) {
	s.flush(ctx)
	l := list{table: "events", columns: "id, time, cluster, app, kind, message, detail", indexes: []string{"cluster", "app", "kind"}}
	l.equal("cluster", query.Cluster)
	l.equal("app", query.App)
	l.equal("kind", query.Kind)
	l.between(query.Since, query.Until)
	page := store.EventPage{Events: []store.Event{}}
	err := l.read(ctx, s.readers, query.Before, query.Limit, func(rows *sql.Rows) (store.Cursor, int, error) {
		var (
			e  store.Event
			at int64
		)
		err := rows.Scan(&e.ID, &at, &e.Cluster, &e.App, &e.Kind, &e.Message, (*[]byte)(&e.Detail))
		e.Time = moment(at)
		page.Events = append(page.Events, e)
		return store.Cursor{Time: e.Time, ID: e.ID}, len(e.Message) + len(e.Detail), err
	})
	if err != nil {
		return store.EventPage{}, err
	}
	page.Next = l.next
	return page, nil
}
