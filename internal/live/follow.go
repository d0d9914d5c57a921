package live

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"
)

// ErrBrokenOff says that an answer with logs has no end.
var ErrBrokenOff = errors.New("the answer was broken off")

// maxEntry is how many bytes an entry may have as it is sent: a line of MaxLine of
// which every byte had to be escaped, and what is said of it.
const maxEntry = 8 * MaxLine

// ReadLogs reads an answer with logs, and calls show with what comes before its end.
func ReadLogs(in io.Reader, show func(Entry) error) (End, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxEntry)
	for lines.Scan() {
		var entry Entry
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			return End{}, fmt.Errorf("reading logs: %w", err)
		}
		if entry.End != nil {
			return *entry.End, nil
		}
		if err := show(entry); err != nil {
			return End{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return End{}, fmt.Errorf("reading logs: %w", err)
	}
	return End{}, ErrBrokenOff
}

// Follow shows logs from one answer to the next, until there are no more or ctx is
// done. A request that does not follow has one answer.
func Follow(ctx context.Context, request LogRequest, ask func(context.Context, LogRequest) (io.ReadCloser, error), show func(Entry) error) (End, error) {
	for {
		known := map[string]time.Time{}
		answer, err := ask(ctx, request)
		if err != nil {
			return End{}, err
		}
		end, err := ReadLogs(answer, func(e Entry) error {
			if e.Note == "" && !e.Time.IsZero() {
				known[e.Pod+"/"+e.Container] = e.Time
			}
			return show(e)
		})
		answer.Close()
		if err != nil || !request.Follow || end.Reason == Complete {
			return end, err
		}
		after := map[string]time.Time{}
		maps.Copy(after, request.After)
		maps.Copy(after, end.After)
		maps.Copy(after, known) // what was shown counts, whatever is said
		if end.Reason == AtLimit && maps.Equal(after, request.After) {
			return end, errors.New("the logs have no times, and cannot be followed further")
		}
		request.After = after
	}
}
