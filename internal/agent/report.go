package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
	"nave.dev/internal/tunnel"
)

// pace is the least time between two reports.
const pace = 200 * time.Millisecond

// report tells the hub what is known of the cluster, now and whenever it is
// another, until the connection ends.
func (a *agent) report(ctx context.Context, conn *tunnel.Conn) error {
	a.opts.Log.Info("connected to the hub", "hub", a.opts.Hub, "version", conn.Hub().Product)
	a.mu.Lock()
	a.conn = conn
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.conn == conn {
			a.conn = nil
		}
	}()
	reporter := &protocol.Reporter{}
	for {
		if err := a.tell(ctx, conn, reporter); err != nil {
			return err
		}
		if err := pause(ctx, pace); err != nil {
			return err
		}
		select {
		case <-a.news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pause waits for the next report's time.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tellAttempts is how often a hub may ask for a whole report at once: it may not have
// let another connection go yet. With pace doubled each time, up to slowest, they are
// 45 seconds: more than it takes it to hear that nobody answers there.
const (
	tellAttempts = 25
	slowest      = 2 * time.Second
)

// tell sends what is new. Events of which the hub did not say that it took them are
// sent again.
func (a *agent) tell(ctx context.Context, conn *tunnel.Conn, reporter *protocol.Reporter) error {
	wait := pace
	for range tellAttempts {
		known, events, first := a.known()
		report := reporter.Next(known, events)
		if report == nil {
			return nil
		}
		report.First = first
		if report.Whole {
			report.Mark = a.mark
		}
		taken, err := send(ctx, conn, report)
		if err != nil {
			return err
		}
		if len(taken.Mark) > 0 {
			a.mark = taken.Mark
		}
		if !taken.Whole {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.outbox.taken(first + int64(len(events)) - 1)
			return nil
		}
		reporter.Restart()
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, slowest)
	}
	return errors.New("the hub takes no report")
}

// known returns what there is to tell now, and the number of the first event.
func (a *agent) known() (protocol.Known, []spoke.Event, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := protocol.Known{}
	if a.assigned != nil && a.spoke.Settled(a.assigned) != nil {
		known.Shows = a.key
	}
	known.Number, known.Checks = lastNumber(a.assigned), a.checks
	known.State, known.Facts = a.spoke.State(), a.spoke.Facts()
	if found := a.spoke.Found(); found != nil {
		names := maps.Clone(a.names)
		for _, name := range found {
			names[name] = true
		}
		known.Applied = append([]string{}, slices.Sorted(maps.Keys(names))...)
	}
	events, first := a.outbox.waiting()
	return known, events, first
}

func send(ctx context.Context, conn *tunnel.Conn, report *protocol.Report) (taken protocol.Taken, err error) {
	data, err := protocol.Compressed(report)
	if err != nil {
		return taken, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("the hub took no report within 1m"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, tunnel.HubURL+protocol.ReportPath, bytes.NewReader(data))
	if err != nil {
		return taken, err
	}
	answer, err := conn.Client().Do(request)
	if err != nil {
		return taken, fmt.Errorf("reporting to the hub: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return taken, fmt.Errorf("reporting to the hub: %s: %s", answer.Status, text)
	}
	return taken, json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&taken)
}
